"""What there is to know of anybody's `.tflite`, as sentences, as a page and for machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mirada.config import CheckTfliteConfig
from mirada.errors import MiradaError

if TYPE_CHECKING:
    from mirada.quantization.evidence import LayerEvidence
    from mirada.quantization.foreign.network import Network
    from mirada.quantization.foreign.report import Check


def run(config: CheckTfliteConfig) -> None:
    """Check a file; write `index.html` and `findings.json`, and `layers.csv` where there is a twin.

    Raises:
        MiradaError: the file or its twin can't be read, or something as grave as `fail_on` was found, after all is written.
    """
    from mirada.quantization.evidence import write_evidence
    from mirada.quantization.foreign.finding import worse_or_same
    from mirada.quantization.foreign.reading import read_network
    from mirada.quantization.foreign.report import check, write_check
    from mirada.quantization.foreign.verdicts import ask_all

    folder = Path(config.output_dir)
    network = read_network(Path(config.path))
    twin = read_network(Path(config.twin)) if config.twin is not None else None
    layers, measured_on = _measure(config, network, twin) if twin is not None else ([], "")
    checked = check(network, ask_all(network.path), layers, measured_on)
    try:
        write_check(checked, folder)
        if layers:
            write_evidence(layers, folder)
    except OSError as error:
        raise MiradaError(
            f"output_dir={folder} can't be written ({error.strerror or error}): choose another."
        ) from error
    _tell(checked, folder)
    grave = worse_or_same(checked.findings, config.fail_on)
    if grave:
        raise MiradaError(
            f"{network.path.name}: {len(grave)} finding{'' if len(grave) == 1 else 's'} as grave as "
            f"fail_on={config.fail_on}, see {folder / 'index.html'}."
        )


def _measure(config: CheckTfliteConfig, network: Network, twin: Network) -> tuple[list[LayerEvidence], str]:
    """A row an operator, and what it was measured with."""
    from mirada.quantization.foreign.drops import layer_drops, normalisation_of, picture_shape, read_images

    images = read_images(str(config.data_dir), picture_shape(network), config.images)
    mean, std, source = normalisation_of([network, twin], config.mean, config.std)
    rows = layer_drops(network, twin, images, mean, std)
    number = f"{len(images)} image{'' if len(images) == 1 else 's'}"
    return rows, f"Measured on {number} of {config.data_dir}, the input being (pixel − {mean:g}) / {std:g}, {source}."


def _tell(checked: Check, folder: Path) -> None:
    """Print the answer, the findings and what runtimes say."""
    from rich.console import Console
    from rich.text import Text

    console, styles = Console(highlight=False), {"error": "bold red", "warning": "yellow", "note": "dim"}
    console.print(Text(f"{checked.network.path.name}: {checked.precision.sentence}", style="bold"))
    for finding in checked.findings:
        console.print(Text.assemble((f"{finding.severity}: ", styles[finding.severity]), finding.sentence))
    for verdict in checked.verdicts:
        console.print(Text(verdict.sentence))
    if checked.measured_on:
        console.print(Text(checked.measured_on))
    console.print(Text(f"page: {folder / 'index.html'}"))
