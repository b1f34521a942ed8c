"""The pre-flight check of quantization-aware training, on any model file."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from mirada.config import CheckQatConfig
from mirada.errors import MiradaError


def run(config: CheckQatConfig) -> None:
    """Print the int8 scheme of each layer.

    Raises:
        MiradaError: the file is absent, no model or no graph, or layers have no scheme; these are named.
    """
    path = Path(config.path)
    if not path.is_file():
        raise MiradaError(f"path={path}: there is no such file; give a model saved as .keras.")
    from mirada.learning.models import load_model
    from mirada.learning.quantization.schemes import preflight, require_schemes

    try:
        model = load_model(path)
    except MiradaError as error:  # its advice is for a model of our own
        reason = str(error.__cause__ or error).splitlines()[0]
        raise MiradaError(
            f"path={path} can't be read ({reason}): save it with Keras 2 (tf_keras) as .keras."
        ) from error
    schemes = preflight(model)
    table = Table("layer", "type", "scheme", title=f"int8 schemes of {path.name}")
    for scheme in schemes:
        text = scheme.text if scheme.role else f"none: {scheme.text}"
        table.add_row(scheme.name, scheme.kind, text, style=None if scheme.role else "bold red")
    Console().print(table)
    require_schemes(schemes)
    print(f"all {len(schemes)} layers have an int8 scheme")
