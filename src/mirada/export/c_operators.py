"""The operators of a model as TensorFlow Lite Micro wants them named: only their kernels get into the firmware."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mirada.boards.operators import lacking_operators
from mirada.errors import MiradaError

_OWN_NAMES = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
_HEADER = """\
/* The operators of the network: a resolver with these alone keeps all other kernels out of the firmware. C++. */
#ifndef MIRADA_OPERATORS_H
#define MIRADA_OPERATORS_H

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

typedef tflite::MicroMutableOpResolver<{count}> MiradaResolver;

inline TfLiteStatus mirada_add_operators(MiradaResolver& resolver) {{
{lines}
  return kTfLiteOk;
}}

#endif
"""


def resolver_header(operators: Sequence[str], path: Path) -> str:
    """A C++ header that adds a model's operators to a `MicroMutableOpResolver` of their number.

    Args:
        operators: as `read_operators` gives them, any of them as often as it likes.
        path: of the model, for messages.

    Raises:
        MiradaError: TensorFlow Lite Micro lacks one.
    """
    kinds = sorted(set(operators))
    if lacking := lacking_operators(kinds, "tflm"):
        raise MiradaError(
            f"{path} uses {', '.join(lacking)}, which TensorFlow Lite Micro lacks: export a variant whose operators are "
            "all int8, or train a network without it."
        )
    lines = [f"  if (resolver.Add{_method(kind)}() != kTfLiteOk) return kTfLiteError;" for kind in kinds]
    return _HEADER.format(count=len(kinds), lines="\n".join(lines))


def _method(kind: str) -> str:
    """'DepthwiseConv2D' for 'DEPTHWISE_CONV_2D'."""
    parts = kind.split("_")
    return _OWN_NAMES.get(kind) or "".join(part if part == "2D" else part.capitalize() for part in parts)
