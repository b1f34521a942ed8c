"""Look for objects in photographs or a video, e.g. `python src/predict.py source=photos/ variant=best output_dir=out`.

Exits with status 1 when something could not be looked at; all else is written then.
"""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="predict")
def main(cfg: DictConfig) -> None:
    """Check the configuration, then look."""
    config = parse(cfg)  # a mistake is refused here, before anything slow is imported
    from mirada.stages import predict

    predict.run(config)


if __name__ == "__main__":
    launch(main)
