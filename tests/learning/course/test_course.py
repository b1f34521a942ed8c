"""What a guarded training does, at the trainer's door."""

from dataclasses import replace

import numpy as np
import pytest

from tests.learning.course.conftest import make_trainer

DESTROYS = 1.0  # of the backbone's scale: at 0.1 a step the hand-made weights of 1 are gone in an epoch


def destructive(config):
    return replace(config, learning_rate=0.1, backbone_lr_scale=DESTROYS, guard_epochs=1)


def weights_of(trainer):
    return [variable.numpy() for variable in trainer.model.variables]


def figures_of(trainer):
    return [{key: row[key] for key in ("epoch", "loss", "val_accuracy")} for row in trainer.state.history]


def test_a_high_rate_destroys_and_the_guard_brings_it_back(config):
    loose = make_trainer(replace(destructive(config), guard_epochs=0))
    list(loose.fit())
    frozen = loose.state.history[1]["val_accuracy"]
    assert min(row["val_accuracy"] for row in loose.state.history[2:]) < frozen
    assert loose.state.history[-1]["val_accuracy"] < frozen == 1.0

    told: list[str] = []
    guarded = make_trainer(replace(destructive(config), guard_returns=0))
    before = None
    for _ in guarded.fit(tell=told.append):
        if guarded.state.epoch == 2:
            before = [variable.numpy() for variable in guarded.step.variables[0]]
    assert guarded.state.guard.returns == 1 and guarded.state.guard.closed
    assert guarded.state.history[-1]["val_accuracy"] >= frozen and guarded.state.best_metric >= frozen
    for ours, kept in zip(guarded.step.variables[0], before, strict=True):
        np.testing.assert_array_equal(ours.numpy(), kept)
    assert len(told) == 1 and told == guarded.state.events
    assert "with a frozen backbone: back to those weights, the backbone stays frozen" in told[0]


def test_after_going_back_the_rate_is_a_third(config):
    trainer = make_trainer(destructive(config))
    told: list[str] = []
    list(trainer.fit(tell=told.append))
    rates = [row["backbone_learning_rate"] for row in trainer.state.history]
    assert rates[:4] == pytest.approx([0.0, 0.0, 0.1, 0.1 / 3])
    assert "back to those weights, on with backbone_lr_scale=0.33" in told[0]


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [1, 2])
@pytest.mark.parametrize("epochs", [2, 3, 4])
def test_a_training_that_is_resumed_while_it_goes_back_is_the_unbroken_one(config, tmp_path, epochs, gpus):
    config = replace(destructive(config), epochs=6, gpus=gpus)
    unbroken = make_trainer(replace(config, output_dir=str(tmp_path / "unbroken")))
    list(unbroken.fit())
    assert unbroken.state.guard.returns >= 1
    broken = make_trainer(replace(config, output_dir=str(tmp_path / "broken")))
    course = broken.fit()
    for _ in range(epochs):
        next(course)
    del course, broken
    resumed = make_trainer(replace(config, output_dir=str(tmp_path / "broken")))
    assert resumed.restore() and resumed.state.epoch == epochs
    list(resumed.fit())
    assert figures_of(resumed) == figures_of(unbroken) and resumed.state.events == unbroken.state.events
    for ours, theirs in zip(weights_of(resumed), weights_of(unbroken), strict=True):
        # Of several replicas a checkpoint holds the mean of their batch statistics, and not each one's own.
        np.testing.assert_allclose(ours, theirs, rtol=0 if gpus == 1 else 1e-6)


def test_the_frozen_network_is_measured_even_where_that_epoch_is_none_to_validate(config):
    trainer = make_trainer(replace(config, epochs=3, val_every=3))
    list(trainer.fit())
    assert ["val_accuracy" in row for row in trainer.state.history] == [False, True, True]
    assert trainer.state.guard.figure == trainer.state.history[1]["val_accuracy"]


def test_without_a_frozen_phase_nothing_is_guarded(config):
    trainer = make_trainer(replace(destructive(config), freeze_epochs=0, epochs=2))
    list(trainer.fit())
    assert trainer.state.guard.figure is None and not trainer.state.events


def test_a_scale_of_zero_leaves_the_backbone_as_it_was(config):
    trainer = make_trainer(replace(config, backbone_lr_scale=0, epochs=3))
    before = [variable.numpy() for variable in trainer.step.variables[0]]
    list(trainer.fit())
    for ours, kept in zip(trainer.step.variables[0], before, strict=True):
        np.testing.assert_array_equal(ours.numpy(), kept)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_blocks_share_of_the_rate_is_that_share_of_its_step(config, accumulate):
    """A step of AdamW is proportional to the rate, its decay of weights, too."""
    config = replace(config, freeze_epochs=0, epochs=1, batch_size=8, accumulate=accumulate, backbone_lr_scale=0.2)
    config = replace(config, weight_decay=0.1, learning_rate=0.01, guard_epochs=0)
    start = weights_of_backbone(make_trainer(config))
    moved = {}
    for layer_decay in (1.0, 0.5):
        trainer = make_trainer(replace(config, layer_lr_decay=layer_decay))
        trainer.input.steps = 1
        trainer.train_epoch(0)
        moved[layer_decay] = [end - kept for end, kept in zip(weights_of_backbone(trainer), start, strict=True)]
    assert trainer.step.depths == [7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0]
    for depth, whole, part in zip(trainer.step.depths, moved[1.0], moved[0.5], strict=True):
        np.testing.assert_allclose(part, whole * 0.5**depth, atol=1e-6)
    assert any(np.abs(step).max() > 1e-3 for step in moved[1.0])


def weights_of_backbone(trainer):
    return [variable.numpy() for variable in trainer.step.variables[0]]
