"""Add a worker to the queue of a service, on any machine, e.g. `python src/worker.py queue.url=redis://host:6379/0`."""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="worker")
def main(cfg: DictConfig) -> None:
    """Check the configuration, then work until told to stop."""
    config = parse(cfg)
    from mirada.service.worker import run

    run(config)


if __name__ == "__main__":
    launch(main)
