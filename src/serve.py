"""Serve the model that `make run` left: API, page, task queue, e.g. `python src/serve.py port=8001`."""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="serve")
def main(cfg: DictConfig) -> None:
    """Check the configuration, then run until told to stop."""
    config = parse(cfg)  # a mistake is refused here, before anything starts
    from mirada.service.supervisor import run

    run(config)


if __name__ == "__main__":
    launch(main)
