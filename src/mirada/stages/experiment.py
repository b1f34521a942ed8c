"""All stages in one folder of its own, without DVC.

A run is described as for the single stages, each key under its stage's name: `train.epochs=5`, `train.model=tiny`,
`evaluate.split=val`; `data=…` and `data.…` describe the data for `fetch` and `preprocess`. The folders of the stages
are chosen here, so that several experiments share nothing and a sweep (`-m`) can hold one a job.
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

from mirada.cli import explain
from mirada.config import SCHEMAS, parse
from mirada.errors import MiradaError

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


def compose_stages(overrides: Sequence[str], output_dir: str) -> dict[str, Any]:
    """Compose and check every stage's configuration; Hydra must have been initialized with `conf/`.

    Args:
        overrides: the command line's, e.g. ['data=voc', 'train.epochs=5'].
        output_dir: the experiment's folder.

    Returns:
        Stage -> its configuration's dataclass, in the order in which the stages run.

    Raises:
        MiradaError: a key is unknown, its value is out of range, or it is a folder that the experiment chooses.
    """
    return {stage: _compose_stage(stage, overrides_of(stage, overrides), output_dir) for stage in SCHEMAS}


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


def _compose_stage(stage: str, overrides: list[str], output_dir: str) -> Any:
    try:
        cfg = compose(stage, overrides=overrides)
    except HydraException as error:
        raise MiradaError(f"in the section {stage}: {explain(error)}") from error
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
