"""Settings that have no say in a run as it is set up: told, so that nobody takes them for the reason of what came out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mirada.config.data import PreprocessConfig
from mirada.config.fitting import FitConfig
from mirada.config.measuring import EvaluateConfig, QuantizeConfig
from mirada.config.predicting import PredictConfig
from mirada.config.training import FROM_SCRATCH, PRETRAINED, TrainConfig
from mirada.project import PROJECT

_GROUPS = ("model", "augment", "input")
Idle = Iterator[tuple[str, str]]  # keys, parted by blanks, and why they have no say


@dataclass(frozen=True)
class Facts:
    """What a setting's say hangs on besides other settings.

    Attributes:
        task: of the data, or of the model's card.
        classes, channels: their numbers.
        validated: whether there is an image to validate with.
        workers: of TF_CONFIG; 1 without it.
        tiles: whether photographs are cut.
        footage: whether it is a video that is looked at.
    """

    task: str
    classes: int = 2
    channels: int = 3
    validated: bool = True
    workers: int = 1
    tiles: bool = False
    footage: bool = False


def tell_idle(config: Any, facts: Facts) -> str:
    """One sentence on the settings that are not as they come and have no say; empty where there is none."""
    found = [f"{key}={_value(config, key)} ({why})" for key, why in idle_settings(config, facts)]
    return f"no effect here: {', '.join(found)}." if found else ""


def idle_settings(config: Any, facts: Facts) -> list[tuple[str, str]]:
    """Key and reason of each setting that is not as it comes and has no say.

    Args:
        config: of a stage or of `predict`, checked.
        facts: of its data or model.
    """
    reasons: dict[str, str] = {}
    for keys, why in _RULES[type(config)](config, facts):
        for key in keys.split():
            reasons.setdefault(key, why)
    return [(key, why) for key, why in reasons.items() if _value(config, key) != _default(config, key)]


def _train(config: TrainConfig, facts: Facts) -> Idle:
    published = config.model.backbone in ("study1", "study3")
    if published:
        yield (
            "model.width model.head_depth model.dropout",
            f"the network {config.model.backbone} is as it was published",
        )
    elif facts.task == "classification":
        cut = config.model.backbone in PRETRAINED and config.model.stages is not None
        width = "model.width " * (config.model.backbone != "mcu" and not cut)
        yield f"{width}model.head_depth", "a classifier has no pyramid and one dense layer"
    elif facts.task == "detection":
        yield "model.dropout", "a detector has no such layer"
    if facts.task != "detection":
        yield "model.head_stride model.dfl_bins model.scores", "it is for detection"
    elif facts.classes == 1:
        yield "model.scores", "there is one class"
    elif config.model.scores == "class_wise":
        yield "class_weight label_smoothing", "they are for model.scores=objectness"
    if config.model.backbone != "mcu":
        of_mcu = "model.stem_stride model.stem_width model.multiplier model.blocks model.expansion"
        yield of_mcu, "it is for the network mcu"
    if config.model.backbone not in PRETRAINED:
        yield "model.stages", "it is for pretrained networks"
    if config.model.backbone in FROM_SCRATCH:
        frozen = " freeze_epochs" * (config.freeze_epochs > 0)  # 0 says that there are none
        pretrained = (
            f"model.frozen_blocks backbone_lr_scale layer_lr_decay thaw_blocks{frozen} guard_epochs guard_returns"
        )
        yield pretrained, f"{config.model.backbone} has no pretrained layers"
    if config.model.backbone == "tiny" and config.model.frozen_blocks < 2:
        yield "model.frozen_blocks", "the blocks of tiny begin with 2"
    if config.model.backbone != "study1":
        yield "model.pool_after", "it is for the network study1"
    if facts.classes == 1:
        yield "class_weight label_smoothing", "there is one class"
    yield from _teacher(config, facts)
    if facts.classes != 2 or facts.task == "detection":
        yield "tune_threshold", "it is for one of two classes an image"
    if config.tune_threshold != "recall":
        yield "threshold_recall", "it is for tune_threshold=recall"
    if config.tune_threshold != "precision":
        yield "threshold_precision", "it is for tune_threshold=precision"
    if facts.task != "detection":
        yield "tune_min_score min_score_share", "every image gets one answer, whatever its score"
    elif config.tune_min_score not in ("precision", "recall"):
        yield "min_score_share", "it is for tune_min_score=precision or recall"
    yield from _mixed_images(config, facts)
    if facts.channels == 1:
        yield "augment.hue augment.saturation", "the images are grey"
    if not facts.validated:
        chosen = "tune_threshold threshold_recall tune_min_score min_score_share"
        yield f"patience val_every {chosen} guard_epochs guard_returns", "there is no validation image"
    if facts.workers == 1:
        yield "peer_wait_s", "there are no other workers"
        if config.gpus < 2:
            yield "sync_batch_norm", "there is one replica"
    if not config.input.parallel:
        yield "workers", "this input does one thing after the other"


def _teacher(config: TrainConfig, facts: Facts) -> Idle:
    if config.teacher is None:
        yield "teacher_weight teacher_temperature", "there is no teacher"
    elif config.teacher_weight == 0:
        yield "teacher teacher_temperature", "teacher_weight is 0"
    elif facts.classes == 1:
        yield "teacher_temperature", "there is one class"


def _mixed_images(config: TrainConfig, facts: Facts) -> Idle:
    augment, mixed = config.augment, 0.0
    if facts.task == "detection":
        mixed = augment.mosaic + augment.mixup + augment.copy_paste
    elif facts.task == "classification":
        mixed = augment.mixup
    if facts.task != "detection":
        yield "assigner box_loss augment.mosaic augment.copy_paste", "it is for detection"
    elif facts.classes == 1:
        yield "augment.copy_paste", "there is one class, so none is rare"
    if facts.task == "classification":
        yield "augment.keep_sizes", "a classifier knows no boxes"
    else:
        yield "augment.rand_operations", "it is for classification"
    if facts.task == "localization":
        yield "augment.mixup", "one object an image is wanted"
    if facts.task != "classification" or not augment.rand_operations:
        yield "augment.rand_strength", "it is for rand_operations"
    if not mixed:
        yield "augment.plain_epochs", "nothing is mixed"
    elif augment.plain_of(config.epochs) == config.epochs:
        yield "augment.mosaic augment.mixup augment.copy_paste", "augment.plain_epochs are all epochs"


def _preprocess(config: PreprocessConfig, facts: Facts) -> Idle:
    data = config.data
    if config.encoding == "png":
        yield "quality", "png loses nothing"
    if data.task != "localization":
        yield "data.several", "it is for data.task=localization"
    if not data.tile.size:
        yield "data.tile.overlap data.tile.min_visible", "nothing is cut while data.tile.size is 0"
    if data.split.kind in ("area", "folder", "list"):
        yield "data.split.group", f"data.split.kind={data.split.kind} does not share images out"
    if data.split.kind in ("area", "ratio"):
        yield "data.split.merge_val", f"data.split.kind={data.split.kind} knows no val folder or list"
    if data.format != "table":
        keys = " ".join(f"data.table.{entry.name}" for entry in fields(data.table))
        yield keys, "it is for data.format=table"


def _quantize(config: QuantizeConfig, facts: Facts) -> Idle:
    keys = "qat.calibration_batches qat.patience qat.gpus qat.teacher qat.warmup_epochs qat.layer_lr_decay"
    of_qat = "qat.epochs qat.learning_rate qat.guard_epochs qat.guard_returns"
    if not config.may_tune:
        yield f"{of_qat} {keys}", "no variant is trained further"
    elif not config.may_tune_qat:
        yield of_qat, "it is for qat, neither for pruned nor for clustered"
    elif config.qat.guard_epochs == 0:
        yield "qat.guard_returns", "qat.guard_epochs is 0"
    if "pruned" not in config.variants:
        yield "pruning.sparsity", "variants hold no pruned"
    if "clustered" not in config.variants:
        yield "clustering.clusters", "variants hold no clustered"
    if not {"pruned", "clustered"} & {*config.variants}:
        yield "fine_tune.epochs fine_tune.learning_rate", "variants hold neither pruned nor clustered"
    if config.max_drop is None:
        idle = "ladder float_layers climb_until prefer" + (" on_miss" if config.device is None else "")
        yield idle, "there is no budget while max_drop is null"
    elif not {"selective", "qat_selective"} & {*config.ladder}:
        yield "float_layers", "the ladder has no selective rung"


def _looking(config: EvaluateConfig | PredictConfig, facts: Facts) -> Idle:
    if not facts.tiles:
        yield "tile overlap scales", "photographs are looked at as a whole"
    if facts.task != "detection":
        yield "max_detections", f"{facts.task} finds one thing in a photograph"


def _predict(config: PredictConfig, facts: Facts) -> Idle:
    yield from _looking(config, facts)
    if not facts.footage:
        yield "every_nth max_fps seconds", "the source is no video"


def _evaluate(config: EvaluateConfig, facts: Facts) -> Idle:
    yield from _looking(config, facts)
    if facts.task != "detection":
        yield "score_floor nms_iou", f"{facts.task} finds one thing in a photograph"
    if not config.limits and config.register is None:
        yield "judged", "there are no limits to judge by and nothing is registered"


def _fit(config: FitConfig, facts: Facts) -> Idle:
    board, source = config.device, config.data.source.kind
    if board.vela is None:
        yield "npu_milliseconds", f"device={board.name} has no NPU"
    if source not in ("path", "kaggle"):
        made = "drawn here" if source == "generated" else "those of a package"
        yield "data.path", f"the pictures of data={config.data.name} are {made}"


_RULES: dict[type, Any] = {
    TrainConfig: _train,
    PreprocessConfig: _preprocess,
    QuantizeConfig: _quantize,
    EvaluateConfig: _evaluate,
    PredictConfig: _predict,
    FitConfig: _fit,
}


def _value(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config


def _default(config: Any, key: str) -> Any:
    """What a key is where nobody sets it: as its file of `conf/` says, else its dataclass."""
    group, _, rest = key.partition(".")
    section, name = (getattr(config, group), rest) if rest else (config, key)
    folder = PROJECT / "conf"
    file = folder / group / f"{section.name}.yaml" if group in _GROUPS else folder / f"{_stage_of(config)}.yaml"
    said = _read(file)
    for part in (name if group in _GROUPS else key).split("."):
        said = said.get(part) if isinstance(said, dict) else None
    return said if said is not None else _declared(config, key)


def _declared(config: Any, key: str) -> Any:
    *sections, name = key.split(".")
    for part in sections:
        config = getattr(config, part)
    entry = next(entry for entry in fields(config) if entry.name == name)
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def _stage_of(config: Any) -> str:
    return type(config).__name__.removesuffix("Config").lower()


def _read(file: Path) -> Any:
    if not file.is_file():
        return {}
    return OmegaConf.to_container(OmegaConf.load(file), resolve=False)
