"""Convert the trained model to .tflite variants, e.g. `python src/quantize.py variants=[float32,int8]`."""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="quantize")
def main(cfg: DictConfig) -> None:
    """Check the configuration, then run the stage."""
    config = parse(cfg)  # a mistake is refused here, before anything slow is imported
    from mirada.stages import quantize

    quantize.run(config)


if __name__ == "__main__":
    launch(main)
