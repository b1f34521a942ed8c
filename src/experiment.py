"""Run all stages in one folder: a recipe, or your own data.

python src/experiment.py experiment=solar_cells
python src/experiment.py data=voc data.path=/path/to/photos train.epochs=5
python src/experiment.py -m epochs=10,20 quantize.max_drop=0.01,0.02
python src/experiment.py data=voc data.path=/path/to/photos folds=5 quality=best
"""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse
from mirada.config.composition.quality import spell_quality, split_quality
from mirada.sweeps.compose import compose_stages, qualify
from mirada.sweeps.repeats import spell_repeats
from mirada.workers.peers import refuse_cluster

CONF = Path(__file__).resolve().parents[1] / "conf"


@hydra.main(version_base="1.3", config_path="../conf", config_name="experiment")
def main(cfg: DictConfig) -> object:
    """Check the configuration of every stage, then run them one after the other."""
    refuse_cluster("experiment.py")
    config = parse(cfg)
    overrides = list(HydraConfig.get().overrides.task)
    stages = compose_stages(overrides, config.output_dir, config.recipe)  # mistakes are refused before slow imports
    from mirada.stages import experiment
    from mirada.sweeps.search.objectives import check_experiment, value_of

    if config.objectives:
        check_experiment(config.objectives, stages)
    figures = experiment.run(
        stages,
        output_dir=config.output_dir,
        store_dir=config.store_dir,
        sweep=HydraConfig.get().mode is RunMode.MULTIRUN,
        force=config.force,
    )
    return value_of(figures, config.objectives, stages)


def start() -> None:
    """Write out what is short for a sweep, say which stage each key is for, then let Hydra read the command line."""
    quality, rest = split_quality(sys.argv[1:])
    sys.argv[1:] = spell_quality(quality, qualify(spell_repeats(rest)), CONF)
    main()


if __name__ == "__main__":
    launch(start)
