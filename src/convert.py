"""Labels of one format to another, e.g. `python src/convert.py data=auto data.path=export.zip to=yolo output_dir=out`."""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="convert")
def main(cfg: DictConfig) -> None:
    """Check the configuration, then convert."""
    config = parse(cfg)  # a mistake is refused here, before anything slow is imported
    from mirada.stages import convert

    convert.run(config)


if __name__ == "__main__":
    launch(main)
