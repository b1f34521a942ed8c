import pytest

from mirada.config import QatConfig
from mirada.errors import MiradaError


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate": "fast"}, "qat.learning_rate must be a number or auto, got 'fast'."),
        ({"learning_rate": 0}, "qat.learning_rate must be greater than 0, got 0."),
        ({"warmup_epochs": -1}, "qat.warmup_epochs must be at least 0, got -1"),
        ({"layer_lr_decay": 2}, "qat.layer_lr_decay must be between 0.1 and 1.0, got 2."),
        ({"guard_epochs": -1}, "qat.guard_epochs must be at least 0, got -1"),
        ({"guard_returns": -1}, "qat.guard_returns must be at least 0, got -1"),
    ],
)
def test_a_tuning_out_of_range_is_refused(settings, said):
    with pytest.raises(MiradaError, match=said):
        QatConfig(**settings)
