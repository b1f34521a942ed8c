"""What a search is after: figures of `metrics.json`, as in `objectives=[int8/map50,int8/latency_ms_p50]`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mirada.config import TASKS
from mirada.errors import MiradaError
from mirada.evaluation.figures import COST_KEYS, DROP, is_better_lower
from mirada.inference.variants import REFERENCE
from mirada.tasks import get_task

DIRECTIONS = ("maximize", "minimize")


def direction_of(objective: str) -> str:
    """Whether an objective '<variant>/<figure>' is better 'maximize'd or 'minimize'd."""
    return "minimize" if is_better_lower(objective.partition("/")[2]) else "maximize"


def check_objectives(objectives: Sequence[str], variants: Sequence[str], task: str) -> None:
    """Refuse objectives that an experiment will not measure, before it starts.

    Args:
        objectives: '<variant>/<figure>' each.
        variants: that will be made, 'best' included where there will be one.
        task: as in `data.task`; of 'auto' the figures of every task are known.

    Raises:
        MiradaError: the sentence names the objective.
    """
    figures = (
        column.key
        for found in _tasks(task)
        for column in (*get_task(found).main_columns, *get_task(found).more_columns)
    )
    known = (*dict.fromkeys(figures), *COST_KEYS, *DROP)
    for objective in objectives:
        variant, slash, figure = objective.partition("/")
        if not slash:
            raise MiradaError(
                f"objectives: {objective} names no variant: write <variant>/<figure>, as in int8/{known[0]}."
            )
        if variant not in variants:
            raise MiradaError(
                f"objectives: the variant of {objective} is not among {', '.join(variants)}: add it to "
                "quantize.variants, or choose another."
            )
        if figure not in known:
            close = difflib.get_close_matches(figure, known, n=1)
            advice = f"did you mean {variant}/{close[0]}?" if close else f"choose one of {', '.join(known)}."
            raise MiradaError(f"objectives: {objective} names no figure of {' or '.join(_tasks(task))}: {advice}")
    if doubled := [objective for i, objective in enumerate(objectives) if objective in objectives[:i]]:
        raise MiradaError(f"objectives holds {doubled[0]} twice: leave one out.")


def _tasks(task: str) -> tuple[str, ...]:
    """The tasks that `data.task` may come to; what a task measures first tells it from those after it."""
    return tuple(TASKS) if task == "auto" else (task,)


def check_split(split: str) -> None:
    """Refuse a search or objectives that look at the test images: whoever chooses by them has trained on them."""
    if split != "val":
        raise MiradaError(
            f"evaluate.split={split}: a search that chooses by the {split} images would spoil them for the final "
            "measurement: add evaluate.split=val, and measure what it finds on test afterwards."
        )


def check_directions(directions: Sequence[str] | None, objectives: Sequence[str]) -> list[str]:
    """The direction of each objective.

    Args:
        directions: as given; None: each objective's own, 'maximize' where none is named.
        objectives: '<variant>/<figure>' each; empty where the job's value has no name.

    Raises:
        MiradaError: a word is wrong, their number is, or one contradicts what the figure means.
    """
    if directions is None:
        return [direction_of(objective) for objective in objectives] or ["maximize"]
    if not directions:
        raise MiradaError("hydra.sweeper.directions is empty: give one of maximize, minimize for each objective.")
    for direction in directions:
        if direction not in DIRECTIONS:
            raise MiradaError(f"hydra.sweeper.directions may hold {' and '.join(DIRECTIONS)}, got {direction!r}.")
    if objectives and len(directions) != len(objectives):
        raise MiradaError(
            f"hydra.sweeper.directions has {len(directions)} and objectives {len(objectives)}: give each objective one, "
            "or leave directions out."
        )
    for objective, direction in zip(objectives, directions, strict=False):
        if direction != direction_of(objective):
            better = "higher" if direction_of(objective) == "maximize" else "lower"
            raise MiradaError(
                f"hydra.sweeper.directions: {objective} is better when {better}: {direction_of(objective)} it, or leave "
                "directions out."
            )
    return list(directions)


def check_experiment(objectives: Sequence[str], stages: Mapping[str, Any]) -> None:
    """Refuse objectives that these stages will not measure, or not on the validation images.

    Args:
        objectives: '<variant>/<figure>' each; at least one.
        stages: stage -> its configuration, as `compose_stages` returns it.

    Raises:
        MiradaError: the sentence names the key.
    """
    quantize = stages["quantize"]
    variants = [*quantize.variants, *(["best"] if quantize.max_drop is not None else [])]
    check_objectives(objectives, variants, stages["preprocess"].data.task)
    check_split(stages["evaluate"].split)


def value_of(
    figures: Mapping[str, Mapping[str, float]], objectives: Sequence[str], stages: Mapping[str, Any]
) -> float | tuple[float, ...]:
    """What an experiment tells a search.

    Args:
        figures: variant -> its figures, as in `metrics.json`.
        objectives: '<variant>/<figure>' each; empty: the task's main metric of the judged variant.
        stages: stage -> its configuration.

    Returns:
        The value, or one an objective where there are several; NaN where one was not measured.
    """
    if not objectives:
        from mirada.evaluation.pareto import variant_to_show

        metrics = [get_task(task).main_metric for task in _tasks(stages["preprocess"].data.task)]
        metric = next((name for name in metrics if name in figures.get(REFERENCE, {})), metrics[0])
        variant = stages["evaluate"].judged or variant_to_show(figures, metric) or REFERENCE
        objectives = [f"{variant}/{metric}"]
    pairs = [objective.partition("/") for objective in objectives]
    values = tuple(float(figures.get(variant, {}).get(figure, math.nan)) for variant, _, figure in pairs)
    return values if len(values) > 1 else values[0]
