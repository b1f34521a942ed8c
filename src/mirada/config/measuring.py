"""Settings of what comes after training: quantize, evaluate, compare."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from mirada.config.checks import at_least, between, greater_than, one_of, require
from mirada.config.commands import command
from mirada.config.exporting import DeviceConfig
from mirada.config.tracking import TrackingConfig
from mirada.config.training import AUTO

RUNGS = ("calibration", "selective", "qat", "qat_selective")  # from the cheapest to the dearest
VARIANTS = ("float32", "float16", "dynamic", "int8", "qat")
# Only when asked for: LiteRT computes int16x8 many times slower than float32 on a CPU; the other two take an extra training
# each and pay only where a file is stored or sent compressed.
MORE_VARIANTS = ("int16x8", "pruned", "clustered")
TUNED = ("qat", "pruned", "clustered")  # variants that are trained further
FLOAT = "float"  # as qat.teacher: the model that is quantized


@dataclass
class QatConfig:
    """Quantization-aware training: the trained model is tuned with its int8 rounding in place."""

    epochs: int = 2
    learning_rate: int | float | str = 3e-5  # auto: by a range test
    calibration_batches: int = 30  # batches that set the ranges before training starts
    patience: int = 0  # epochs without a better validation metric before tuning stops; 0: never
    gpus: int = 1
    teacher: str | None = None  # float: the model itself | folder of another one; null: the labels alone
    warmup_epochs: float = 0.2
    layer_lr_decay: float = 1.0  # each block of the pretrained layers learns so much slower than the one after it
    guard_epochs: int = 1  # epochs below the calibrated network's figure before tuning goes back to it; 0: never
    guard_returns: int | None = None  # times that it goes back and on more gently; null: the float training's

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self.teacher = self.teacher or None
        at_least("qat.epochs", self.epochs, 1)
        if isinstance(self.learning_rate, str):
            given = self.learning_rate
            require(given == AUTO, f"qat.learning_rate must be a number or auto, got {given!r}.")
        else:
            greater_than("qat.learning_rate", self.learning_rate, 0)
        at_least("qat.calibration_batches", self.calibration_batches, 1)
        at_least("qat.patience", self.patience, 0)
        at_least("qat.gpus", self.gpus, 0)
        at_least("qat.warmup_epochs", self.warmup_epochs, 0)
        between("qat.layer_lr_decay", self.layer_lr_decay, 0.1, 1.0)
        at_least("qat.guard_epochs", self.guard_epochs, 0)
        at_least("qat.guard_returns", self.guard_returns or 0, 0)


@dataclass
class PruningConfig:
    """Variant pruned: int8 whose smallest weights are 0."""

    sparsity: float = 0.5  # share of each pruned kernel's weights that become 0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        greater_than("pruning.sparsity", self.sparsity, 0)
        require(
            self.sparsity < 1, f"pruning.sparsity must be below 1, got {self.sparsity:g}: something has to be left."
        )


@dataclass
class ClusteringConfig:
    """Variant clustered: int8 with few different values in each kernel."""

    clusters: int = 32

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require(4 <= self.clusters <= 254, f"clustering.clusters must be from 4 to 254, got {self.clusters}.")


@dataclass
class FineTuneConfig:
    """How pruned and clustered are trained further; all else is as `QatConfig` says, but nothing guards them."""

    epochs: int = 3  # of training with zeros or few values in place
    learning_rate: float | None = None  # at its peak; null: of the float training's a 3rd (pruned), a 30th (clustered)

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        at_least("fine_tune.epochs", self.epochs, 1)
        if self.learning_rate is not None:
            greater_than("fine_tune.learning_rate", self.learning_rate, 0)


@dataclass
class QuantizeConfig:
    """Settings of the stage `quantize`."""

    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    model_dir: str = MISSING  # what train wrote
    data_dir: str = MISSING  # what preprocess wrote
    output_dir: str = MISSING
    variants: list[str] = field(default_factory=lambda: list(VARIANTS))
    calibration_images: int = 128
    qat: QatConfig = field(default_factory=QatConfig)
    pruning: PruningConfig = field(default_factory=PruningConfig)
    clustering: ClusteringConfig = field(default_factory=ClusteringConfig)
    fine_tune: FineTuneConfig = field(default_factory=FineTuneConfig)
    max_drop: float | None = None  # the budget: how far int8's main metric may lie below float32's on val; null: none
    ladder: list[str] = field(default_factory=lambda: list(RUNGS))  # what is tried to keep within it, in this order
    float_layers: int = 8  # at most so many operators stay float on the selective rungs
    climb_until: str = "estimate"  # a rung's drop is within max_drop; proof: all of its 95 % interval is
    prefer: str = "size"  # or speed: which of several rungs proven within max_drop becomes best
    on_miss: str = (
        "warn"  # fail: end with an error, everything written, when best is beyond max_drop; strict: unless within
    )
    device: DeviceConfig | None = None  # a board that best has to fit, too; null: none
    evidence_images: int = 16  # images that layers.csv is measured on; 0: there is none
    seed: int = 0  # of the choice of images, and of a drop's interval; what is trained further has the float training's

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        at_least("evidence_images", self.evidence_images, 0)
        at_least("float_layers", self.float_layers, 1)
        one_of("on_miss", self.on_miss, ("warn", "fail", "strict"))
        one_of("climb_until", self.climb_until, ("estimate", "proof"))
        one_of("prefer", self.prefer, ("size", "speed"))
        if self.max_drop is not None:
            between("max_drop", self.max_drop, 0.0, 1.0)
        for rung in self.ladder:
            one_of("ladder", rung, RUNGS)
        require(bool(self.ladder), f"ladder must hold one of {', '.join(RUNGS)}; for none, set max_drop=null.")
        for variant in self.variants:
            one_of("variants", variant, (*VARIANTS, *MORE_VARIANTS))
        require("float32" in self.variants, "variants must hold float32: every other variant is compared with it.")
        at_least("calibration_images", self.calibration_images, 1)

    @property
    def may_tune(self) -> bool:
        """Whether a variant or a rung of the ladder trains."""
        return bool({*TUNED} & {*self.variants}) or self.may_tune_qat

    @property
    def may_tune_qat(self) -> bool:
        """Whether that is qat, and not pruned and clustered alone."""
        rungs = {"qat", "qat_selective"} & {*self.ladder} if self.max_drop is not None else set()
        return "qat" in self.variants or bool(rungs)


@command("check_qat")
@dataclass
class CheckQatConfig:
    """Settings of `check_qat`."""

    path: str = MISSING  # a .keras file


@command("check_tflite")
@dataclass
class CheckTfliteConfig:
    """Settings of `check_tflite`."""

    path: str = MISSING  # a .tflite
    twin: str | None = None  # the float .tflite of the same network
    data_dir: str | None = None  # pictures, or a folder that preprocess wrote; with twin
    images: int = 16
    mean: float | None = None  # the input is (pixel - mean) / std; null: as the metadata or the input's grid say
    std: float | None = None  # see mean
    fail_on: str = "error"  # or warning, note, never
    output_dir: str = MISSING  # tables and plots

    def __post_init__(self) -> None:
        """Refuse values out of range, and halves of what belongs together."""
        one_of("fail_on", self.fail_on, ("error", "warning", "note", "never"))
        at_least("images", self.images, 1)
        require(
            (self.twin is None) == (self.data_dir is None),
            "twin and data_dir belong together: give a float .tflite and images to measure each layer's error, or neither.",
        )
        require((self.mean is None) == (self.std is None), "mean and std belong together: set both or neither.")
        if self.std is not None:
            greater_than("std", self.std, 0)


def check_viewing(view: str, tile: int | None, overlap: float | None, scales: list[float]) -> None:
    """Refuse ways to look at a photograph that make no sense."""
    one_of("view", view, ("auto", "whole", "tiles"))
    if tile is not None:
        at_least("tile", tile, 16)
    if overlap is not None:
        between("overlap", overlap, 0.0, 0.8)
    require(bool(scales) and min(scales) > 0, f"scales must hold one size above 0 at least, got {scales}.")


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
    data_dir: str = MISSING  # what preprocess wrote
    output_dir: str = MISSING
    split: str = "test"  # whose photographs are measured
    score_floor: float = 0.001
    nms_iou: float = 0.5  # of two boxes that overlap more, the lower score goes
    max_detections: int | None = None  # a photograph; null: 100 where it is looked at as a whole, all that tiles find
    view: str = "auto"  # auto (as the training did) | whole | tiles
    tile: int | None = None  # side of a tile in pixels of the photograph; null: the card's
    overlap: float | None = None  # share of a tile's side by which neighbours overlap; null: a half
    scales: list[float] = field(default_factory=lambda: [1.0])  # sizes at which a photograph is looked at
    bootstrap_samples: int = 1000
    latency_runs: int = 100  # inferences behind p50 and p95, in turns with the other variants
    latency_warmup: int = 10  # inferences before those that count
    pictures: int = 4  # how many of the best, the median and the worst images are drawn
    corruptions: int = 40  # inputs of the network that are shown corrupted, too; 0: none
    runtimes: int = 10  # inputs of the network that other kernels are shown, too; 0: none
    saliency: int = 4  # of a classifier: images whose deciding parts are shown, the worst first
    wanted_device: str | None = (
        None  # name of a file of conf/device that a variant is recommended for; null: quantize's
    )
    published: list[PublishedConfig] = field(default_factory=list)
    judged: str | None = None  # the variant that limits judge and that is registered; null: best, else int8 or qat
    limits: dict[str, float] = field(
        default_factory=dict
    )  # max_<figure> or min_<figure> -> number; a breach exits with 1
    register: str | None = None  # name in the MLflow Model Registry of a judged variant within its limits; null: none
    seed: int = 0  # of resamplings and of what is drawn

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        one_of("split", self.split, ("val", "test"))
        between("score_floor", self.score_floor, 0.0, 1.0)
        between("nms_iou", self.nms_iou, 0.05, 1.0)
        require(
            self.register is None or self.tracking.enabled,
            "register adds the model of an MLflow run to the registry: leave tracking.enabled=true.",
        )
        check_viewing(self.view, self.tile, self.overlap, self.scales)
        if self.max_detections is not None:
            at_least("max_detections", self.max_detections, 1)
        at_least("latency_runs", self.latency_runs, 1)
        for key in ("bootstrap_samples", "latency_warmup", "pictures", "corruptions", "runtimes", "saliency"):
            at_least(key, getattr(self, key), 0)


@command("compare")
@dataclass
class CompareConfig:
    """Settings of `compare`."""

    experiment: str = "mirada"  # the MLflow experiment that is searched
    uri: str | None = None  # null: MLFLOW_TRACKING_URI, else sqlite in mlruns/
    runs: list[str] = field(default_factory=list)  # ids or their beginnings; empty: every run
    parent: str | None = None  # id of a sweep's run: all its jobs
    filter: str = ""  # in MLflow's language, e.g. "params.epochs = '20'"
    variants: list[str] = field(default_factory=list)  # empty: all
    metric: str | None = None  # null: the task's main metric
    repeats: list[str] = field(default_factory=lambda: ["seed", "fold"])  # runs that differ in these alone get a mean
    record: bool = True  # with parent: keep page, plots and table in the sweep's run too
    output_dir: str = MISSING  # index.html, the table and the plots

    def __post_init__(self) -> None:
        """Refuse selections that exclude each other, and repeats of what is none."""
        for key in self.repeats:
            one_of("repeats", key, ("seed", "fold"))
        require(
            not (self.runs and (self.parent or self.filter)),
            "runs already names what is compared: leave out parent and filter.",
        )
