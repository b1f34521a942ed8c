from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada.errors import MiradaError
from mirada.inference.card import load_card
from mirada.learning.course.range_test import RangeTest, choose_rate, draw_range_test, running_mean
from mirada.stages import train
from tests.learning.course.conftest import make_trainer


def test_a_running_mean_begins_with_the_first_loss():
    assert running_mean([4.0, 4.0, 4.0]) == pytest.approx([4.0, 4.0, 4.0])
    assert running_mean([1.0, 2.9]) == pytest.approx([1.0, 2.0])


def test_the_rate_is_a_tenth_of_that_with_the_lowest_mean():
    rates = [float(rate) for rate in np.geomspace(1e-4, 1e0, 41)]
    losses = [3.0 - step / 20 for step in range(31)] + [9.0] * 10
    assert choose_rate(rates, losses) == pytest.approx(rates[30] / 10, rel=0.05)


def test_a_first_loss_that_is_no_number_is_told(config):
    trainer = make_trainer(replace(config, learning_rate="auto"))
    kernel = trainer.model.get_layer("classes").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(MiradaError, match="the loss of its first batch is nan: set learning_rate .* to a number"):
        list(trainer.fit())


def test_the_curve_is_drawn():
    assert draw_range_test(RangeTest([1e-4, 1e-3], [2.0, 1.0], 1e-4)).startswith(b"\x89PNG")


def test_a_range_test_leaves_no_trace(config, tmp_path):
    config = replace(config, epochs=3, backbone_lr_scale=0.1)
    told: list[str] = []
    found = make_trainer(replace(config, learning_rate="auto", output_dir=str(tmp_path / "auto")))
    list(found.fit(tell=told.append))
    rate = found.state.learning_rate
    assert 1e-6 < rate < 0.1 and told == found.state.events
    assert told[0].startswith(f"learning_rate={rate:.2g}: by a range test of ")
    given = make_trainer(replace(config, learning_rate=rate, output_dir=str(tmp_path / "given")))
    list(given.fit())
    for ours, theirs in zip(found.model.variables, given.model.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    again = make_trainer(replace(config, learning_rate="auto", output_dir=str(tmp_path / "auto")))
    assert again.restore() and again.find_learning_rate() is None and again.course.learning_rate == rate


@pytest.mark.slow
def test_the_stage_says_what_was_found_and_draws_why(config, capsys):
    train.run(replace(config, learning_rate="auto", epochs=1))
    folder = Path(config.output_dir)
    said = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("learning_rate="))
    assert (folder / "learning_rate.png").read_bytes().startswith(b"\x89PNG")
    assert said.startswith(f"learning_rate={load_card(folder).training['learning_rate']:.2g}: by a range test")
    train.run(replace(config, epochs=1))
    assert not (folder / "learning_rate.png").exists()
