"""Say what there is to know of anybody's int8 file, e.g. `python src/check_tflite.py path=foreign.tflite`.

Takes seconds. Writes a page and `findings.json`; exits with status 1 when something as grave as `fail_on` was found.
"""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="check_tflite")
def main(cfg: DictConfig) -> None:
    """Check the configuration, then the file."""
    config = parse(cfg)
    from mirada.stages.checks import check_tflite

    check_tflite.run(config)


if __name__ == "__main__":
    launch(main)
