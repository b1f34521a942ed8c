"""Get the raw images, e.g. `python src/fetch.py data=trees`."""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="fetch")
def main(cfg: DictConfig) -> None:
    """Check the configuration, then run the stage."""
    config = parse(cfg)  # a mistake is refused here, before anything slow is imported
    from mirada.stages import fetch

    fetch.run(config)


if __name__ == "__main__":
    launch(main)
