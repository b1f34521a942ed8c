"""How far a piece of work is, on a terminal; nothing elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Speed(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        """The speed lately, once it is known."""
        return Text(f"{task.speed:.1f} images/s" if task.speed else "")


def image_progress() -> Progress:
    """Bars that count images."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


def stage_progress() -> Progress:
    """Bars of a stage that counts several things."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
