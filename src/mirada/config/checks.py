"""What a setting's value may be: each refuses with a sentence that names the key."""

from __future__ import annotations

from mirada.errors import MiradaError


def require(condition: bool, message: str) -> None:
    """Refuse with a sentence unless the condition holds."""
    if not condition:
        raise MiradaError(message)


def at_least(name: str, value: float, low: float) -> None:
    """Refuse a value below `low`."""
    require(value >= low, f"{name} must be at least {low}, got {value}; set {name} to {low} or more.")


def between(name: str, value: float, low: float, high: float) -> None:
    """Refuse a value outside `low` to `high`, both allowed."""
    require(low <= value <= high, f"{name} must be between {low} and {high}, got {value}.")


def greater_than(name: str, value: float, low: float) -> None:
    """Refuse a value that is not greater than `low`."""
    require(value > low, f"{name} must be greater than {low}, got {value}.")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is none of those allowed."""
    require(value in allowed, f"{name} must be one of {', '.join(allowed)}, got {value!r}.")
