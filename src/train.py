"""Train one model, e.g. `python src/train.py -m epochs=10,20 gpus=1,2`; with TF_CONFIG set, as one of its workers."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse
from mirada.config.composition.quality import spell_quality, split_quality
from mirada.workers.peers import helper_overrides

CONF = Path(__file__).resolve().parents[1] / "conf"


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(cfg: DictConfig) -> object:
    """Check the configuration, then run the stage."""
    config = parse(cfg)  # a mistake is refused here, before anything slow is imported
    from mirada.stages import train

    return train.run(config)


def start() -> object:
    """Write out what quality= is short for; where TF_CONFIG says that this worker only helps, Hydra is kept from writing."""
    quality, rest = split_quality(sys.argv[1:])
    sys.argv[1:] = spell_quality(quality, rest, CONF, "train")
    sys.argv += helper_overrides(sys.argv)
    return main()


if __name__ == "__main__":
    launch(start)
