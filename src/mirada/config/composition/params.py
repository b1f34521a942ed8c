"""`${params:fetch.path}` in a configuration: a value of `params.yaml` as the text that stands there.

dvc.yaml passes free text by this road: DVC would put it into a shell's command, where a quote, a `$` or a backslash is no
longer itself, and Hydra's grammar would read it next.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from omegaconf import OmegaConf

from mirada.errors import MiradaError

FILE = Path("params.yaml")


def param(key: str) -> str:
    """The text of a key, 'fetch.path' say, in `params.yaml` of the current folder; empty where it holds nothing.

    Raises:
        MiradaError: the file can't be read, or does not hold the key.
    """
    try:
        node = yaml.compose(FILE.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)  # the text itself, no value yet
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise MiradaError(f"{FILE.absolute()} can't be read ({' '.join(str(error).split())}): correct it.") from error
    for part in key.split("."):
        below = {name.value: value for name, value in node.value} if isinstance(node, yaml.MappingNode) else {}
        if part not in below:
            raise MiradaError(f"{FILE} holds no {key}: add it.")
        node = below[part]
    if not isinstance(node, yaml.ScalarNode):
        raise MiradaError(f"{key} in {FILE} must be one text: put it in quotes.")
    return "" if node.tag == "tag:yaml.org,2002:null" else str(node.value)


def register_params() -> None:
    """Make `${params:…}` known to OmegaConf."""
    OmegaConf.register_new_resolver("params", param, replace=True)
