"""What is told before a search begins: keys that have no say in it, and memory that nobody judges."""

from __future__ import annotations

from dataclasses import replace

from mirada.boards.limits import limits_of, say_not_judged
from mirada.config import FitConfig
from mirada.config.idle import Facts, tell_idle
from mirada.sweeps.fit_settings import FitSettings


def tell_before(config: FitConfig, settings: FitSettings) -> None:
    """Print it, a line each.

    Args:
        config: of the search. settings: of the stages, whose data may be those of a recipe.

    Raises:
        MiradaError: the board has no limits.
    """
    data = settings.stages["fetch"].data
    idle = tell_idle(replace(config, data=data), Facts(data.task))
    for told in (idle, say_not_judged(config.device, limits_of(config.device))):
        if told:
            print(told, flush=True)
