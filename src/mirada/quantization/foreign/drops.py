"""What int8 costs layer by layer, where a float file of the same network and some images are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mirada.data.folders.layout import is_image, visible_files
from mirada.data.images import decode, open_image
from mirada.data.stored_data import open_dataset
from mirada.errors import MiradaError
from mirada.inference.card import Card
from mirada.quantization.evidence import (
    HURTS,
    LEVELS,
    SATURATED,
    LayerEvidence,
    layer_evidence,
    reason_of,
    worst_layers,
)
from mirada.quantization.foreign.finding import Finding
from mirada.quantization.foreign.network import Network, Tensor
from mirada.quantization.foreign.precision import precision_of
from mirada.quantization.operators import Opened

POOR = 15.0  # dB of signal to error at an output, below which int8 answers other than float
_WORST = 3  # layers that are found fault with
_DO = {
    SATURATED: "calibrate on more images like these, or by their extremes",
    LEVELS: "give the weights one scale a channel, or tune the network with quantization in place",
}
_WIDE = "balance its channels, tune the network with quantization in place, or leave this layer float"
_USUAL = ((127.5, 127.5), (0.0, 255.0), (0.0, 1.0))  # mean and standard deviation of pixels in most networks


def picture_shape(network: Network) -> tuple[int, int, int]:
    """Height, width and channels of the one image that a network takes.

    Raises:
        MiradaError: it takes something else.
    """
    graph = network.main
    shape = graph.tensors[graph.inputs[0]].shape if len(graph.inputs) == 1 else ()
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
        told = " and ".join(str(list(graph.tensors[i].shape)) for i in graph.inputs) or "nothing"
        raise MiradaError(
            f"path={network.path} takes {told}, not one image [1, height, width, 1 or 3]: leave out data_dir= and twin=."
        )
    return shape[1], shape[2], shape[3]


def read_images(data: str, shape: tuple[int, int, int], most: int) -> list[np.ndarray]:
    """Images as a network takes them, stretched to its input.

    Args:
        data: a folder of preprocess (or its URL): images of its val split, or train's without one; or a folder of pictures.
        shape: height, width, channels. most: so many at most, spread evenly over the folder.

    Returns:
        (H, W, C) uint8 each.

    Raises:
        MiradaError: there are none, or one can't be read.
    """
    height, width, channels = shape
    folder = Path(data)
    if (folder / "dataset.json").is_file() or "://" in data:
        dataset = open_dataset(data)
        split = "val" if dataset.splits.get("val", {}).get("images") else "train"
        pictures = [example.image for _, example in zip(range(most), dataset.examples(split), strict=False)]
        found = [Image.fromarray(decode(content, 3)) for content in pictures]
    elif folder.is_dir():
        files = [path for _, path in visible_files(folder) if is_image(path.name)]
        chosen = files[:: max(1, len(files) // most)][:most]
        found = [open_image(path, True, reduce_to=2 * max(height, width)) for path in chosen]
    else:
        raise MiradaError(
            f"data_dir={data}: there is no such folder; give one of pictures, or one that preprocess wrote."
        )
    if not found:
        raise MiradaError(f"data_dir={data} holds no pictures: give a folder with some.")
    mode = "L" if channels == 1 else "RGB"
    sized = [image.convert(mode).resize((width, height), Image.Resampling.BILINEAR) for image in found]
    return [np.asarray(image, np.uint8).reshape(height, width, channels) for image in sized]


def normalisation_of(networks: Sequence[Network], mean: float | None, std: float | None) -> tuple[float, float, str]:
    """Mean and standard deviation of pixels, and where they come from.

    Args:
        networks: the int8 file, and its twin.
        mean, std: as the user says; None: as the metadata of either say, or the grid of the int8 file's input.

    Raises:
        MiradaError: nothing says it, or a channel has its own.
    """
    if mean is not None and std is not None:
        return mean, std, "as mean= and std= say"
    for network in networks:
        told = network.metadata.normalisation if network.metadata else None
        if told is not None:
            if len({*told[0]}) != 1 or len({*told[1]}) != 1 or told[1][0] == 0:
                raise MiradaError(
                    f"{network.path} normalises each channel by its own mean and deviation, which this check can't: "
                    "set mean= and std= to one number each."
                )
            return told[0][0], told[1][0], "as its metadata say"
    grid = _input_grid(networks[0])
    if grid is None:
        raise MiradaError("nothing says how pixels become the input: set mean= and std=, e.g. mean=127.5 std=127.5.")
    mean, std = _from_grid(grid)
    return mean, std, "as the grid of its input says"


def _from_grid(grid: Tensor) -> tuple[float, float]:
    """Pixels 0 and 255 are taken for the ends of the grid; of usual pairs that fit to a step, the first."""
    step = float(grid.scales[0])
    zero = int(grid.zero_points[0]) + (128 if grid.dtype == "INT8" else 0)
    low, high = -zero * step, (255 - zero) * step
    for mean, std in _USUAL:
        if max(abs(-mean / std - low), abs((255 - mean) / std - high)) <= step:
            return mean, std
    return float(zero), 1 / step


def _input_grid(network: Network) -> Tensor | None:
    """The quantized input, or what a float input is quantized to at once."""
    graph = network.main
    index = graph.inputs[0]
    readers = graph.readers.get(index, [])
    if graph.tensors[index].is_float and len(readers) == 1 and readers[0].kind == "QUANTIZE" and readers[0].outputs:
        index = readers[0].outputs[0]
    tensor = graph.tensors[index]
    fits = tensor.dtype in ("INT8", "UINT8") and len(tensor.scales) == 1 and tensor.scales[0] > 0
    return tensor if fits and len(tensor.zero_points) else None


def layer_drops(
    network: Network, twin: Network, images: Sequence[np.ndarray], mean: float, std: float
) -> list[LayerEvidence]:
    """A row an operator, as `evidence` has it.

    Raises:
        MiradaError: the twin is no float file of this network, or LiteRT can't run one of the two.
    """
    precision = precision_of(network)
    if not precision.integers or precision.kind in ("uint8", "int16"):
        raise MiradaError(f"path={network.path} computes in {precision.kind}, only int8 is measured: leave out twin=.")
    if precision_of(twin).integers:
        raise MiradaError(
            f"twin={twin.path} is quantized itself: give the float file that {network.path} was made from."
        )
    if picture_shape(twin) != picture_shape(network):
        raise MiradaError(
            f"twin={twin.path} takes images of another size than {network.path}: give its own float file."
        )
    outputs = {"classes": [""]}
    card = Card("classification", ["", ""], 1, 1, "stretch", [], outputs, "", "", {}, 1 / std, -mean / std)
    try:
        rows = layer_evidence(
            network.path.name, network.path.read_bytes(), Opened(twin.path.read_bytes()), images, card
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise MiradaError(
            f"{network.path} and its twin can't be run side by side ({reason}): leave out twin=."
        ) from error
    if not rows:
        raise MiradaError(
            f"twin={twin.path} shares no operator with {network.path}: give the float file it was made from."
        )
    return rows


def drop_findings(rows: Sequence[LayerEvidence]) -> list[Finding]:
    """The layers that add most error, and how much arrives at the outputs."""
    found = []
    for row in worst_layers(rows, _WORST):
        if row.hurt >= HURTS:
            what = f"{row.layer} ({row.op}) adds {row.hurt:.1%} error"
            found.append(Finding("layer_error", "warning", what, reason_of(row), _DO.get(row.why, _WIDE), [row.layer]))
    measured = [row for row in rows if row.sqnr_db is not None]
    if measured:
        last = measured[-1]
        poor = (last.sqnr_db or 0.0) < POOR
        what = (
            f"at {last.layer}, the last that was measured, the signal is {last.sqnr_db:.1f} dB above the error of int8"
        )
        means = "int8 answers other than float does" if poor else "int8 answers nearly as float does"
        do = "mend the layers that add most, then measure accuracy" if poor else "measure accuracy all the same"
        found.append(Finding("output_error", "warning" if poor else "note", what, means, do, [last.layer]))
    return found
