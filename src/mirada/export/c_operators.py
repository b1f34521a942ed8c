"""The operators of a model as TensorFlow Lite Micro wants them named: only their kernels get into the firmware."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mirada.errors import MiradaError

_KNOWN = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO
CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV ELU
EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER
GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOG_SOFTMAX LOGICAL_AND
LOGICAL_NOT LOGICAL_OR LOGISTIC MAX_POOL_2D MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU
QUANTIZE READ_VARIABLE REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND
RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE
SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE
ZEROS_LIKE
"""
OPERATORS = frozenset(_KNOWN.split())
"""What its `MicroMutableOpResolver` can be given, as the schema of `.tflite` names it."""

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
    if lacking := [kind for kind in kinds if kind not in OPERATORS]:
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
