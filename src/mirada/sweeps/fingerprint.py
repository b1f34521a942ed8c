"""What makes two runs of a stage the same: its settings, what it reads, and the code that shapes its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import yaml

from mirada.config.influence import shaping_settings
from mirada.project import PROJECT

LIBRARIES = ("ai-edge-litert", "numpy", "pillow", "tensorflow", "tensorflow-model-optimization", "tf-keras")


def job_key(stage: str, config: Any, inputs: Mapping[str, str]) -> str:
    """Name a run of a stage by all that shapes its result; equal keys, equal results.

    Args:
        stage: 'preprocess', 'train' and so on.
        config: its checked configuration, a dataclass. Folders count by what they hold, not by where they are.
        inputs: what the stage reads -> its digest.

    Returns:
        A sha256, 64 hexadecimal digits.
    """
    content = {"stage": stage, "settings": shaping_settings(config), "inputs": dict(inputs), "code": code_digest(stage)}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


@cache
def code_digest(stage: str) -> str:
    """Digest of a stage's source files, which dvc.yaml names alone or by their folder, and of the versions of LIBRARIES."""
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    digest = hashlib.sha256()
    deps = [PROJECT / dep for dep in stages[stage]["deps"] if dep.startswith("src/")]
    files = {path for dep in deps for path in (dep.rglob("*") if dep.is_dir() else [dep])}
    for path in sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(PROJECT).as_posix()}\0".encode() + path.read_bytes())
    for name in LIBRARIES:
        digest.update(f"{name}=={version(name)}\0".encode())
    return digest.hexdigest()
