"""Open the model that a service is told to serve, and see when it has changed."""

from __future__ import annotations

import json
from pathlib import Path

from mirada.config import ServeConfig
from mirada.errors import MiradaError
from mirada.service.model.bundle import Bundle, copy_model


def load_model(config: ServeConfig, fresh: bool = True) -> Bundle:
    """The model that a configuration names, copied and with its figures.

    Args:
        config: of the service.
        fresh: ask the registry again, where the model comes from one.

    Raises:
        MiradaError: there is none yet, a file is damaged, the registry does not have it, or it lacks the wanted variant.
    """
    var_dir = Path(config.var_dir)
    if config.registered is not None:
        from mirada.service.model.champion import load_champion

        bundle = load_champion(config.registered, var_dir, fresh)
    else:
        bundle = copy_model(Path(config.model_dir), Path(config.variants_dir), var_dir)
        bundle.figures = read_figures(Path(config.metrics))
    if config.variant is not None and config.variant not in bundle.variants:
        raise MiradaError(f"The model has no variant={config.variant}: choose one of {', '.join(bundle.variants)}.")
    return bundle


def read_figures(path: Path) -> dict[str, dict[str, float]]:
    """What evaluation wrote; empty where it has not run, or is about to."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def watched_state(config: ServeConfig) -> tuple[tuple[str, int, int], ...] | None:
    """What changes when the watched folders hold another model; None while a stage is writing, or without folders."""
    if config.registered is not None:
        return None
    paths = (Path(config.model_dir) / "model.json", Path(config.variants_dir) / "variants.json", Path(config.metrics))
    found = []
    for path in paths:
        try:
            found.append((str(path), path.stat().st_mtime_ns, path.stat().st_size))
        except OSError:
            if path != paths[-1]:
                return None
    return tuple(found)
