import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.config import TrainConfig
from mirada.learning.course.schedule import block_shares, decay, rates, warm_up


def settings(**values) -> TrainConfig:
    return TrainConfig(data_dir="", output_dir="", **{"epochs": 10, "schedule": "constant", **values})


def test_a_rate_rises_over_the_warm_up_and_stays():
    assert [warm_up(elapsed, 2.0, 4) for elapsed in (-0.25, 0.0, 0.25, 1.75, 5.0)] == [0.0, 0.125, 0.25, 1.0, 1.0]
    assert [warm_up(elapsed, 0.0, 4) for elapsed in (-0.25, 0.0)] == [0.0, 1.0]


def test_the_cosine_falls_to_a_hundredth():
    falling = settings(schedule="cosine")
    assert [decay(falling, epoch) for epoch in (0, 5, 10)] == pytest.approx([1.0, 0.505, 0.01])
    assert decay(settings(), 5) == 1.0


def test_pretrained_layers_warm_up_when_they_are_let_go():
    config = settings(warmup_epochs=1.0)
    found = [rates(config, 4, epoch, (3, 0), (0.3, 1.0)) for epoch in (0, 0.25, 2.75, 3, 3.25, 4)]
    expected = [(0, 0.25), (0, 0.5), (0, 1), (0.075, 1), (0.15, 1), (0.3, 1)]
    assert [value for pair in found for value in pair] == pytest.approx([value for pair in expected for value in pair])


def test_each_block_is_slower_than_the_one_after_it():
    assert block_shares(settings(), 4, [2, 1, 0], 0.0) is None
    assert block_shares(settings(layer_lr_decay=0.5), 4, [2, 2, 1, 0], 0.0) == [0.25, 0.25, 0.5, 1.0]


def test_blocks_are_let_go_from_the_last_one_on_and_each_warms_up():
    config = settings(thaw_blocks=2, warmup_epochs=1.0)
    depths = [4, 3, 2, 1, 0]
    assert block_shares(config, 4, depths, 0.0) == [0, 0, 0, 1, 1]
    assert block_shares(config, 4, depths, 1.25) == [0, 0.5, 0.5, 1, 1]
    assert block_shares(config, 4, depths, 2.0) == [0.25, 1, 1, 1, 1]
    assert block_shares(config, 4, depths, math.inf) == [1, 1, 1, 1, 1]


@given(st.floats(0, 10), st.integers(1, 20), st.floats(0.1, 1.0), st.integers(0, 5), st.floats(0, 3))
def test_no_share_is_above_one_and_none_above_that_of_a_later_block(elapsed, steps, layer_decay, blocks, warmup):
    config = settings(layer_lr_decay=layer_decay, thaw_blocks=blocks, warmup_epochs=warmup)
    shares = block_shares(config, steps, range(6), elapsed) or [1.0] * 6
    assert shares[0] == 1.0 and all(0 <= later <= earlier for earlier, later in zip(shares, shares[1:], strict=False))
