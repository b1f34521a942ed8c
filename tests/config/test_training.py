import pytest

from mirada.config import AugmentConfig, ModelConfig, TrainConfig
from mirada.errors import MiradaError


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate": "fast"}, "learning_rate must be a number, auto or null, got 'fast'."),
        ({"learning_rate": 0}, "learning_rate must be greater than 0, got 0."),
        ({"backbone_lr_scale": "slow"}, "backbone_lr_scale must be a number from 0 to 1 or auto, got 'slow'."),
        ({"backbone_lr_scale": 2}, "backbone_lr_scale must be between 0.0 and 1.0, got 2."),
        ({"layer_lr_decay": 0}, "layer_lr_decay must be between 0.1 and 1.0, got 0."),
        ({"guard_epochs": -1}, "guard_epochs must be at least 0, got -1"),
    ],
)
def test_a_rate_out_of_range_is_refused(settings, said):
    with pytest.raises(MiradaError, match=said):
        TrainConfig(data_dir="", output_dir="", **settings)


def test_a_rate_may_be_looked_for():
    TrainConfig(data_dir="", output_dir="", learning_rate="auto", backbone_lr_scale="auto")


@pytest.mark.parametrize(
    ("given", "epochs", "plain"),
    [(None, 40, 4), (None, 41, 5), (None, 3, 1), (None, 1, 0), (0, 40, 0), (7, 40, 7), (7, 5, 5)],
)
def test_the_last_tenth_of_the_epochs_is_plain_unless_a_number_is_given(given, epochs, plain):
    assert AugmentConfig(mosaic=0.5, plain_epochs=given).plain_of(epochs) == plain


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"head_stride": 4}, "model.head_stride must be 8, 16 or null, got 4."),
        ({"stages": 0}, "model.stages must be between 1 and 7, got 0."),
        ({"dfl_bins": 3}, r"model.dfl_bins must be 0 \(no bins\) or 4 to 32, got 3."),
        ({"scores": "classwise"}, "model.scores must be one of objectness, class_wise, got 'classwise'."),
        ({"stem_stride": 3}, "model.stem_stride must be 2 or 4, got 3."),
        ({"multiplier": 0}, "model.multiplier must be between 0.1 and 4.0, got 0."),
    ],
)
def test_a_network_that_can_not_be_is_refused(settings, said):
    with pytest.raises(MiradaError, match=said):
        ModelConfig(name="mcu", backbone="mcu", weights=None, **settings)


def test_class_scores_have_no_objectness_for_a_teacher():
    network = ModelConfig(name="mcu", backbone="mcu", weights=None, scores="class_wise")
    with pytest.raises(MiradaError, match="teacher speaks of objectness, which model.scores=class_wise does not learn"):
        TrainConfig(data_dir="", output_dir="", model=network, teacher="runs/large")


def test_an_unknown_way_with_batch_norms_is_refused():
    with pytest.raises(MiradaError, match="batch_norm must be one of folded, frozen, trained, got 'live'"):
        ModelConfig(name="lite0", batch_norm="live")


@pytest.mark.parametrize(("backbone", "blocks"), [("efficientnet_lite0", 16), ("efficientnet_lite2", 21)])
def test_as_many_blocks_as_a_network_has_can_be_frozen(backbone, blocks):
    ModelConfig(name="lite", backbone=backbone, frozen_blocks=blocks)
    with pytest.raises(MiradaError, match=f"model.frozen_blocks must be between 0 and {blocks}, got {blocks + 1}"):
        ModelConfig(name="lite", backbone=backbone, frozen_blocks=blocks + 1)
