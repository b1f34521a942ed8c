"""The boards of `conf/device`, for whoever asks which of them would carry a model."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mirada.boards.limits import CHIPS, limits_of
from mirada.config import DeviceConfig
from mirada.project import PROJECT

NONE = "none"  # the file for no board
BOARDS = PROJECT / "conf" / "device"


def read_boards(folder: Path = BOARDS) -> dict[str, DeviceConfig]:
    """Name -> board, sorted.

    Raises:
        MiradaError: a value is out of range.
    """
    found = {}
    for path in sorted(path for path in folder.glob("*.yaml") if path.stem != NONE):
        values = OmegaConf.load(path)
        assert isinstance(values, DictConfig)
        values.pop("defaults", None)
        board = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DeviceConfig), values))
        assert isinstance(board, DeviceConfig)
        found[path.stem] = board
    return found


def smallest_board(arena_bytes: float, flash_bytes: float, boards: dict[str, DeviceConfig]) -> DeviceConfig | None:
    """The microcontroller with the least memory for a model that still has enough of it; None where none has.

    Args:
        arena_bytes, flash_bytes: what a model takes, by TensorFlow Lite Micro.
        boards: as `read_boards` gives them; those whose memory is not known are passed over.
    """
    fitting = []
    for board in boards.values():
        if board.runtime not in CHIPS or board.ram_bytes is None or board.flash_bytes is None:
            continue
        limits = limits_of(board)
        assert limits.arena_bytes is not None and limits.flash_bytes is not None
        if arena_bytes <= limits.arena_bytes and flash_bytes <= limits.flash_bytes:
            fitting.append((limits.arena_bytes, limits.flash_bytes, board.name, board))
    return min(fitting)[3] if fitting else None
