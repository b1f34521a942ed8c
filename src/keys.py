"""Make, rotate, revoke and list the API keys of a service, e.g. `python src/keys.py add=camera scopes=[predict]`.

A new key is printed once; its file keeps a digest of it. A running service sees a change within a second.
"""

import hydra
from omegaconf import DictConfig

from mirada.cli import launch
from mirada.config import parse


@hydra.main(version_base="1.3", config_path="../conf", config_name="keys")
def main(cfg: DictConfig) -> None:
    """Check the configuration, then do what it says."""
    config = parse(cfg)
    from mirada.service.keys import run

    run(config)


if __name__ == "__main__":
    launch(main)
