"""Runs side by side, e.g. `python src/compare.py parent=<id of a sweep's run>`, or all of them without an argument."""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="compare")
def main(cfg: DictConfig) -> object:
    """Check the configuration, then compare."""
    config = parse(cfg)  # a mistake is refused here, before anything slow is imported
    from mirada.stages import compare

    return compare.run(config)


if __name__ == "__main__":
    launch(main)
