"""A variant as a bundle for a device, e.g. `python src/export.py device=raspberry_pi_4 variant=best output_dir=out`."""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="export")
def main(cfg: DictConfig) -> None:
    """Check the configuration, then export."""
    config = parse(cfg)  # a mistake is refused here, before anything slow is imported
    from mirada.stages import export

    export.run(config)


if __name__ == "__main__":
    launch(main)
