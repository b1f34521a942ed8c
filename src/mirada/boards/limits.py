"""What a model may take of a board."""

from __future__ import annotations

from dataclasses import dataclass

from mirada.config import BoardLimitsConfig, DeviceConfig
from mirada.errors import MiradaError

CHIPS = ("tflm", "vela")  # runtimes whose memory is one arena, laid out before the first inference


@dataclass(frozen=True)
class Limits:
    """Bounds, each included; None: nobody set one.

    Attributes:
        arena_bytes: memory to work in; of an Ethos-U, SRAM. flash_bytes: for the model. milliseconds: of an inference.
    """

    arena_bytes: int | None = None
    flash_bytes: int | None = None
    milliseconds: float | None = None


def limits_of(board: DeviceConfig, own: BoardLimitsConfig | None = None) -> Limits:
    """The limits of a board: those set for this run, else those of its file, else all of its RAM and flash.

    Raises:
        MiradaError: a limit that the board can't keep or that nobody can judge, or none at all, or of a microcontroller
            none of its arena.
    """
    limits = known_limits(board, own)
    if board.runtime not in CHIPS and limits == Limits():
        raise MiradaError(
            f"device={board.name} has no limit to hold a model against, as LiteRT takes memory as it goes and has no arena: "
            f"train without it (python src/experiment.py wanted_device={board.name} says which variant suits it), or set "
            "device.limits.flash_bytes."
        )
    if board.runtime == "tflm" and limits.arena_bytes is None:
        raise MiradaError(
            f"device={board.name} says nothing of its memory, ram_bytes ({_source(board, 'ram_bytes')}) is null: set "
            "device.limits.arena_bytes to what a model may take of it."
        )
    if limits == Limits():
        raise MiradaError(
            f"device={board.name} sets no limit: ram_bytes {_source(board, 'ram_bytes')}; flash_bytes "
            f"{_source(board, 'flash_bytes')}: set "
            f"device.limits.{'milliseconds' if board.vela else 'flash_bytes'} or another of device.limits."
        )
    return limits


def say_not_judged(board: DeviceConfig, limits: Limits) -> str:
    """Which memory has no limit, and the key that sets one; empty where all has.

    Args:
        board: one whose runtime is not of `CHIPS` has no arena that could be judged. limits: of `limits_of`.
    """
    words = {"arena_bytes": "SRAM" if board.vela else "memory", "flash_bytes": "flash"}
    lacking = [
        f"{word} isn't judged: set device.limits.{key}"
        for key, word in words.items()
        if getattr(limits, key) is None and (key == "flash_bytes" or board.runtime in CHIPS)
    ]
    return f"device={board.name}: {'; '.join(lacking)}." if lacking else ""


def known_limits(board: DeviceConfig, own: BoardLimitsConfig | None = None) -> Limits:
    """The same, where a board may have none: only operators are judged then.

    Raises:
        MiradaError: a limit that the board can't keep or that nobody can judge.
    """
    own = own or BoardLimitsConfig()
    for limits in (own, board.limits):
        _check(board, limits)
    arena = _first(own.arena_bytes, board.limits.arena_bytes, board.ram_bytes if board.runtime in CHIPS else None)
    flash = _first(own.flash_bytes, board.limits.flash_bytes, board.flash_bytes)
    return Limits(arena, flash, own.milliseconds if own.milliseconds is not None else board.limits.milliseconds)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _source(board: DeviceConfig, key: str) -> str:
    return board.sources.get(key, "is not known")


def _check(board: DeviceConfig, limits: BoardLimitsConfig) -> None:
    """Refuse what contradicts the board."""
    name = "device.limits"
    for limit, key, what in (("arena_bytes", "ram_bytes", "RAM"), ("flash_bytes", "flash_bytes", "flash")):
        wanted, has = getattr(limits, limit), getattr(board, key)
        if wanted is not None and has is not None and wanted > has:
            raise MiradaError(
                f"{name}.{limit}={wanted} is more than the {has:,} bytes of {what} that {board.title} has: lower it, or "
                f"set device.{key} if your board has more."
            )
    if limits.arena_bytes is not None and board.runtime not in CHIPS:
        raise MiradaError(
            f"{name}.arena_bytes can't be judged on {board.title}: LiteRT takes memory as it goes, an arena is what "
            "microcontrollers have; leave it out."
        )
    if limits.milliseconds is not None and board.vela is None:
        raise MiradaError(
            f"{name}.milliseconds={limits.milliseconds:g} can't be judged on {board.title}: {_source(board, 'time_known')}; "
            "leave it out."
        )
