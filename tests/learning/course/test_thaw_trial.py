from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from mirada.config import ModelConfig
from mirada.learning.course.thaw_trial import Tried, describe, steps_of_a_try, try_scales
from tests.learning.course.conftest import make_trainer


class Scripted:
    """A stretch whose losses depend on the backbone's rate alone."""

    def __init__(self, losses):
        self.script, self.step, self.taken = losses, self, []

    @contextmanager
    def undone(self):
        yield

    def set_rates(self, backbone, head):
        self.now = round(backbone / head, 3)  # lower than the scale until that has risen

    def losses(self, steps, frozen, set_rates):
        for number in range(steps):
            set_rates(number)
            self.taken.append(self.now)
            yield self.script[self.now] if number >= 10 else 2.0  # harm does not show at once


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ({0.0: 2.0, 0.3: 2.15}, 0.3),
        ({0.0: 2.0, 0.3: 2.17, 0.1: 2.15}, 0.1),
        ({0.0: 2.0, 0.3: 50.0, 0.1: 2.2, 0.03: 1.9}, 0.03),
        ({0.0: 2.0, 0.3: np.nan, 0.1: 9.0, 0.03: 9.0, 0.01: 9.0}, 0.01),
    ],
)
def test_the_highest_scale_that_does_no_harm_is_taken(losses, chosen):
    stretch = Scripted(losses)
    scale, tried = try_scales(stretch, 0.01, 400)
    assert scale == chosen and [one.scale for one in tried] == list(losses)
    assert tried[0].loss == 2.0
    if losses.get(0.3, 0) > 10:  # it was not tried to the end
        assert stretch.taken.count(0.3) < 20


def test_the_choice_is_told_in_a_line():
    said = describe(0.1, [Tried(0.0, 2.0), Tried(0.3, 2.5), Tried(0.1, 1.9)])
    assert said == (
        "backbone_lr_scale=0.1: when tried, the loss was 2.500 at 0.3, 1.900 at 0.1, and 2.000 with a frozen backbone"
    )


def test_a_try_is_a_twentieth_of_the_training_within_bounds():
    assert [steps_of_a_try(steps) for steps in (20, 400, 10_000)] == [8, 20, 32]


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [1, 2])
def test_a_trial_leaves_no_trace(config, tmp_path, gpus):
    """Neither in weights, batch statistics and moments nor in what dropout draws next."""
    pretrained = ModelConfig(name="lite0", backbone="efficientnet_lite0", weights="imagenet")
    config = replace(config, model=pretrained, epochs=4, gpus=gpus)
    told: list[str] = []
    tried = make_trainer(replace(config, backbone_lr_scale="auto", output_dir=str(tmp_path / "auto")))
    list(tried.fit(tell=told.append))
    found = tried.state.backbone_lr_scale
    assert told[0].startswith(f"backbone_lr_scale={found:g}: when tried, the loss was ")
    assert tried.card.training["backbone_lr_scale"] == found
    given = make_trainer(replace(config, backbone_lr_scale=found, output_dir=str(tmp_path / "given")))
    list(given.fit())
    for ours, theirs in zip(tried.model.variables, given.model.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())

    again = make_trainer(replace(config, backbone_lr_scale="auto", output_dir=str(tmp_path / "auto")))
    assert again.restore() and again.course.backbone_lr_scale == found and not again.course.seeks_scale
    assert again.card.training["backbone_lr_scale"] == found


def test_nothing_is_tried_without_pretrained_weights(config):
    trainer = make_trainer(replace(config, backbone_lr_scale="auto", epochs=3))
    list(trainer.fit())
    assert trainer.state.events == [] and trainer.state.history[2]["backbone_learning_rate"] == pytest.approx(0.015)
