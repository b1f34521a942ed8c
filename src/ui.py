"""Look at the runs in MLflow, with chosen columns and charts, e.g. `python src/ui.py port=5001`."""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="ui")
def main(cfg: DictConfig) -> None:
    """Check the configuration, say where the runs open, then serve until told to stop."""
    config = parse(cfg)
    from mirada.tracking import ui

    ui.run(config)


if __name__ == "__main__":
    launch(main)
