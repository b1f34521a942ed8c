"""Train one model, e.g. `python src/train.py -m epochs=10,20 gpus=1,2`."""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(cfg: DictConfig) -> object:
    """Check the configuration, then run the stage."""
    config = parse(cfg)  # a mistake is refused here, before anything slow is imported
    from mirada.stages import train

    return train.run(config)


if __name__ == "__main__":
    launch(main)
