"""A search over settings: the space as Hydra writes it, the study, and what is told of its trials.

The sweeper itself is `hydra_plugins.mirada_optuna`. Optuna is an extra and imported only when a search begins.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer

from mirada.config.checks import at_least, one_of
from mirada.errors import MiradaError
from mirada.evaluation.pareto import pareto_front

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

SAMPLERS = ("tpe", "nsgaii", "random")
_EXAMPLE = "'learning_rate=tag(log,interval(1e-4,1e-2))'"


@dataclass(frozen=True)
class Settings:
    """`hydra.sweeper.*` of a search, as `OptunaSweeperConf` tells it."""

    n_trials: int
    n_jobs: int
    directions: list[str] | None
    sampler: str
    startup_trials: int
    seed: int
    prune: bool
    prune_after_trials: int
    prune_after_epochs: int
    storage: str | None
    study_name: str
    params: dict[str, str]

    def check(self) -> None:
        """Refuse values out of range; not at once, as Hydra would bury the sentence in one of its own."""
        for key in ("n_trials", "n_jobs", "startup_trials", "prune_after_trials"):
            at_least(f"hydra.sweeper.{key}", getattr(self, key), 1)
        for key in ("seed", "prune_after_epochs"):
            at_least(f"hydra.sweeper.{key}", getattr(self, key), 0)
        one_of("hydra.sweeper.sampler", self.sampler, SAMPLERS)


@dataclass(frozen=True)
class Trial:
    """One trial, as it is told to people.

    Attributes:
        number: from 0, as Optuna counts them.
        state: 'complete', 'pruned', 'failed', or 'running' elsewhere.
        params: key -> value chosen.
        values: of the objectives; of a pruned trial its best validation figure, or none.
        why: what stopped it, empty where it finished.
    """

    number: int
    state: str
    params: dict[str, Any]
    values: tuple[float, ...] = ()
    why: str = ""


# -- the space ---------------------------------------------------------------------------------------------------------


def read_space(overrides: Sequence[Override]) -> tuple[dict[str, BaseDistribution], dict[str, str]]:
    """Tell what is searched from what is fixed.

    Args:
        overrides: as Hydra parsed them; of several for a key the last counts.

    Returns:
        Key -> its distribution, and key -> the override as it was typed.

    Raises:
        MiradaError: nothing is searched, or a sweep makes no sense here.
    """
    space: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    for override in overrides:
        key = override.get_key_element()
        space.pop(key, None)
        fixed.pop(key, None)
        if override.is_sweep_override():
            space[key] = _distribution(override)
        else:
            fixed[key] = override.input_line or key
    if not space:
        raise MiradaError(f"nothing to search: give a key choice(…), range(…) or interval(…), as in {_EXAMPLE}.")
    return space, fixed


def _distribution(override: Override) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep, typed = override._value, override.input_line
    tags = sweep.tags if isinstance(sweep, (ChoiceSweep, RangeSweep, IntervalSweep)) else set()
    if unknown := tags - ({"log"} if isinstance(sweep, IntervalSweep) else set()):
        raise MiradaError(f"{typed}: the tag {sorted(unknown)[0]} has no meaning here, only tag(log,interval(…)) has.")
    if isinstance(sweep, IntervalSweep):
        low, high, log = sweep.start, sweep.end, "log" in sweep.tags
        assert low is not None and high is not None
        if not low < high:
            raise MiradaError(f"{typed}: the first end of the interval must be below the second.")
        if log and low <= 0:
            raise MiradaError(f"{typed}: on a log scale the interval must begin above 0.")
        if isinstance(low, int) and isinstance(high, int):  # int(interval(…))
            return IntDistribution(low, high, log=log)
        return FloatDistribution(low, high, log=log)
    if getattr(sweep, "shuffle", False):
        raise MiradaError(f"{typed}: the order of trials is the sampler's: leave out shuffle.")
    if isinstance(sweep, RangeSweep):
        low, high, step = _range(sweep, typed)
        if all(isinstance(number, int) for number in (low, high, step)):
            return IntDistribution(int(low), int(high), step=int(step))
        return FloatDistribution(low, high, step=step) if low < high else CategoricalDistribution((low,))
    choices = tuple(_choice(x) for x in override.sweep_iterator())
    if not choices:
        raise MiradaError(f"{typed}: there is nothing to choose from.")
    return CategoricalDistribution(tuple(dict.fromkeys(choices)))


def _range(sweep: RangeSweep, typed: str | None) -> tuple[float, float, float]:
    """Lowest and highest number of a range, and its step; as everywhere in Hydra, the end that is typed is not in it."""
    if not sweep.step:
        raise MiradaError(f"{typed}: the step of a range can't be 0.")
    assert sweep.start is not None and sweep.stop is not None
    count = math.ceil(round((sweep.stop - sweep.start) / sweep.step, 9))  # rounded: (0.4 - 0.1) / 0.1 is above 3
    if count < 1:
        raise MiradaError(f"{typed}: the range is empty.")
    last = sweep.start + (count - 1) * sweep.step
    last = last if isinstance(last, int) else round(last, 12)
    return min(sweep.start, last), max(sweep.start, last), abs(sweep.step)


def _choice(value: Any) -> bool | int | float | str:
    return value if isinstance(value, (bool, int, float)) else Transformer.str(value)


def text_of(value: Any, digits: int = 12) -> str:
    """A value as an override writes it; with twelve digits, so that 0.1 + 0.2 reads 0.3."""
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def overrides_of(params: Mapping[str, Any], fixed: Mapping[str, str]) -> list[str]:
    """The overrides of one trial: what was chosen for it, then what is fixed."""
    return [*(f"{key}={text_of(value)}" for key, value in params.items()), *fixed.values()]


def probes(space: Mapping[str, BaseDistribution], fixed: Mapping[str, str]) -> list[list[str]]:
    """Overrides that show each choice at least once, to compose before anything runs."""
    ends = {key: getattr(d, "choices", None) or (d.low, d.high) for key, d in space.items()}  # type: ignore[attr-defined]
    first = {key: values[0] for key, values in ends.items()}
    found = [overrides_of(first, fixed)]
    for key, values in ends.items():
        found += [overrides_of(first | {key: value}, fixed) for value in dict.fromkeys(values[1:])]
    return found


# -- the study ---------------------------------------------------------------------------------------------------------


def open_study(settings: Settings, directions: Sequence[str]) -> Study:
    """A study in memory, or the one of that name in `settings.storage`.

    Raises:
        MiradaError: Optuna is not installed, or the storage can't be used.
    """
    require_optuna()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = optuna.samplers
    sampler: optuna.samplers.BaseSampler
    if settings.sampler == "tpe":
        sampler = samplers.TPESampler(seed=settings.seed, n_startup_trials=settings.startup_trials)
    elif settings.sampler == "nsgaii":
        sampler = samplers.NSGAIISampler(seed=settings.seed, population_size=max(2, settings.startup_trials))
    else:
        sampler = samplers.RandomSampler(seed=settings.seed)
    try:
        study = optuna.create_study(
            storage=settings.storage, study_name=settings.study_name, sampler=sampler, load_if_exists=True,
            directions=directions,  # type: ignore[arg-type]
        )  # fmt: skip
    except Exception as error:  # SQLAlchemy's, the driver's or Optuna's, by the storage
        reason = str(error).splitlines()[0]
        raise MiradaError(
            f"hydra.sweeper.storage={settings.storage} can't be used ({reason}): check the URL."
        ) from error
    if [direction.name.lower() for direction in study.directions] != list(directions):
        raise MiradaError(
            f"hydra.sweeper.study_name={settings.study_name} is in the storage with other directions: choose another name."
        )
    return study


def require_optuna() -> None:
    """Refuse a search without its extra."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MiradaError(
            "hydra/sweeper=optuna needs Optuna: install the extra, pip install 'mirada[optuna]'."
        ) from error


def read_value(value: Any, count: int) -> tuple[list[float] | None, str]:
    """A job's return value as one number an objective; or None and what is wrong with it."""
    numbers = list(value) if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers):
        return None, f"its result is no number: {str(value)[:80]}"
    if len(numbers) != count:
        return None, f"its result has {len(numbers)} numbers, the search {count} directions"
    if not all(math.isfinite(number) for number in numbers):
        return None, f"its result is not finite: {', '.join(map(str, numbers))}"
    return [float(number) for number in numbers], ""


_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def trial_of(frozen: FrozenTrial) -> Trial:
    """Optuna's trial as ours; what stopped it is its user attribute `why`."""
    values = tuple(frozen.values or ())
    state = _STATES.get(frozen.state.name, "running")
    return Trial(frozen.number, state, dict(frozen.params), values, frozen.user_attrs.get("why", ""))


# -- what is told ------------------------------------------------------------------------------------------------------


def best_trials(trials: Sequence[Trial], directions: Sequence[str]) -> list[Trial]:
    """The complete trials that none beats: the Pareto front, or the best one (several where they are equal)."""
    complete = [trial for trial in trials if trial.state == "complete"]
    signs = np.array([1.0 if direction == "minimize" else -1.0 for direction in directions])
    costs = np.array([trial.values for trial in complete]).reshape(len(complete), len(signs)) * signs
    costs[:, 0] *= -1  # the first column of a front is better when higher
    return [trial for trial, on in zip(complete, pareto_front(costs), strict=True) if on]


def table(
    trials: Sequence[Trial], directions: Sequence[str], names: Sequence[str], digits: int = 12
) -> tuple[list[str], list[list[str]]]:
    """Head and rows of `search.csv` and of the terminal: the trials, the best marked."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.params))
    best = {trial.number for trial in best_trials(trials, directions)}
    rows = []
    for trial in trials:
        values = [text_of(value, digits) for value in trial.values] or [""]
        values += [""] * (len(names) - len(values))
        params = [text_of(trial.params[key], digits) if key in trial.params else "" for key in keys]
        mark = "yes" if trial.number in best else ""
        rows.append([str(trial.number), trial.state, mark, *values, *params, trial.why])
    return ["trial", "state", "pareto" if len(directions) > 1 else "best", *names, *keys, "why"], rows


def as_csv(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as the text of a file."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows([head, *rows])
    return buffer.getvalue()


def optimization_results(trials: Sequence[Trial], directions: Sequence[str]) -> dict[str, Any]:
    """The content of `optimization_results.yaml`, with the keys that Hydra's own plugin gives it."""
    best = best_trials(trials, directions)
    if len(directions) > 1:
        return {"name": "optuna", "solutions": [{"params": t.params, "values": list(t.values)} for t in best]}
    if not best:
        return {"name": "optuna"}
    return {"name": "optuna", "best_params": best[0].params, "best_value": best[0].values[0]}
