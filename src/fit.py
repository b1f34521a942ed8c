"""The best network that a board can carry, e.g. `python src/fit.py device=esp32s3 data=trees max_drop=0.01 minutes=60`.

python src/fit.py experiment=fit_esp32s3
python src/fit.py -m device=esp32s3,stm32h747,ethos_u55_128
"""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mirada.cli import MISTAKES, launch
from mirada.config import FitConfig, parse
from mirada.sweeps.compose import qualify
from mirada.sweeps.fit_settings import compose_fit, spell_recipe
from mirada.workers.peers import refuse_cluster

CONF = Path(__file__).resolve().parents[1] / "conf"


@hydra.main(version_base="1.3", config_path="../conf", config_name="fit")
def main(cfg: DictConfig) -> float:
    """Check the configuration, the board and every stage's settings, then search."""
    refuse_cluster("fit.py")
    hydra_config = HydraConfig.get()
    overrides = list(hydra_config.overrides.task)
    sweep_dir = hydra_config.sweep.dir if hydra_config.mode is RunMode.MULTIRUN else None
    try:
        return search(parse(cfg), overrides, sweep_dir)
    except MISTAKES as error:
        if sweep_dir is not None:
            from mirada.stages.fitting.outcome import note_failure

            note_failure(Path(sweep_dir), str(hydra_config.runtime.choices["device"]), " ".join(overrides), error)
        raise


def search(config: FitConfig, overrides: list[str], sweep_dir: str | None) -> float:
    """Compose the stages, look over what the search is to do, and do it."""
    settings = compose_fit(config, overrides)  # mistakes are refused before slow imports
    from mirada.stages import fit
    from mirada.stages.fitting.notes import look_over

    look_over(config, settings)
    return fit.run(config, settings, told=" ".join(overrides), sweep_dir=sweep_dir)


def start() -> None:
    """Write out what a recipe says of the search, say which stage each key is for, then let Hydra read the command line."""
    sys.argv[1:] = qualify(spell_recipe(sys.argv[1:], CONF), FitConfig)
    main()


if __name__ == "__main__":
    launch(start)
