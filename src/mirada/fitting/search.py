"""The search: candidates are drawn and held against the board, those that fit are trained shortly, the best of these longer.

A third goes on each time, for three times as many epochs (successive halving, arXiv:1502.07943), until the next step would
be the full training; the best from scratch is among them, though pretrained ones are ahead after so short a time. What is
chosen is chosen by the validation figures alone. All of it keeps within a budget of time.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mirada.boards.judging import CANNOT_TELL, FITS, TOO_MUCH, hold
from mirada.boards.limits import Limits
from mirada.errors import MiradaError
from mirada.fitting.book import FAILED, SPARED, Book, Entry
from mirada.fitting.plan import Doing, Plan
from mirada.fitting.space import Candidate, Space

if TYPE_CHECKING:
    from optuna.study import Study

DRAW_SHARE, SHORT_SHARE = 0.5, 0.7  # of the time for training: until then new candidates, until then longer short ones
_AFTER = 25  # int8, test and bundle take as long as judging so many candidates
_MOST_AFTER = 0.4  # of the budget, at most so much is kept for them
_SAFETY = 0.85  # of the time that is left for the full training
_FACTOR = 3
_IDLE = 60  # draws in a row that bring nothing new, after which the space counts as exhausted
_FAR = 100.0  # an excess to tell the sampler where it is infinite
_HOPELESS = 60  # candidates that are built where not even the smallest fit, and none does
_GROWING = ("arena_bytes", "milliseconds")  # what a larger candidate takes no less of; a finer head may save flash


@dataclass(frozen=True)
class Larger:
    """What those came to that are one step larger than a candidate.

    Attributes:
        nearest: of those that do not fit the one that exceeds the limits least; None where there is none.
        fitting, untold, broken: how many fit, of how many that can't be told, and of how many a training broke off.
    """

    nearest: Entry | None
    fitting: int = 0
    untold: int = 0
    broken: int = 0


class Search:
    """A search that may have begun in another process.

    Args:
        space: of candidates. limits: of the board. book: what is known already.
        plan: how far it goes. doing: what is done for it.
        began: what the clock showed when the work for it began; None: as it does now.
    """

    def __init__(
        self, space: Space, limits: Limits, book: Book, plan: Plan, doing: Doing, began: float | None = None
    ) -> None:
        self.space, self.limits, self.book, self.plan, self.doing = space, limits, book, plan, doing
        self._before, self._began = book.seconds, doing.clock() if began is None else began

    @property
    def used(self) -> float:
        """Seconds of work, of this process and of those before."""
        return self._before + self.doing.clock() - self._began

    @property
    def seconds(self) -> float:
        """Of the budget, what is for training: the rest is kept for what comes after, by how fast this machine judges."""
        times = [entry.taken.seconds for entry in self.book if entry.taken]
        after = _AFTER * sum(times) / len(times) if times else 0.0
        return self.plan.seconds - min(after, _MOST_AFTER * self.plan.seconds)

    @property
    def trained(self) -> list[Entry]:
        """Those with a short training."""
        return [entry for entry in self.book if entry.values]

    def run(self) -> tuple[Entry, int]:
        """Search; gives the candidate to train fully, and for how many epochs. Nothing is done twice.

        Raises:
            NothingFits: no candidate keeps within the limits.
            MiradaError: none could be trained.
        """
        chosen = self.book.chosen
        if chosen is not None and self.used >= DRAW_SHARE * self.seconds:
            return self.book.entry(chosen[0]), chosen[1]
        if chosen is not None:
            self.book.reopen()
        self._require_possible()
        self._draw()
        if not self._fitting:
            self._refuse_all([entry for entry in self.book if entry.taken])
        self._halve()
        best = self._best()
        self.next_better(best)  # asked here, as the full training gets all time that is left
        epochs = self._epochs(best)
        self.book.choose(best.candidate, epochs, self.used)
        return best, epochs

    def consider(self, candidate: Candidate) -> Entry:
        """Hold a candidate against the limits, if nobody has; one that is larger than one that does not fit is not built."""
        if (known := self.book.find(candidate)) is not None:
            return known
        smaller = next(
            (e for e in self.book if self._breaks_growing(e) and self.space.is_larger(candidate, e.candidate)), None
        )
        if smaller is not None:
            entry = Entry(candidate, SPARED, why=f"larger than {smaller.candidate.title}, which does not fit")
            self._keep(entry)
            return entry
        return self._build(candidate)

    def _build(self, candidate: Candidate) -> Entry:
        taken = self.doing.take(candidate)
        verdict = hold(taken, self.limits)
        off = [one.sentence() for one in verdict.judged if one.answer != FITS]
        entry = Entry(candidate, verdict.answer, taken, "; ".join(off))
        self._keep(entry)
        return entry

    def excess(self, entry: Entry) -> float:
        """The largest share by which it breaks a limit; infinite of one that was never built, or that can't be told."""
        return hold(entry.taken, self.limits).excess() if entry.taken and entry.answer != CANNOT_TELL else math.inf

    def _breaks_growing(self, entry: Entry) -> bool:
        """Whether it breaks a limit that all larger ones break, too."""
        if entry.taken is None or entry.answer != TOO_MUCH:
            return False
        judged = hold(entry.taken, self.limits).judged
        return any(one.answer == TOO_MUCH and one.limit in _GROWING for one in judged)

    def next_better(self, chosen: Entry) -> Larger:
        """What those one step larger than the chosen one come to, the nearest that does not fit among them."""
        steps = [self.consider(candidate) for candidate in self.space.next_larger(chosen.candidate)]
        steps = [
            self._build(entry.candidate) if entry.answer == SPARED else entry for entry in steps
        ]  # by how much not
        beyond = [entry for entry in steps if entry.answer == TOO_MUCH]
        fitting, untold, broken = (sum(e.answer == one for e in steps) for one in (FITS, CANNOT_TELL, FAILED))
        return Larger(min(beyond, key=self.excess, default=None), fitting, untold, broken)

    def keep_time(self) -> None:
        """Write down how long the search has worked."""
        self.book.work(self.used)

    def _keep(self, entry: Entry) -> None:
        self.book.write(entry, self.used)
        self.doing.met(entry)

    # -- drawing ---------------------------------------------------------------------------------------------------

    @property
    def _fitting(self) -> list[Entry]:
        """Those that fit, also where a training broke off."""
        return [entry for entry in self.book if entry.answer in (FITS, FAILED)]

    def _require_possible(self) -> None:
        """The smallest of each network and stem: where each breaks a limit that all larger ones break, none fits."""
        smallest = [self.consider(candidate) for candidate in self.space.smallest_of_all()]
        if all(self._breaks_growing(entry) for entry in smallest):
            raise NothingFits(min(smallest, key=self.excess))

    def _refuse_all(self, built: list[Entry]) -> None:
        whole = len(self.book) >= len(self.space)
        raise NothingFits(min(built, key=self.excess), None if whole else len(built))

    def _draw(self) -> None:
        study, idle = _open_study(self.plan.seed + len(self.book)), 0
        for entry in self.book:
            self._teach(study, entry)
        while idle < _IDLE and self._is_open() and self._may_draw():
            trial = study.ask()
            candidate = self.space.suggest(trial)
            known = self.book.find(candidate) is not None
            entry = self.consider(candidate)
            new = entry.answer == FITS and not entry.values
            idle = 0 if new or (entry.taken and not known) else idle + 1
            if new:
                self._train(entry, self.plan.short_epochs)
            self._tell(study, trial, entry)
        if not self.trained:
            first = next((entry for entry in self.book if entry.answer == FITS), None)
            if first is not None:
                self._train(first, self.plan.short_epochs)

    def _is_open(self) -> bool:
        """Whether there is one that was not judged, or fits and was not trained."""
        return len(self.book) < len(self.space) or any(e.answer == FITS and not e.values for e in self.book)

    def _may_draw(self) -> bool:
        judged = sum(entry.taken is not None for entry in self.book)
        trained = self.trained
        most = self.plan.most_judged if self._fitting else min(_HOPELESS, self.plan.most_judged)
        if len(trained) >= self.plan.most_trained or judged >= most:
            return False
        times = [entry.epoch_seconds for entry in trained]
        guess = self.plan.short_epochs * sum(times) / len(times) if times else 0.0
        return self.used + guess < DRAW_SHARE * self.seconds

    def _train(self, entry: Entry, epochs: int) -> None:
        try:
            done = self.doing.train(entry.candidate, epochs)
        except MiradaError as error:
            entry.answer, entry.why = FAILED, str(error)
        else:
            entry.values[epochs], entry.run_id = done.value, done.run_id
            entry.epoch_seconds = done.epoch_seconds
        self._keep(entry)

    def _teach(self, study: Study, entry: Entry) -> None:
        """What an earlier process knew, as a trial of this one."""
        axes = self.space.axes[entry.candidate.model]
        fixed: dict[str, Any] = {"model": entry.candidate.model}
        places = self.space.places(entry.candidate)
        fixed |= {f"{entry.candidate.model}.{key}": place for key, place in zip(axes, places, strict=True)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # enqueueing is experimental in some of Optuna's versions
            study.enqueue_trial(fixed)
        trial = study.ask()
        self.space.suggest(trial)
        self._tell(study, trial, entry)

    def _tell(self, study: Study, trial: Any, entry: Entry) -> None:
        from optuna.trial import TrialState

        value = entry.values.get(self.plan.short_epochs)
        if value is not None:
            study.tell(trial, value)
        elif entry.answer == FAILED:
            study.tell(trial, state=TrialState.FAIL)
        else:  # the sampler holds those for better that exceed the limits less
            excess = 0.0 if entry.answer == FITS else min(self.excess(entry), _FAR)
            trial.report(-excess, 0)
            study.tell(trial, state=TrialState.PRUNED)

    # -- longer ones, and the choice -------------------------------------------------------------------------------

    def _halve(self) -> None:
        """Train the best third on, again and again."""
        epochs = self.plan.short_epochs
        group = [entry for entry in self.trained if epochs in entry.values]
        while epochs * _FACTOR < self.plan.epochs and len(group) > 1:
            best = _best_third(group, epochs)
            epochs *= _FACTOR
            for entry in best:
                ends = self.used + epochs * entry.epoch_seconds
                if epochs not in entry.values and ends < SHORT_SHARE * self.seconds:
                    self._train(entry, epochs)
            group = [entry for entry in best if epochs in entry.values and entry.answer == FITS]

    def _best(self) -> Entry:
        """The best of those that were trained longest."""
        fitting = [entry for entry in self.trained if entry.answer == FITS]
        if not fitting:
            broken = next(entry for entry in self.book if entry.answer == FAILED)
            raise MiradaError(f"no candidate could be trained: {broken.candidate.title} broke off: {broken.why}")
        longest = max(entry.epochs for entry in fitting)
        return max((entry for entry in fitting if entry.epochs == longest), key=lambda entry: entry.values[longest])

    def _epochs(self, best: Entry) -> int:
        """How many epochs there is time for."""
        left = _SAFETY * (self.seconds - self.used)
        epochs = int(left / best.epoch_seconds) if best.epoch_seconds else self.plan.epochs
        return max(min(epochs, self.plan.epochs), min(best.epochs, self.plan.epochs))


def _best_third(group: Sequence[Entry], epochs: int) -> list[Entry]:
    """Best first; the best of the pretrained ones and the best from scratch are among them."""
    order = sorted(group, key=lambda entry: -entry.values[epochs])
    best = order[: math.ceil(len(group) / _FACTOR)]
    for kind in (True, False):
        first = next((entry for entry in order if entry.candidate.pretrained == kind), None)
        if first is not None and first not in best:
            best.append(first)
    return best


class NothingFits(MiradaError):
    """No candidate fits.

    Attributes:
        nearest: the one that exceeds the limits least.
        what: 'Nothing of this space' where that is sure, else how many were built.
    """

    def __init__(self, nearest: Entry, built: int | None = None) -> None:
        what = "Nothing of this space" if built is None else f"None of the {built} candidates that were built"
        super().__init__(f"{what} fits: nearest is {nearest.candidate.title}: {nearest.why}.")
        self.nearest, self.what = nearest, what


def best_first(entries: Sequence[Entry]) -> list[Entry]:
    """Those that were trained, by how long and how well; then those that fit, then the others."""
    order = {FITS: 0, CANNOT_TELL: 1, TOO_MUCH: 2, FAILED: 3, SPARED: 4}
    return sorted(entries, key=lambda e: (order[e.answer], -e.epochs, -(e.value or 0.0)))


def require_optuna() -> None:
    """Refuse a search without its extra."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MiradaError("fit needs Optuna: install the extra, pip install 'mirada[optuna]'.") from error


def _open_study(seed: int) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=12)
    return optuna.create_study(sampler=sampler, direction="maximize")
