"""Whether a `.tflite` can be meant for a device: its operators, its size, the least memory that they take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mirada.boards.operators import lacking_operators
from mirada.config import DeviceConfig
from mirada.errors import MiradaError
from mirada.inference.tflite_file import ITEM_BYTES, TYPES, list_operators

# Output and first input of these lie side by side in memory while they work.
_SIDE_BY_SIDE = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MAX_POOL_2D")


def least_memory(model: Any) -> tuple[int, str]:
    """Bytes that the largest operator's input and output take together, which no arena can be below, and its name."""
    graph, most = model.subgraphs[0], (0, "")
    for operator, name in zip(graph.operators, list_operators(model), strict=False):
        if name in _SIDE_BY_SIDE:
            tensors = [graph.tensors[int(operator.inputs[0])], graph.tensors[int(operator.outputs[0])]]
            most = max(most, (sum(map(_size, tensors)), name))
    return most


def _size(tensor: Any) -> int:
    return int(np.prod(tensor.shape)) * ITEM_BYTES.get(TYPES[tensor.type], 1)


def check_device(model: Any, size_bytes: int, device: DeviceConfig, path: Path) -> None:
    """Refuse a file that a device has no use for.

    Args:
        model: the file's tables.
        size_bytes: of the file.
        device: the target.
        path: of the variant, for the message.

    Raises:
        MiradaError: an operator that the device lacks, floats where only integers will do, or too large a file or arena.
    """
    if lacking := lacking_operators(list_operators(model), device.operators):
        raise MiradaError(
            f"{path} uses {', '.join(lacking)}, which {device.title} ({device.operators}) does not have: train a network "
            "without it, or choose another device."
        )
    if device.runtime in ("vela", "edgetpu") and (floats := _floats(model)):
        raise MiradaError(
            f"{path} computes in float ({floats}), and {device.title} in integers alone: choose a variant that is int8 from "
            "end to end."
        )
    _check_sizes(model, size_bytes, device, path)


def _floats(model: Any) -> str:
    """The first tensor between the ends that holds floats; empty where there is none."""
    graph = model.subgraphs[0]
    ends = {*map(int, graph.inputs), *map(int, graph.outputs)}
    used = {int(i) for operator in graph.operators for i in (*operator.inputs, *operator.outputs)}
    for index in sorted(used - ends - {-1}):
        if TYPES[graph.tensors[index].type] in ("FLOAT32", "FLOAT16"):
            return str(graph.tensors[index].name.decode())
    return ""


def _check_sizes(model: Any, size_bytes: int, device: DeviceConfig, path: Path) -> None:
    advice = "take a smaller model (model=tiny, a smaller input_size), or set device.%s if your board has more"
    if device.flash_bytes is not None and size_bytes > device.flash_bytes:
        raise MiradaError(
            f"{path} has {size_bytes:,} bytes, and {device.title} {device.flash_bytes:,} of flash: {advice % 'flash_bytes'}."
        )
    if device.ram_bytes is None:
        return
    if device.runtime == "litert" and size_bytes > device.ram_bytes:
        raise MiradaError(
            f"{path} has {size_bytes:,} bytes, and {device.title} {device.ram_bytes:,} of RAM: {advice % 'ram_bytes'}."
        )
    least, name = least_memory(model)
    if device.runtime in ("tflm", "litert") and least > device.ram_bytes:
        raise MiradaError(
            f"{path} needs {least:,} bytes of RAM for one {name} alone, and {device.title} has {device.ram_bytes:,}: "
            f"{advice % 'ram_bytes'}."
        )
