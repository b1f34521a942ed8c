"""How far a piece of work is, on a terminal; nothing elsewhere: a log has its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Advance = Callable[[int, int], None]


class _Speed(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        """The speed lately, once it is known."""
        return Text(f"{task.speed:.1f} images/s" if task.speed else "")


def _bars(title: str, *columns: ProgressColumn, stays: bool) -> Progress:
    """Bars on stderr: the title, the bar, some columns and the time that is left; `stays` when the work is done."""
    console = Console(stderr=True)
    shown = (TextColumn(title), BarColumn(), *columns, TimeRemainingColumn())
    return Progress(*shown, console=console, transient=not stays, disable=not console.is_terminal)


def image_progress() -> Progress:
    """Bars that count images, with their speed."""
    return _bars("{task.description}", MofNCompleteColumn(), _Speed(), stays=True)


def stage_progress() -> Progress:
    """Bars of a stage that counts several things."""
    return _bars("{task.description}", MofNCompleteColumn(), stays=True)


@contextmanager
def epoch_progress(epochs: int, steps: int, first_epoch: int) -> Iterator[Advance]:
    """A bar over all steps of a training.

    Args:
        epochs: of the whole training.
        steps: of an epoch.
        first_epoch: from 1; a resumed training begins later.

    Yields:
        A function to call after each step, with the epoch and the step in it, both from 1.
    """
    with _bars("epoch {task.fields[epoch]}", MofNCompleteColumn(), stays=False) as progress:
        bar = progress.add_task("", total=epochs * steps, epoch=first_epoch)
        yield lambda epoch, step: progress.update(bar, completed=(epoch - 1) * steps + step, epoch=epoch)


@contextmanager
def share_progress(title: str) -> Iterator[Advance]:
    """A bar of one thing, in percent; yields a function to call with what is done and the total, in the same unit."""
    with _bars("{task.description}", TaskProgressColumn(), stays=False) as progress:
        bar = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
