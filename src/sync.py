"""Send what runs recorded while the MLflow server was away, e.g. `python src/sync.py`.

Says what it sends, run by run; can be broken off and typed again. Exits with status 1 while something is left.
"""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="sync")
def main(cfg: DictConfig) -> None:
    """Check the configuration, then send."""
    config = parse(cfg)
    from mirada.stages import sync

    sync.run(config)


if __name__ == "__main__":
    launch(main)
