"""Settings to quantize what was trained once for all."""

import pytest

from mirada.config import QuantizeConfig, TrackingConfig, TrainConfig


@pytest.fixture(scope="module")
def to_quantize(trained: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> QuantizeConfig:
    return QuantizeConfig(
        tracking=TrackingConfig(enabled=False),
        model_dir=trained.output_dir,
        data_dir=trained.data_dir,
        output_dir=str(tmp_path_factory.mktemp("quantize")),
        calibration_images=4,
    )
