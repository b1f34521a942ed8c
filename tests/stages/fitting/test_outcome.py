"""The sentences that a search ends with."""

import pytest

from mirada.boards.limits import Limits
from mirada.config import SpaceConfig
from mirada.fitting.book import Entry
from mirada.fitting.judging import Taken
from mirada.fitting.search import Larger
from mirada.fitting.space import make_space
from mirada.stages.fitting.outcome import say_next

SPACE = make_space(
    SpaceConfig(model=["tiny"], input_size=[96], channels=[1], width=[16], head_depth=[1], head_stride=[8]), "detection"
)
LEAST = SPACE.smallest("tiny")


@pytest.mark.parametrize(
    ("larger", "sentence"),
    [
        (Larger(None), "the space holds none that is one step larger: a wider space may find better"),
        (Larger(None, 4), "all that are one step larger fit, too: more minutes may find better, or a wider space"),
        (
            Larger(None, 2, 1, 1),
            "of those one step larger 2 fit, of 1 the training broke off, of 1 can't be told whether they fit: more minutes "
            "may find better, or a wider space",
        ),
        (
            Larger(Entry(LEAST, "too_much", Taken(1200, 500, None)), 2, 1),
            "the next larger one is tiny 96 grey, width 16, head_depth 1, head_stride 8; it would need 1,200 bytes of arena "
            "and 500 bytes of flash, and has 1,000 of arena",
        ),
    ],
)
def test_what_is_one_step_larger_is_said_as_it_is_known(larger: Larger, sentence: str) -> None:
    assert say_next(larger, Limits(arena_bytes=1000)) == sentence
