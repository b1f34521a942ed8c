"""The search with a trainer and a clock that are made up: what is trained, in what order, in what time."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mirada.boards.limits import Limits
from mirada.config import SpaceConfig
from mirada.errors import MiradaError
from mirada.fitting.book import Book, Entry
from mirada.fitting.judging import Taken
from mirada.fitting.plan import Doing, Plan, Trained
from mirada.fitting.search import NothingFits, Search
from mirada.fitting.space import Candidate, Space, make_space
from tests.fitting.spaces import smallest

pytest.importorskip("optuna")
CONFIG = SpaceConfig(
    model=["tiny"],
    input_size=[96, 128, 160, 192],
    channels=[1, 3],
    width=[16, 32, 64],
    head_depth=[1, 2],
    head_stride=[8],
)
SPACE = make_space(CONFIG, "detection")  # 48 candidates
LIMIT = Limits(arena_bytes=128 * 128)


class World:
    """Judging takes a second, an epoch ten; memory is the input's bytes, accuracy grows with input, width and epochs."""

    def __init__(self, curve: Callable[[Candidate, int], float] | None = None) -> None:
        self.time, self.taken, self.trained = 0.0, [], []  # type: float, list[Candidate], list[tuple[Candidate, int]]
        self.curve = curve or (lambda c, epochs: c.input_size / 400 + dict(c.values)["width"] / 200 - 0.1 / epochs)
        self.stop_after = 1000

    def take(self, candidate: Candidate) -> Taken:
        self.time += 1
        self.taken.append(candidate)
        return Taken(candidate.input_size**2 * candidate.channels, 1000, None)

    def train(self, candidate: Candidate, epochs: int) -> Trained:
        if len(self.trained) >= self.stop_after:
            raise KeyboardInterrupt
        self.time += 10 * epochs
        self.trained.append((candidate, epochs))
        return Trained(self.curve(candidate, epochs), 10.0)

    def search(
        self, path: Path, minutes: float = 60, *, limits: Limits = LIMIT, space: Space = SPACE, **own: int
    ) -> Search:
        plan = Plan(60 * minutes, **{"short_epochs": 2, "epochs": 20, "most_trained": 50, "most_judged": 200, **own})
        return Search(space, limits, Book(path, space), plan, Doing(self.take, self.train, clock=lambda: self.time))


def fits(candidate: Candidate) -> bool:
    return candidate.input_size**2 * candidate.channels <= LIMIT.arena_bytes


def test_only_what_fits_is_trained_and_what_is_larger_than_what_does_not_is_not_even_built(tmp_path: Path) -> None:
    world = World()
    search = world.search(tmp_path / "book")
    best, epochs = search.run()
    assert world.trained and all(fits(candidate) for candidate, _ in world.trained)
    spared = [entry for entry in search.book if entry.answer == "spared"]
    assert spared and not any(fits(entry.candidate) for entry in spared)
    assert not {entry.candidate for entry in spared} & set(world.taken)
    assert best.candidate.input_size == 128 and dict(best.candidate.values)["width"] == 64
    assert epochs == 20


def test_a_third_goes_on_for_three_times_as_long_and_a_late_bloomer_wins(tmp_path: Path) -> None:
    def curve(candidate: Candidate, epochs: int) -> float:
        late = candidate.input_size == 128  # 0.59 after 2 epochs, when the others have 0.6, 0.77 after 6
        return 0.5 + 0.045 * epochs if late else 0.6

    world = World(curve)
    best, _ = world.search(tmp_path / "book", 120, epochs=19).run()
    short = [candidate for candidate, epochs in world.trained if epochs == 2]
    longer = [candidate for candidate, epochs in world.trained if epochs == 6]
    assert len(short) == 12 and len(longer) == 4  # all that fit; a third of them
    assert {epochs for _, epochs in world.trained} == {2, 6, 18}
    assert best.candidate in longer


def test_the_best_from_scratch_goes_on_beside_pretrained_ones_that_are_ahead_at_first(tmp_path: Path) -> None:
    def curve(candidate: Candidate, epochs: int) -> float:
        return 0.7 + candidate.input_size / 10000 if candidate.pretrained else 0.5 + 0.05 * epochs

    config = SpaceConfig(
        model=["mcu", "lite0"], input_size=[96, 128], channels=[1], width=[16], head_depth=[1], head_stride=[8],
        stages=[3, 4, 5], stem_stride=[2], stem_width=[8], multiplier=[1.0], blocks=[1],
    )  # fmt: skip
    world = World(curve)
    best, _ = world.search(tmp_path / "book", space=make_space(config, "detection")).run()
    short = [candidate for candidate, epochs in world.trained if epochs == 2]
    assert len(short) == len(set(short)) == 2 * 3 + 2  # mcu has no stages, so it is there once an input
    assert [epochs for candidate, epochs in world.trained if not candidate.pretrained].count(6) == 1
    assert best.candidate.model == "mcu"


def test_of_a_space_of_two_both_are_trained(tmp_path: Path) -> None:
    config = SpaceConfig(model=["tiny", "lite0"], input_size=[96], channels=[1], width=[16], head_depth=[1],
                         head_stride=[8], stages=[4])  # fmt: skip
    world = World(lambda candidate, epochs: 0.8 if candidate.pretrained else 0.4)
    best, _ = world.search(tmp_path / "book", space=make_space(config, "detection")).run()
    assert best.candidate.model == "lite0" and {c.model for c, _ in world.trained} == {"tiny", "lite0"}


@pytest.mark.parametrize("minutes", [3, 10, 20])
def test_the_minutes_are_kept(tmp_path: Path, minutes: float) -> None:
    world = World()
    search = world.search(tmp_path / "book", minutes)
    best, epochs = search.run()
    assert search.used + epochs * best.epoch_seconds <= 60 * minutes
    assert epochs <= 20


def test_a_search_that_was_killed_does_nothing_twice_and_counts_its_time_on(tmp_path: Path) -> None:
    killed, after = World(), World()
    killed.stop_after = 4
    with pytest.raises(KeyboardInterrupt):
        killed.search(tmp_path / "book").run()
    search = after.search(tmp_path / "book")
    assert search.used == pytest.approx(killed.time, abs=2)  # what came after the last line
    search.run()
    assert not {c for c, epochs in killed.trained if epochs == 2} & {c for c, epochs in after.trained if epochs == 2}
    assert not set(killed.taken) & set(after.taken)


def test_a_search_that_was_killed_in_the_full_training_goes_on_with_it(tmp_path: Path) -> None:
    first = World()
    chosen = first.search(tmp_path / "book", 10).run()
    again = World()
    assert again.search(tmp_path / "book", 10).run() == chosen
    assert not again.trained and not again.taken
    longer = World()
    longer.search(tmp_path / "book", 60).run()
    assert longer.trained  # more minutes: the search is opened again


def test_where_not_even_the_smallest_fits_nothing_else_is_asked(tmp_path: Path) -> None:
    world = World()
    with pytest.raises(NothingFits, match="nearest is tiny 96 grey") as nothing:
        world.search(tmp_path / "book", limits=Limits(arena_bytes=9000)).run()
    assert len(world.taken) == 1 and not world.trained
    assert nothing.value.nearest.why == "9,216 of 9,000 bytes of arena, 216 too many"


def test_the_next_larger_one_is_the_nearest_that_does_not_fit(tmp_path: Path) -> None:
    search = World().search(tmp_path / "book")
    best, _ = search.run()
    following = search.next_better(best).nearest
    assert following is not None and following.taken is not None
    # From 128 grey: 160 grey takes 25,600 bytes, 128 in colour 49,152.
    assert (following.candidate.input_size, following.candidate.channels) == (160, 1)
    assert following.taken.arena_bytes == 25_600


def test_a_training_that_breaks_off_is_left_out(tmp_path: Path) -> None:
    world, broken = World(), []
    train = world.train

    def fail_once(candidate: Candidate, epochs: int) -> Trained:
        if not broken:
            broken.append(candidate)
            raise MiradaError("The loss became nan.")
        return train(candidate, epochs)

    world.train = fail_once  # type: ignore[method-assign]
    search = world.search(tmp_path / "book")
    best, _ = search.run()
    entry: Entry | None = search.book.find(broken[0])
    assert entry is not None and (entry.answer, entry.why) == ("failed", "The loss became nan.")
    assert best.candidate != broken[0]


MCU = make_space(
    SpaceConfig(model=["mcu"], input_size=[96, 128], channels=[1], width=[16], head_depth=[1], head_stride=[8, 16],
                stem_stride=[2, 4], stem_width=[8], multiplier=[0.5, 1.0], blocks=[1], expansion=[3]),
    "detection",
)  # fmt: skip


def test_a_smallest_one_that_can_not_be_told_is_no_reason_to_give_up(tmp_path: Path) -> None:
    world = World(lambda candidate, epochs: 0.5)

    def take(candidate: Candidate) -> Taken:  # of stride 4 one operator runs beside the NPU
        world.take(candidate)
        beside = (
            {"milliseconds": "1 operators run on the processor"} if dict(candidate.values)["stem_stride"] == 4 else {}
        )
        return Taken(1000, 1000, 1.0, unknown=beside)

    search = world.search(tmp_path / "book", space=MCU, limits=Limits(milliseconds=16))
    search.doing = replace(search.doing, take=take)
    best, _ = search.run()
    assert dict(best.candidate.values)["stem_stride"] == 2
    assert {dict(candidate.values)["stem_stride"] for candidate, _ in world.trained} == {2}
    untold = next(entry for entry in search.book if entry.answer == "cannot_tell")
    assert search.excess(untold) == math.inf  # no better for the sampler than what is far too large


def test_nothing_fits_only_where_the_smallest_of_each_stem_breaks_what_grows(tmp_path: Path) -> None:
    world = World()
    with pytest.raises(NothingFits, match="Nothing of this space fits: nearest is mcu 96 grey"):
        world.search(tmp_path / "arena", space=MCU, limits=Limits(arena_bytes=9000)).run()
    assert [dict(candidate.values)["stem_stride"] for candidate in world.taken] == [4, 2]


def test_flash_spares_no_larger_one_as_a_finer_head_may_take_less(tmp_path: Path) -> None:
    world = World(lambda candidate, epochs: 0.5)

    def take(
        candidate: Candidate,
    ) -> Taken:  # the larger head stride, which counts as the smaller candidate, takes more
        world.take(candidate)
        return Taken(1000, 100 * dict(candidate.values)["head_stride"], None)

    search = world.search(tmp_path / "book", space=MCU, limits=Limits(arena_bytes=2000, flash_bytes=800))
    search.doing = replace(search.doing, take=take)
    best, _ = search.run()
    assert dict(best.candidate.values)["head_stride"] == 8
    assert len(world.taken) == len(MCU) == 16 and not [entry for entry in search.book if entry.answer == "spared"]
    none = World().search(tmp_path / "none", limits=Limits(flash_bytes=999))
    with pytest.raises(NothingFits, match="Nothing of this space fits"):
        none.run()
    assert len(none.book) == 48
    with pytest.raises(NothingFits, match="None of the 12 candidates that were built fits"):
        World().search(tmp_path / "few", limits=Limits(flash_bytes=999), most_judged=12).run()


class Stuck(Space):
    """A space that draws the same candidate for ever."""

    draws = 0

    def suggest(self, trial: object) -> Candidate:
        Stuck.draws += 1
        assert Stuck.draws < 500
        return self.read("tiny", dict(smallest(self, "tiny").values) | {"input_size": 192})


def test_draws_of_what_is_known_not_to_fit_come_to_an_end(tmp_path: Path) -> None:
    world = World()
    search = world.search(tmp_path / "book", space=Stuck(SPACE.axes))
    best, _ = search.run()
    assert best.candidate == smallest(SPACE, "tiny")
    assert Stuck.draws == 1 + 60 + 1  # the smallest is known before, then 60 in a row bring nothing new


LEAST = {"input_size": 96, "channels": 1, "width": 16, "head_depth": 1, "head_stride": 8}
MOST = {"input_size": 192, "channels": 3, "width": 64, "head_depth": 2, "head_stride": 8}


@pytest.mark.parametrize(
    ("values", "limit", "nearest", "fitting"),
    [
        (MOST, 192 * 192 * 3, None, 0),
        (LEAST, 96 * 96 * 3, None, 4),  # 128 grey, 96 in colour, a width, a depth
        (LEAST, 128 * 128, LEAST | {"channels": 3}, 3),
    ],
    ids=["the largest", "all larger fit", "one does not"],
)
def test_what_is_one_step_larger_is_counted(
    tmp_path: Path, values: dict[str, int], limit: int, nearest: dict[str, int] | None, fitting: int
) -> None:
    search = World().search(tmp_path / "book", limits=Limits(arena_bytes=limit))
    told = search.next_better(search.consider(SPACE.read("tiny", values)))
    assert (dict(told.nearest.candidate.values) if told.nearest else None) == nearest
    assert (told.fitting, told.untold, told.broken) == (fitting, 0, 0)
