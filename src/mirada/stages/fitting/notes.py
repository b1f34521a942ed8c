"""What is looked at before a search fetches anything: its space, keys that have no say, and memory that nobody judges."""

from __future__ import annotations

from dataclasses import replace

from mirada.boards.limits import limits_of, say_not_judged
from mirada.config import TASKS, FitConfig
from mirada.config.idle import Facts, tell_idle
from mirada.fitting.space import make_space
from mirada.sweeps.fit_settings import FitSettings


def look_over(config: FitConfig, settings: FitSettings) -> None:
    """Print what is to be told, a line each.

    Args:
        config: of the search. settings: of the stages, whose data may be those of a recipe.

    Raises:
        MiradaError: the board has no limits, or the space no network for the task.
    """
    data = settings.stages["fetch"].data
    if data.task in TASKS:  # else it is found out from the data
        make_space(config.space, data.task)
    idle = tell_idle(replace(config, data=data), Facts(data.task))
    for told in (idle, say_not_judged(config.device, limits_of(config.device))):
        if told:
            print(told, flush=True)
