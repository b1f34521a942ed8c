"""Networks put together tensor by tensor, right or with a flaw, as files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

DTYPES = {np.int8: "INT8", np.uint8: "UINT8", np.int32: "INT32", np.float32: "FLOAT32", np.float16: "FLOAT16"}


class Draft:
    """A `.tflite` in the making."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs, self.model.operatorCodes = 3, [self.graph], []
        self.model.buffers, self.model.metadata = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators = [], []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "INT8",
        scale: float | Sequence[float] | None = 0.1,
        zero: int | Sequence[int] = 0,
        axis: int = 0,
        data: np.ndarray | None = None,
    ) -> int:
        """One of no scale (None), of one, or of one a channel; with data it is a constant of their type."""
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name, [abs(side) for side in shape], 0
        made.shapeSignature = list(shape) if min(shape, default=0) < 0 else None
        if data is not None:
            dtype = DTYPES[data.dtype.type]
            self.model.buffers.append(schema.BufferT())
            self.model.buffers[-1].data = np.frombuffer(data.tobytes(), np.uint8)
            made.buffer = len(self.model.buffers) - 1
        made.type = getattr(schema.TensorType, dtype)
        if scale is not None and dtype not in ("FLOAT32", "FLOAT16"):
            made.quantization = schema.QuantizationParametersT()
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            made.quantization.scale = scales
            made.quantization.zeroPoint = np.broadcast_to(np.asarray(zero, np.int64), scales.shape).copy()
            made.quantization.quantizedDimension = axis
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def step(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], custom: str = "", **options: Any) -> None:
        """An operator; options such as `Conv2D={'strideW': 1}` fill the table of that name."""
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version, code.customCode = 3 if "CONV" in kind else 2, custom or None
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        operator.opcodeIndex = len(self.model.operatorCodes)
        for name, fields in options.items():
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{name}Options")
            operator.builtinOptions = getattr(schema, f"{name}OptionsT")()
            vars(operator.builtinOptions).update(fields)
        self.model.operatorCodes.append(code)
        self.graph.operators.append(operator)

    def note(self, name: str, blob: bytes) -> None:
        """Metadata under a name."""
        self.model.buffers.append(schema.BufferT())
        self.model.buffers[-1].data = np.frombuffer(blob, np.uint8)
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, len(self.model.buffers) - 1
        self.model.metadata.append(entry)

    def content(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The bytes of the file."""
        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def write(
        self, path: Path, inputs: Sequence[int], outputs: Sequence[int], files: dict[str, str] | None = None
    ) -> Path:
        """The file, with an archive of files behind it where some are given."""
        content = self.content(inputs, outputs)
        if files:
            archive = io.BytesIO()
            with zipfile.ZipFile(archive, "w") as writer:
                for name, text in files.items():
                    writer.writestr(name, text)
            content += archive.getvalue()
        path.write_bytes(content)
        return path


CONV = {"Conv2D": {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}}
DEPTHWISE = {
    "DepthwiseConv2D": {
        "strideW": 1, "strideH": 1, "depthMultiplier": 1, "dilationWFactor": 1, "dilationHFactor": 1,
    }
}  # fmt: skip


def convolution(
    draft: Draft, source: int, name: str = "conv", *, per_channel: bool = True, bias_scale: float = 0.001
) -> int:
    """A 1x1 convolution of 2 into 2 channels over 4x4 places, input of scale 0.1, weights of 0.01: bias of 0.001."""
    scales = [0.01, 0.01] if per_channel else 0.01
    kernel = draft.tensor(f"{name}/kernel", (2, 1, 1, 2), scale=scales, data=np.full((2, 1, 1, 2), 100, np.int8))
    biases = [bias_scale, bias_scale] if per_channel else bias_scale
    bias = draft.tensor(f"{name}/bias", (2,), scale=biases, data=np.zeros(2, np.int32))
    target = draft.tensor(name, (1, 4, 4, 2), scale=0.1)
    draft.step("CONV_2D", [source, kernel, bias], [target], **CONV)
    return target


def image(draft: Draft, dtype: str = "INT8") -> int:
    """An input of 4x4 places and 2 channels, of scale 0.1 where it is quantized."""
    return draft.tensor("image", (1, 4, 4, 2), dtype)
