"""Run all stages in one folder: a recipe, or your own data.

python src/experiment.py experiment=solar_cells
python src/experiment.py data=voc data.path=/path/to/photos train.epochs=5
"""

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse
from mirada.stages import experiment


@hydra.main(version_base="1.3", config_path="../conf", config_name="experiment")
def main(cfg: DictConfig) -> object:
    """Check the configuration of every stage, then run them one after the other."""
    config = parse(cfg)
    overrides = list(HydraConfig.get().overrides.task)
    return experiment.run(experiment.compose_stages(overrides, config.output_dir, config.recipe))


if __name__ == "__main__":
    launch(main)
