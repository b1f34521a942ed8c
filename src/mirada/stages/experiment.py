"""All stages in one folder of its own, without DVC.

A run is described as for the single stages, each key under its stage's name: `train.epochs=5`, `train.model=tiny`,
`evaluate.split=val`; `data=…` and `data.…` describe the data for `fetch` and `preprocess`. The folders of the stages
are chosen here, so that several experiments share nothing and a sweep (`-m`) can hold one a job.

A recipe (`experiment=study1`, a file of `conf/experiment`) is a set of such settings; the command line's come first.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mirada.cli import explain
from mirada.config import SCHEMAS, parse
from mirada.errors import MiradaError
from mirada.tracking import flatten

FOLDERS: dict[str, dict[str, str]] = {
    "fetch": {"output_dir": "raw"},
    "preprocess": {"raw_dir": "raw", "output_dir": "processed"},
    "train": {"data_dir": "processed", "output_dir": "models/train"},
    "quantize": {"model_dir": "models/train", "data_dir": "processed", "output_dir": "models/quantize"},
    "evaluate": {
        "model_dir": "models/train",
        "variants_dir": "models/quantize",
        "data_dir": "processed",
        "output_dir": "reports/evaluate",
    },
}
"""Stage -> its key -> the folder below the experiment's `output_dir`."""


GROUPS = ("model", "augment", "input")
"""Keys of a stage that choose a file of `conf/<key>`."""


def compose_stages(
    overrides: Sequence[str], output_dir: str, recipe: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Compose and check every stage's configuration; Hydra must have been initialized with `conf/`.

    Args:
        overrides: the command line's, e.g. ['data=voc', 'train.epochs=5'].
        output_dir: the experiment's folder.
        recipe: 'data' -> a choice, stage -> its settings, nested; a setting that an override names is left out.

    Returns:
        Stage -> its configuration's dataclass, in the order in which the stages run.

    Raises:
        MiradaError: a key is unknown, its value is out of range, or it is a folder that the experiment chooses.
    """
    recipe = dict(recipe or {})
    if unknown := set(recipe) - {"data", *SCHEMAS}:
        raise MiradaError(f"unknown key {sorted(unknown)[0]} in the recipe: it may hold data, {', '.join(SCHEMAS)}.")
    return {
        stage: _compose_stage(stage, overrides_of(stage, overrides), output_dir, recipe_of(stage, recipe))
        for stage in SCHEMAS
    }


def recipe_of(stage: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a recipe for one stage, flat; `data` is one of fetch and preprocess.

    >>> recipe_of("train", {"data": "voc", "train": {"epochs": 5, "qat": {"gpus": 2}}})
    {'epochs': 5, 'qat.gpus': 2}
    """
    settings = flatten(recipe.get(stage, {}))
    if "data" in recipe and stage in ("fetch", "preprocess"):
        settings = {"data": recipe["data"], **settings}
    return settings


def overrides_of(stage: str, overrides: Sequence[str]) -> list[str]:
    """The overrides that concern one stage, without the stage's name.

    >>> overrides_of("train", ["data=voc", "train.epochs=5", "+train.model.width=8"])
    ['epochs=5', '+model.width=8']
    """
    kept = []
    for override in overrides:
        match = re.fullmatch(r"(?P<mark>~|\+{1,2})?(?P<key>[^=.@]+)(?P<rest>.*)", override, re.DOTALL)
        if match is None:
            continue
        mark, key, rest = match["mark"] or "", match["key"], match["rest"]
        if key == "data" and stage in ("fetch", "preprocess"):
            kept.append(override)
        elif key == stage and not rest.startswith("."):
            raise MiradaError(f"{override} sets a whole section: set its keys one by one, as in train.epochs=5.")
        elif key == stage:
            kept.append(mark + rest[1:])
    for override in kept:
        if override.partition("=")[0].lstrip("+~") in FOLDERS[stage]:
            raise MiradaError(f"{stage}.{override}: an experiment chooses this folder itself, set output_dir instead.")
    return kept


def _compose_stage(stage: str, overrides: list[str], output_dir: str, recipe: Mapping[str, Any]) -> Any:
    said = {override.partition("=")[0].lstrip("+~") for override in overrides}
    rest = {key: value for key, value in recipe.items() if key not in said}
    choices = [f"{key}={rest.pop(key)}" for key in ("data", *GROUPS) if key in rest]
    try:
        cfg = compose(stage, overrides=[*choices, *overrides])
        for key, value in rest.items():
            OmegaConf.update(cfg, key, value)
    except HydraException as error:
        raise MiradaError(f"in the section {stage}: {explain(error)}") from error
    except OmegaConfBaseException as error:
        raise MiradaError(f"in the section {stage} of the recipe: {str(error).splitlines()[0]}") from error
    for key, folder in FOLDERS[stage].items():
        OmegaConf.update(cfg, key, str(Path(output_dir) / folder))
    try:
        return parse(cfg)
    except MiradaError as error:
        raise MiradaError(f"in the section {stage}: {error}") from error


def run(configs: Mapping[str, Any]) -> Any:
    """Run the stages one after the other.

    Args:
        configs: stage -> its configuration, as `compose_stages` returns it.

    Returns:
        What the last stage returns: the metrics of every variant.
    """
    result = None
    for stage, config in configs.items():
        result = importlib.import_module(f"mirada.stages.{stage}").run(config)
    return result
