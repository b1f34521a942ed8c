"""Settings of the network, its input and its training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from omegaconf import MISSING

from mirada.config.checks import at_least, between, greater_than, one_of, require
from mirada.config.data import TASKS
from mirada.config.tracking import TrackingConfig

BACKBONES = {  # network -> the tasks that it is made for
    "efficientnet_lite0": tuple(TASKS),
    "efficientnet_lite1": tuple(TASKS),
    "efficientnet_lite2": tuple(TASKS),
    "mobilenet_v2": tuple(TASKS),
    "tiny": tuple(TASKS),
    "mcu": tuple(TASKS),
    "study1": ("localization", "classification"),
    "study3": ("classification",),
}
PRETRAINED = {"efficientnet_lite0": 16, "efficientnet_lite1": 21, "efficientnet_lite2": 21, "mobilenet_v2": 17}
"""Network with weights of ImageNet -> number of its blocks."""
FROM_SCRATCH = ("mcu", "study1", "study3")  # all their layers learn alike
STAGE_STRIDES = (2, 4, 8, 16, 16, 32, 32)
"""Stride of the map that each stage of a network of `PRETRAINED` ends with."""
HEAD_STRIDES = (8, 16)  # of a detector with one level
NETWORK_RANGES: dict[str, tuple[float, float]] = {
    "head_depth": (1, 6),
    "stem_width": (4, 64),
    "multiplier": (0.1, 4.0),
    "blocks": (1, 6),
    "expansion": (1, 6),
}
"""Key of a network -> the least and the most that it may be."""
LEAST_WIDTH = 8
_LOCALIZER_STRIDE = 16  # of the map whose cells vote


@dataclass
class ModelConfig:
    """The network."""

    name: str = MISSING  # of the choice, as the card tells it
    backbone: str = "efficientnet_lite0"  # of `BACKBONES`; study1, study3: published networks, with heads of their own
    weights: str | None = "imagenet"  # null: random
    width: int = (
        64  # channels of the feature pyramid and the heads; of mcu's features before a classifier's dense layer
    )
    stages: int | None = (
        None  # of a pretrained backbone: the first so many of its 7, without ImageNet's head; null: all
    )
    head_depth: int = 2  # separable convolutions before each head's output
    head_stride: int | None = None  # detection: one grid of cells so many pixels apart; null: a pyramid of 8, 16 and 32
    dfl_bins: int = 0  # detection: bins that a box's side is told in, by distribution focal loss; 0: one number a side
    scores: str = "objectness"  # detection: objectness, times the class's share; class_wise: a sigmoid a class instead
    stem_stride: int = 2  # mcu: of the first convolution
    stem_width: int = 16  # mcu: channels of the first convolution, and of the blocks at stride 4
    multiplier: float = 1.0  # mcu: of the channels of the blocks at strides 8, 16 and 32
    blocks: int = 2  # mcu: of each of the stages at strides 4, 8, 16 and 32
    expansion: int = 3  # mcu: how much wider a block is inside; nothing is widened before stride 4
    frozen_blocks: int = 0  # first blocks of the backbone that stay as pretrained, the stem with them; 0: none
    batch_norm: str = (
        "folded"  # of the pretrained backbone: folded into its convolutions, frozen beside them, or trained
    )
    dropout: float = 0.0  # share of features dropped before the class head of a classifier or localizer
    pool_after: list[int] = field(default_factory=list)  # study1: convolutions, from 1, that a max-pooling follows

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        one_of("model.backbone", self.backbone, tuple(BACKBONES))
        require(self.weights in (None, "imagenet"), f"model.weights must be 'imagenet' or null, got {self.weights!r}.")
        require(
            self.backbone in PRETRAINED or self.weights is None,
            f"model.backbone={self.backbone} has no pretrained weights: set model.weights=null.",
        )
        one_of("model.batch_norm", self.batch_norm, ("folded", "frozen", "trained"))
        between("model.dropout", self.dropout, 0.0, 0.95)
        require(
            all(1 <= number <= 5 for number in self.pool_after),
            f"model.pool_after may hold 1 to 5, the convolutions of study1, got {self.pool_after}.",
        )
        at_least("model.width", self.width, LEAST_WIDTH)
        between("model.stages", 1 if self.stages is None else self.stages, 1, len(STAGE_STRIDES))
        for key, (low, high) in NETWORK_RANGES.items():
            between(f"model.{key}", getattr(self, key), low, high)
        require(
            self.head_stride in (None, *HEAD_STRIDES),
            f"model.head_stride must be 8, 16 or null, got {self.head_stride}.",
        )
        require(
            self.dfl_bins == 0 or 4 <= self.dfl_bins <= 32,
            f"model.dfl_bins must be 0 (no bins) or 4 to 32, got {self.dfl_bins}.",
        )
        one_of("model.scores", self.scores, ("objectness", "class_wise"))
        require(self.stem_stride in (2, 4), f"model.stem_stride must be 2 or 4, got {self.stem_stride}.")
        between("model.frozen_blocks", self.frozen_blocks, 0, PRETRAINED.get(self.backbone, 16))

    def missing_map(self, task: str) -> str:
        """A sentence on the map that a task's head needs and `stages` cuts off; empty where it is there.

        Args:
            task: 'detection', 'localization' or 'classification'.
        """
        if self.backbone not in PRETRAINED or self.stages is None or task == "classification":
            return ""
        stride, head = _LOCALIZER_STRIDE, task
        if task == "detection":
            stride = self.head_stride or STAGE_STRIDES[-1]
            head = f"{task} with model.head_stride={'null' if self.head_stride is None else stride}"
        least = STAGE_STRIDES.index(stride) + 1
        if self.stages >= least:
            return ""
        return f"model.stages={self.stages} leaves no map at stride {stride}, which {head} needs: set it to {least} or more."


@dataclass
class AugmentConfig:
    """Random changes to training images; the boxes follow."""

    name: str = "unnamed"  # of the choice
    flip_horizontal: bool = True  # half of the images, left to right
    flip_vertical: bool = False  # half of the images, upside down
    rotate_90: bool = False  # by quarter turns
    rotate_degrees: float = 0.0  # at most so far to either side
    scale_min: float = 0.6  # side of the random crop (below 1) or canvas (above 1), relative to the image
    scale_max: float = 1.3  # side of the largest canvas
    brightness: float = 0.15  # at most so much to either side, of the full range
    contrast: float = 0.25  # times 1 - this to 1 + this
    saturation: float = 0.25  # times 1 - this to 1 + this
    hue: float = 0.03  # at most so much of the circle of colours to either side
    keep_sizes: bool = False  # an image is zoomed only so far that its objects stay as large as the training's are
    mosaic: float = 0.0  # share of the images that are made of parts of four; all mixing moves pixels and scales none
    mixup: float = 0.0  # share of the images that another one is laid over
    copy_paste: float = 0.0  # share of the images that an object of a class rarer than the mean is pasted into
    plain_epochs: int | None = None  # last epochs without mosaic, mixup and copy_paste; null: a tenth, at least one
    rand_operations: int = 0  # of RandAugment, one after the other, for classification; 0: none
    rand_strength: float = 0.3  # of RandAugment's operations

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for key in ("mosaic", "mixup", "copy_paste", "rand_strength"):
            between(f"augment.{key}", getattr(self, key), 0.0, 1.0)
        at_least("augment.plain_epochs", self.plain_epochs or 0, 0)
        between("augment.rand_operations", self.rand_operations, 0, 5)
        between("augment.scale_min", self.scale_min, 0.1, 1.0)
        between("augment.scale_max", self.scale_max, 1.0, 4.0)
        for key in ("brightness", "contrast", "saturation"):
            between(f"augment.{key}", getattr(self, key), 0.0, 0.9)
        between("augment.hue", self.hue, 0.0, 0.5)
        between("augment.rotate_degrees", self.rotate_degrees, 0.0, 45.0)

    def plain_of(self, epochs: int) -> int:
        """How many of so many epochs come last and mix nothing; all of them only where `plain_epochs` says so."""
        if self.plain_epochs is None:
            return min(math.ceil(epochs / 10), epochs - 1)
        return min(self.plain_epochs, epochs)


AUTO = "auto"  # a learning rate that is looked for before the training
MOST_SHARDS_AT_ONCE = 16  # records are taken from so many shards in turn, whatever number is read at the same time


@dataclass
class InputConfig:
    """How training images come from the shards to the model."""

    name: str = "unnamed"  # of the choice
    interleave: int = 4  # shards read at once; 1: one record after the other
    parallel: bool = True  # decode and augment on several threads (as many as `workers`)
    cache: bool = True  # keep decoded images in memory where they fit
    vectorize: bool = True  # what can be done to a whole batch is done to it at once
    prefetch: bool = True  # prepare the next batch while the model works on this one

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        between("input.interleave", self.interleave, 1, MOST_SHARDS_AT_ONCE)


@dataclass
class TrainConfig:
    """Settings of the stage `train`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    input: InputConfig = field(default_factory=InputConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    data_dir: str = MISSING  # what preprocess wrote
    output_dir: str = MISSING
    epochs: int = 20  # passes over the training images
    batch_size: int = 8
    learning_rate: int | float | str | None = None  # null: what suits the task; auto: by a range test
    schedule: str = "cosine"  # cosine | constant
    backbone_lr_scale: int | float | str = 0.3  # auto: the highest that does no harm when it is tried
    layer_lr_decay: float = 1.0  # each block of the pretrained layers learns so much slower than the one after it
    thaw_blocks: int = 0  # pretrained blocks let go an epoch, the last ones first; 0: all at once
    guard_epochs: int = 2  # epochs below the frozen network's figure before training goes back to it; 0: never
    guard_returns: int = 2  # times that it goes back and goes on more gently; then the backbone stays frozen
    weight_decay: float = 1e-4  # of AdamW, of kernels
    warmup_epochs: float = 1.0
    freeze_epochs: int = 0
    ema_decay: float = 0.98
    clip_norm: float = 10.0  # 0: gradients are not clipped
    class_weight: str = "none"  # none | loss (rare classes count more) | logits (as study 3 published it)
    label_smoothing: float = 0.0
    assigner: str = "centre"  # centre | task_aligned: which cells of a detector answer for a box
    box_loss: str = "giou"  # giou | ciou, of a detector
    teacher: str | None = None  # folder of a trained model whose answers are learnt beside the labels; null: none
    teacher_weight: float = 0.5  # of the loss, what is held against the teacher; the rest is held against the labels
    teacher_temperature: float = 4.0  # that both answers' class logits are divided by
    tune_threshold: str = (
        "none"  # two classes, the second one's threshold on val: none (0.5) | balanced_accuracy | recall | precision
    )
    threshold_recall: float = 0.95  # for tune_threshold=recall: the highest threshold that finds this share of them
    threshold_precision: float = 0.95  # for tune_threshold=precision: the lowest at which this share of them is right
    tune_min_score: str = (
        "f1"  # detection, from which score on things are shown, on val: f1 | precision | recall | none
    )
    min_score_share: float = 0.9  # for tune_min_score=precision or recall: the share that is wanted
    measure_train: bool = False  # at the end, measure the training split too, as train_<figure>
    patience: int = 0  # epochs without a better validation metric before training stops; 0: never
    val_every: int = 1
    compare_epochs: int = 0  # epochs trained with the naive input first, to compare times with
    seed: int = 0  # of the weights, the order of images and their augmentation
    deterministic: bool = False
    gpus: int = 1
    sync_batch_norm: bool | None = None  # batch statistics over all replicas; null: where there are several workers
    accumulate: int = 1  # batches that make one step of the optimizer
    precision: str = "fp32"  # fp32 | bf16 | fp16, of the training; what is written is float32
    xla: bool = False
    peer_wait_s: float = 300.0
    workers: int = 0
    resume: bool = False
    force: bool = False  # in a sweep: train again what has finished before

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self.teacher = self.teacher or None
        for key in ("epochs", "batch_size", "val_every", "accumulate"):
            at_least(key, getattr(self, key), 1)
        for key in (
            "gpus",
            "clip_norm",
            "compare_epochs",
            "workers",
            "patience",
            "freeze_epochs",
            "thaw_blocks",
            "guard_epochs",
            "guard_returns",
            "warmup_epochs",
            "weight_decay",
            "seed",
        ):
            at_least(key, getattr(self, key), 0)
        self._check_rates()
        greater_than("peer_wait_s", self.peer_wait_s, 0)
        one_of("precision", self.precision, ("fp32", "bf16", "fp16"))
        one_of("schedule", self.schedule, ("cosine", "constant"))
        one_of("class_weight", self.class_weight, ("none", "loss", "logits"))
        one_of("assigner", self.assigner, ("centre", "task_aligned"))
        one_of("box_loss", self.box_loss, ("giou", "ciou"))
        between("label_smoothing", self.label_smoothing, 0.0, 0.5)
        require(
            self.teacher is None or self.model.scores == "objectness",
            f"teacher speaks of objectness, which model.scores={self.model.scores} does not learn: set teacher=null or "
            "model.scores=objectness.",
        )
        between("teacher_weight", self.teacher_weight, 0.0, 1.0)
        between("teacher_temperature", self.teacher_temperature, 1.0, 100.0)
        one_of("tune_threshold", self.tune_threshold, ("none", "balanced_accuracy", "recall", "precision"))
        between("threshold_recall", self.threshold_recall, 0.5, 1.0)
        between("threshold_precision", self.threshold_precision, 0.5, 1.0)
        one_of("tune_min_score", self.tune_min_score, ("none", "f1", "precision", "recall"))
        between("min_score_share", self.min_score_share, 0.05, 1.0)
        require(
            self.compare_epochs <= self.epochs,
            f"compare_epochs must be at most epochs={self.epochs}, got {self.compare_epochs}.",
        )
        require(
            self.compare_epochs == 0 or self.input.name != "naive",
            "compare_epochs compares with input=naive: use another input, or set compare_epochs=0.",
        )
        between("ema_decay", self.ema_decay, 0.0, 0.99999)
        require(
            self.batch_size % max(self.gpus, 1) == 0,
            f"batch_size is the global batch and must be a multiple of gpus, got batch_size={self.batch_size} and "
            f"gpus={self.gpus}.",
        )

    def _check_rates(self) -> None:
        if isinstance(self.learning_rate, str):
            given = self.learning_rate
            require(given == AUTO, f"learning_rate must be a number, auto or null, got {given!r}.")
        elif self.learning_rate is not None:
            greater_than("learning_rate", self.learning_rate, 0)
        if isinstance(self.backbone_lr_scale, str):
            given = self.backbone_lr_scale
            require(given == AUTO, f"backbone_lr_scale must be a number from 0 to 1 or auto, got {given!r}.")
        else:
            between("backbone_lr_scale", self.backbone_lr_scale, 0.0, 1.0)
        between("layer_lr_decay", self.layer_lr_decay, 0.1, 1.0)
