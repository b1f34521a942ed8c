"""A model from the MLflow registry, fetched by a process of its own: MLflow is never imported where requests are answered.

The registered version holds one variant; float32 comes from the files of its run, where they are there, to be compared with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from mirada.errors import MiradaError
from mirada.files import write_whole
from mirada.project import own_environment
from mirada.service.model.bundle import Bundle, copy_model, find_copy

_FETCH_S = 300.0
_MEMORY = "champion.json"  # what was fetched last


def load_champion(uri: str, var_dir: Path, fresh: bool) -> Bundle:
    """The model that a registry's URI names now.

    Args:
        uri: models:/<name>@<alias> or models:/<name>/<version>.
        var_dir: the service's folder.
        fresh: ask the registry, even where a copy of an earlier answer is there.

    Raises:
        MiradaError: the registry does not have it.
    """
    memory = var_dir / _MEMORY
    if not fresh and (kept := _recall(memory, uri, var_dir)) is not None:
        return kept
    with tempfile.TemporaryDirectory(prefix="mirada-") as folder:
        command = [sys.executable, "-m", "mirada.service.model.download", uri, folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_S, env=own_environment())
        except subprocess.TimeoutExpired as error:
            raise MiradaError(f"{uri} was not fetched within {_FETCH_S:g} s: check MLFLOW_TRACKING_URI.") from error
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise MiradaError(reason.removeprefix("error: "))
        bundle = copy_model(Path(folder), Path(folder), var_dir)
        about = json.loads((Path(folder) / "about.json").read_text())
    bundle.figures, bundle.version = about["figures"], about["version"]
    write_whole(memory, json.dumps(about | {"uri": uri, "digest": bundle.digest}))
    return bundle


def _recall(memory: Path, uri: str, var_dir: Path) -> Bundle | None:
    try:
        about = json.loads(memory.read_text())
        bundle = find_copy(about["digest"], var_dir) if about["uri"] == uri else None
    except (OSError, ValueError, KeyError):
        return None
    if bundle is not None:
        bundle.figures, bundle.version = about["figures"], about["version"]
    return bundle
