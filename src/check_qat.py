"""List how each layer of a model becomes int8, e.g. `python src/check_qat.py path=models/train/model.keras`.

Takes seconds and trains nothing; exits with status 1 when the model has layers that quantization-aware training can't take.
"""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="check_qat")
def main(cfg: DictConfig) -> None:
    """Check the configuration, then the model."""
    config = parse(cfg)
    from mirada.stages.checks import check_qat

    check_qat.run(config)


if __name__ == "__main__":
    launch(main)
