"""What a `.tflite` says of itself: its operators, and where the outputs of a card are and how they are quantized."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mirada.errors import MiradaError
from mirada.inference import tflite_file
from mirada.inference.card import Card
from mirada.inference.litert import SIGNATURE


@dataclass(frozen=True)
class OutputTensor:
    """An output of the network.

    Attributes:
        name: as the card has it.
        part: what it is, 'objectness' and the like.
        index: among the outputs of the file.
        shape: (1, ...).
        dtype: of its values, 'int8' and the like.
        scale, zero_point: of a quantized one; 0 where it is not.
    """

    name: str
    part: str
    index: int
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))


def read_tables(path: Path) -> Any:
    """The file's tables, as LiteRT's schema has them.

    Raises:
        MiradaError: it is absent or no `.tflite` file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MiradaError(f"{path} can't be read ({error.strerror}): name a .tflite file.") from error
    if content[4:8] != tflite_file.IDENTIFIER:
        raise MiradaError(f"{path} is no .tflite file: run the quantize stage again.")
    try:
        return tflite_file.read_tables(content)
    except Exception as error:  # whatever a damaged table leads to
        raise MiradaError(f"{path} is a damaged .tflite file ({error}): run the quantize stage again.") from error


def read_operators(path: Path) -> list[str]:
    """The operators, 'CONV_2D' and the like, in the order of computation; custom ones by their own name."""
    return tflite_file.list_operators(read_tables(path))


def read_outputs(path: Path, card: Card, parts: list[str]) -> list[OutputTensor]:
    """Where the outputs of some parts are, part by part and level by level.

    Args:
        path: the file.
        card: names the outputs.
        parts: of `card.outputs`; one that the card lacks is left out.

    Raises:
        MiradaError: the file has no signature, or lacks an output.
    """
    tables = read_tables(path)
    signature = next((entry for entry in tables.signatureDefs or [] if entry.signatureKey.decode() == SIGNATURE), None)
    if signature is None:
        raise MiradaError(f"{path} has no signature {SIGNATURE!r}: run the quantize stage again.")
    tensors = {entry.name.decode(): int(entry.tensorIndex) for entry in signature.outputs}
    graph, found = tables.subgraphs[int(signature.subgraphIndex)], []
    order = [int(index) for index in graph.outputs]
    for part in parts:
        for name in card.outputs.get(part, []):
            if name not in tensors:
                raise MiradaError(f"{path} has no output {name!r}, which the card names: quantize again.")
            tensor = graph.tensors[tensors[name]]
            quantized = tensor.quantization is not None and tensor.quantization.scale is not None
            scale = float(tensor.quantization.scale[0]) if quantized else 0.0
            zero = int(tensor.quantization.zeroPoint[0]) if quantized else 0
            shape = tuple(int(side) for side in tensor.shape)
            found.append(
                OutputTensor(
                    name, part, order.index(tensors[name]), shape, tflite_file.TYPES[tensor.type].lower(), scale, zero
                )
            )
    return found


def read_input(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the file's first input."""
    graph = read_tables(path).subgraphs[0]
    tensor = graph.tensors[int(graph.inputs[0])]
    return tuple(int(side) for side in tensor.shape), np.dtype(tflite_file.TYPES[tensor.type].lower())
