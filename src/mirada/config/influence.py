"""Which settings shape a result, and which only say where it goes and how the work is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mirada.config.measuring import FLOAT
from mirada.errors import MiradaError

# Without a say in any result, as are all folders: what lies in them counts, not where they are.
_NO_SAY = ("tracking", "resume", "force", "peer_wait_s")
# Without a say in the weights: a resumed training may have others.
NOT_IN_WEIGHTS = ("workers", "input", "compare_epochs")
_TEACHER = "teacher"  # a key that names a model: what that is counts, not where it lies


def shapes_result(key: str) -> bool:
    """Whether a setting, 'a' or 'a.b', has a say in what comes out."""
    name = key.partition(".")[0]
    return name not in _NO_SAY and not name.endswith("_dir")


def shaping_settings(config: Any, apart: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of a stage that shape its result.

    Args:
        config: its checked configuration, a dataclass.
        apart: keys to leave out besides.

    Raises:
        MiradaError: there is no model where a teacher is said to be.
    """
    settings = {key: value for key, value in asdict(config).items() if shapes_result(key) and key not in apart}
    return _by_content(settings)


def teacher_digest(model_dir: str) -> str:
    """Hex sha256 of a teacher's network.

    Raises:
        MiradaError: there is none.
    """
    try:
        with (Path(model_dir) / "model.keras").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MiradaError(
            f"teacher={model_dir}: there is no {Path(model_dir) / 'model.keras'}: name the folder of a trained model."
        ) from error


def _by_content(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, each teacher by the digest of its network; `float` is the very model that is at hand."""
    told: dict[str, Any] = {
        key: _by_content(value) if isinstance(value, dict) else value for key, value in settings.items()
    }
    if isinstance(teacher := told.get(_TEACHER), str) and teacher != FLOAT:
        told[_TEACHER] = teacher_digest(teacher)
    return told


def changed_settings(begun: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Key, 'a' or 'a.b', -> 'a=1 then, a=2 now' of the settings that are not the same.

    Args:
        begun, now: what `shaping_settings` gave; the first may have been through JSON.
    """
    then, today = dict(_flat(begun)), dict(_flat(now))
    return {
        key: f"{key}={then.get(key, 'unknown')} then, {key}={today.get(key, 'unknown')} now"
        for key in dict.fromkeys((*today, *then))
        if then.get(key) != today.get(key)
    }


def check_resumed(begun: Mapping[str, Any], now: Mapping[str, Any], where: Path, *, same_data: bool) -> None:
    """Refuse to go on with a training whose settings, save epochs, or whose data are others than it was begun with.

    Args:
        begun, now: as for `changed_settings`.
        where: what the training left, for the message.
        same_data: whether the data are.

    Raises:
        MiradaError: the sentence names each key, as it was and as it is.
    """
    changed = changed_settings(begun, now)
    changed.pop("epochs", None)
    if not same_data:
        changed["data_dir"] = "data_dir holds other data now"
    if changed:
        raise MiradaError(
            f"{where} belongs to another training ({'; '.join(changed.values())}): resume it with the same settings and "
            "data, of which only epochs may be another, or train anew with resume=false."
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)
