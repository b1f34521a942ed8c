"""A configuration on its way from the process that was started by a person to those that it starts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf

from mirada.config import parse
from mirada.files import written_aside

C = TypeVar("C")


def save_settings(config: Any, path: Path) -> None:
    """Write a configuration for `load_settings`; only its owner may read it, as a queue's URL may hold a password."""
    with written_aside(path) as part:
        part.touch(mode=0o600, exist_ok=False)
        part.write_text(json.dumps(asdict(config)))


def load_settings(schema: type[C], path: Path) -> C:
    """The configuration that `save_settings` wrote."""
    config: C = parse(OmegaConf.merge(OmegaConf.structured(schema), json.loads(path.read_text())))  # type: ignore[arg-type]
    return config
