"""Keys without a say: none in the code, and those of a run are told."""

import ast
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from mirada.config import SCHEMAS, ExperimentConfig, FitConfig, parse
from mirada.config.commands import COMMANDS
from mirada.config.idle import Facts, idle_settings, tell_idle
from mirada.sweeps.compose import compose_stages, qualify
from mirada.sweeps.fit_settings import compose_fit, spell_recipe

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(config_dir=str(PROJECT / "conf"), version_base="1.3"):
        yield


def made(stage: str, *overrides: str) -> Any:
    needed = ["source=x"] if stage == "predict" else []
    return parse(compose(stage, overrides=["output_dir=out", *needed, *overrides]))


CASES = [
    # stage, overrides, facts, keys that are told
    ("train", "model=tiny model.width=8", Facts("classification"), ["model.width"]),
    ("train", "model=tiny model.width=8", Facts("detection"), []),
    ("train", "model=mcu model.width=8 model.head_stride=16 model.blocks=1 guard_epochs=1", Facts("classification"),
     ["model.head_stride", "guard_epochs"]),
    ("train", "model=tiny model.head_stride=8 model.blocks=1", Facts("detection"), ["model.blocks"]),
    ("train", "model.width=96 model.head_depth=3", Facts("localization"), []),
    ("train", "model.width=96 model.stages=4", Facts("classification"), []),
    ("train", "model=mcu model.stages=4", Facts("classification"), ["model.stages"]),
    ("train", "model.dropout=0.5", Facts("detection"), ["model.dropout"]),
    ("train", "model.dropout=0.5", Facts("localization"), []),
    ("train", "model=study1 model.frozen_blocks=1 freeze_epochs=5", Facts("localization"),
     ["model.frozen_blocks", "freeze_epochs"]),
    ("train", "model=study1 model.pool_after=[1]", Facts("localization"), []),
    ("train", "model.pool_after=[1]", Facts("localization"), ["model.pool_after"]),
    ("train", "model=tiny model.frozen_blocks=1", Facts("detection"), ["model.frozen_blocks"]),
    ("train", "class_weight=loss label_smoothing=0.1", Facts("detection", classes=1), ["class_weight", "label_smoothing"]),
    ("train", "class_weight=loss label_smoothing=0.1", Facts("detection", classes=2), []),
    ("train", "teacher_weight=0.9 teacher_temperature=2", Facts("detection"), ["teacher_weight", "teacher_temperature"]),
    ("train", "teacher=x teacher_weight=0.9 teacher_temperature=2", Facts("detection"), []),
    ("train", "teacher=x teacher_weight=0 teacher_temperature=2", Facts("detection"), ["teacher", "teacher_temperature"]),
    ("train", "teacher=x teacher_temperature=2", Facts("detection", classes=1), ["teacher_temperature"]),
    ("train", "tune_threshold=recall threshold_recall=0.9", Facts("classification"), []),
    ("train", "tune_threshold=recall", Facts("detection"), ["tune_threshold"]),
    ("train", "tune_threshold=recall", Facts("localization", classes=3), ["tune_threshold"]),
    ("train", "threshold_recall=0.9", Facts("classification"), ["threshold_recall"]),
    ("train", "tune_threshold=precision threshold_precision=0.9", Facts("classification"), []),
    ("train", "tune_threshold=recall threshold_precision=0.9", Facts("classification"), ["threshold_precision"]),
    ("train", "augment.hue=0.1 augment.contrast=0.1", Facts("detection", channels=1), ["augment.hue"]),
    ("train", "augment.mosaic=0.5 augment.mixup=0.5 augment.copy_paste=0.5 augment.plain_epochs=3 assigner=task_aligned "
     "box_loss=ciou augment.keep_sizes=true", Facts("detection"), []),
    ("train", "augment.mixup=0.5 augment.plain_epochs=5 epochs=5", Facts("detection"), ["augment.mixup"]),
    ("train", "augment.copy_paste=0.5 augment.mosaic=0.5", Facts("detection", classes=1), ["augment.copy_paste"]),
    ("train", "augment.plain_epochs=3 augment.rand_operations=2 augment.rand_strength=0.5", Facts("detection"),
     ["augment.rand_operations", "augment.rand_strength", "augment.plain_epochs"]),
    ("train", "assigner=task_aligned augment.mosaic=0.5 augment.keep_sizes=true augment.plain_epochs=3",
     Facts("classification"), ["assigner", "augment.mosaic", "augment.keep_sizes", "augment.plain_epochs"]),
    ("train", "augment.mixup=0.5 augment.plain_epochs=3 augment.rand_operations=2 augment.rand_strength=0.5",
     Facts("classification"), []),
    ("train", "model.dfl_bins=8 model.scores=class_wise label_smoothing=0.1", Facts("detection"), ["label_smoothing"]),
    ("train", "model.dfl_bins=8 model.scores=class_wise", Facts("detection", classes=1), ["model.scores"]),
    ("train", "model.dfl_bins=8 model.scores=class_wise", Facts("localization"), ["model.dfl_bins", "model.scores"]),
    ("train", "box_loss=ciou augment.mixup=0.5 augment.plain_epochs=3 augment.keep_sizes=true", Facts("localization"),
     ["box_loss", "augment.mixup", "augment.plain_epochs"]),
    ("train", "augment.mosaic=0.5 epochs=1", Facts("detection"), []),
    ("train", "patience=3 val_every=2", Facts("detection", validated=False), ["patience", "val_every"]),
    ("train", "tune_min_score=recall min_score_share=0.8", Facts("detection", validated=False),
     ["tune_min_score", "min_score_share"]),
    ("train", "tune_threshold=recall", Facts("detection", validated=False), ["tune_threshold"]),
    ("train", "guard_epochs=1 guard_returns=1", Facts("detection", validated=False), ["guard_epochs", "guard_returns"]),
    ("train", "guard_epochs=1 guard_returns=1", Facts("detection"), []),
    ("train", "model=mcu layer_lr_decay=0.5 thaw_blocks=2", Facts("detection"), ["layer_lr_decay", "thaw_blocks"]),
    ("train", "sync_batch_norm=true peer_wait_s=9", Facts("detection"), ["peer_wait_s", "sync_batch_norm"]),
    ("train", "sync_batch_norm=true peer_wait_s=9", Facts("detection", workers=2), []),
    ("train", "input=naive workers=3", Facts("detection"), ["workers"]),
    ("preprocess", "encoding=png quality=80", Facts("detection"), ["quality"]),
    ("preprocess", "data.several=crop", Facts("detection"), ["data.several"]),
    ("preprocess", "data=shapes data.tile.overlap=0.5", Facts("detection"), ["data.tile.overlap"]),
    ("preprocess", "data.split.group=a data.split.merge_val=true", Facts("detection"),
     ["data.split.group", "data.split.merge_val"]),
    ("preprocess", "data=shapes data.table.header=true", Facts("detection"), ["data.table.header"]),
    ("quantize", "variants=[float32,int8] max_drop=null qat.epochs=5 ladder=[qat]", Facts("detection"),
     ["qat.epochs", "ladder"]),
    ("quantize", "pruning.sparsity=0.6 clustering.clusters=9 fine_tune.epochs=1 qat.epochs=5", Facts("detection"),
     ["pruning.sparsity", "clustering.clusters", "fine_tune.epochs"]),
    ("quantize", "variants=[float32,pruned] pruning.sparsity=0.6 fine_tune.epochs=1", Facts("detection"), []),
    ("quantize", "ladder=[calibration] float_layers=3", Facts("detection"), ["float_layers"]),
    ("quantize", "variants=[float32] ladder=[calibration] qat.teacher=float", Facts("detection"), ["qat.teacher"]),
    ("quantize", "qat.teacher=float", Facts("detection"), []),
    ("quantize", "max_drop=null climb_until=proof", Facts("detection"), ["climb_until"]),
    ("quantize", "max_drop=null prefer=speed", Facts("detection"), ["prefer"]),
    ("quantize", "climb_until=proof prefer=speed", Facts("detection"), []),
    ("quantize", "variants=[float32] max_drop=null qat.guard_epochs=2 qat.warmup_epochs=1 qat.layer_lr_decay=0.5",
     Facts("detection"), ["qat.guard_epochs", "qat.warmup_epochs", "qat.layer_lr_decay"]),
    ("quantize", "variants=[float32,pruned] max_drop=null qat.learning_rate=auto qat.guard_returns=1 qat.warmup_epochs=1",
     Facts("detection"), ["qat.learning_rate", "qat.guard_returns"]),
    ("quantize", "qat.guard_epochs=0 qat.guard_returns=1", Facts("detection"), ["qat.guard_returns"]),
    ("quantize", "qat.learning_rate=auto qat.guard_epochs=2 qat.guard_returns=1 qat.warmup_epochs=1 "
     "qat.layer_lr_decay=0.5", Facts("detection"), []),
    ("evaluate", "nms_iou=0.6 max_detections=5", Facts("classification"), ["max_detections", "nms_iou"]),
    ("evaluate", "nms_iou=0.6 max_detections=5 scales=[1,2]", Facts("detection", tiles=True), []),
    ("evaluate", "scales=[1,2] overlap=0.1", Facts("detection"), ["overlap", "scales"]),
    ("evaluate", "judged=int8", Facts("detection"), ["judged"]),
    ("evaluate", "judged=int8 +limits={max_drop: 0.1}", Facts("detection"), []),
    ("predict", "every_nth=2 max_fps=3", Facts("detection"), ["every_nth", "max_fps"]),
    ("predict", "every_nth=2 max_fps=3", Facts("detection", footage=True), []),
    ("fit", "npu_milliseconds=8 data=shapes data.path=x", Facts("detection"), ["npu_milliseconds", "data.path"]),
    ("fit", "npu_milliseconds=8 data=voc data.path=x device=ethos_u55_128", Facts("detection"), []),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "overrides", "facts", "keys"), CASES)
def test_a_key_without_a_say_is_told_and_no_other(stage: str, overrides: str, facts: Facts, keys: list[str]) -> None:
    words = overrides.replace("{max_drop: ", "{max_drop:").split()
    assert [key for key, _ in idle_settings(made(stage, *words), facts)] == keys


def test_what_is_told_names_value_and_reason() -> None:
    config = made("train", "model=tiny", "model.width=8", "label_smoothing=0.1")
    assert tell_idle(config, Facts("classification", classes=1)) == (
        "no effect here: model.width=8 (a classifier has no pyramid and one dense layer), label_smoothing=0.1 (there is one "
        "class)."
    )
    assert tell_idle(made("train"), Facts("classification")) == ""


@pytest.mark.parametrize("recipe", sorted(path.stem for path in (PROJECT / "conf/experiment").glob("*.yaml")))
def test_no_recipe_sets_a_key_without_a_say(recipe: str) -> None:
    words = [f"experiment={recipe}", "data.path=x"]
    if recipe.startswith("fit_"):
        arguments = qualify(spell_recipe([words[0], "output_dir=out"], PROJECT / "conf"), FitConfig)
        told = compose_fit(parse(compose("fit", overrides=arguments)), []).stages
    else:
        cfg = compose("experiment", overrides=[*words, "output_dir=out"])
        told = compose_stages(words[1:], "out", parse(cfg).recipe)
    data, made_as = told["preprocess"].data, told["preprocess"]
    facts = Facts(data.task, channels=made_as.channels)
    assert {stage: tell_idle(told[stage], facts) for stage in ("preprocess", "train", "quantize", "evaluate")} == {
        "preprocess": "", "train": "", "quantize": "", "evaluate": "",
    }  # fmt: skip


@pytest.mark.parametrize("path", sorted((PROJECT / "conf").glob("data/*.yaml")), ids=lambda path: path.stem)
def test_no_data_set_comes_with_a_key_without_a_say(path: Path) -> None:
    config = made("preprocess", f"data={path.stem}", "data.path=x")
    assert tell_idle(config, Facts(config.data.task)) == ""


def keys_of(schema: type, prefix: str = "") -> Iterator[str]:
    for entry in fields(schema):
        yield f"{prefix}{entry.name}"
        nested = entry.default_factory() if callable(entry.default_factory) else None
        if nested is not None and is_dataclass(nested):
            yield from keys_of(type(nested), f"{prefix}{entry.name}.")


def test_every_key_is_read_somewhere() -> None:
    """By its name, outside of the schemas that check it; of a section also whole, through `asdict`."""
    read = set()
    for path in [*(PROJECT / "src").rglob("*.py")]:
        if "config" in path.relative_to(PROJECT / "src").parts[:2] or path.parent.name == "config":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                read.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                read.add(node.value)
    schemas = {**SCHEMAS, **COMMANDS, "experiment": ExperimentConfig}
    keys = {f"{name}: {key}" for name, schema in schemas.items() for key in keys_of(schema)}
    assert len(keys) > 250
    assert {key for key in keys if key.rpartition(".")[2].rpartition(" ")[2] not in read} == {
        "fit: npu_milliseconds"  # becomes device.limits.milliseconds where it is checked
    }
