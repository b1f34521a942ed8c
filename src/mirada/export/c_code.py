"""C for microcontrollers: the model as an array, its operators for TensorFlow Lite Micro, and a decoder of its outputs.

The decoder is C99 without malloc. It looks sigmoid and softplus up in tables that hold the very numbers of the Python
engine, one for each of the 256 codes of an output, so nothing depends on a device's mathematics library: of one label its
objects are the engine's to the last bit. Of several labels, and of the tasks with one answer an image, it calls `exp`, whose
last bit differs from one library to the next. Where more cells than `Decoding.candidates` pass the floor and the last ones
have equal scores, it keeps those that come first; which ones the engine keeps is left to NumPy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mirada.errors import MiradaError
from mirada.export.c_operators import resolver_header
from mirada.files import write_whole
from mirada.inference.card import Card
from mirada.inference.file_tables import OutputTensor, read_operators, read_outputs
from mirada.inference.maps import Quantized, to_floats
from mirada.inference.prediction import STANDARD, Decoding, sigmoid, softplus

PARTS = {
    "detection": ["objectness", "classes", "distances"],
    "localization": ["classes", "scores", "distances", "box"],
    "classification": ["classes"],
}
"""Task -> the parts of a card's outputs in the order of the C code's `mirada_outputs`."""

TEMPLATES = Path(__file__).with_name("c")
_A_ROW = 16  # bytes of the model in a line
_MODEL_HEADER = """\
/* The network, {size} bytes of a .tflite file with the SHA-256 {digest}. */
#ifndef MIRADA_MODEL_H
#define MIRADA_MODEL_H

#define MIRADA_MODEL_SIZE {size}

#ifdef __cplusplus
extern "C" {{
#endif
extern const unsigned char mirada_model[MIRADA_MODEL_SIZE];
#ifdef __cplusplus
}}
#endif
#endif
"""
_MODEL_START = """\
#include "mirada_model.h"

/* The interpreter reads it where it lies: 16 bytes, as its tables ask for. */
#if defined(__GNUC__) || defined(__clang__)
#define MIRADA_ALIGNED __attribute__((aligned(16)))
#elif defined(_MSC_VER)
#define MIRADA_ALIGNED __declspec(align(16))
#else
#define MIRADA_ALIGNED
#endif

const unsigned char mirada_model[MIRADA_MODEL_SIZE] MIRADA_ALIGNED = {
"""


def write_c_code(path: Path, card: Card, folder: Path, decoding: Decoding = STANDARD) -> list[Path]:
    """Write all that a firmware compiles.

    Args:
        path: the `.tflite` file, with int8 outputs.
        card: of the model.
        folder: where the files go; it is made.
        decoding: what the C code keeps of detections; it knows no zones.

    Returns:
        The files: `mirada_model.c` and `.h`, `mirada_operators.h`, and those of `write_decoder`.

    Raises:
        MiradaError: an output is not int8, or an operator is unknown to TensorFlow Lite Micro.
    """
    operators = resolver_header(read_operators(path), path)
    files = write_decoder(read_outputs(path, card, PARTS[card.task]), card, folder, decoding)
    header, source = model_array(path.read_bytes())
    for name, content in {"mirada_model.h": header, "mirada_model.c": source, "mirada_operators.h": operators}.items():
        write_whole(folder / name, content)
        files.append(folder / name)
    return sorted(files)


def write_decoder(
    outputs: Sequence[OutputTensor], card: Card, folder: Path, decoding: Decoding = STANDARD
) -> list[Path]:
    """Write the decoder of a model's outputs, and a program that shows how it is called; see `write_c_code`.

    Args:
        outputs: of the parts in `PARTS`, as `read_outputs` gives them.
        card, folder, decoding: as `write_c_code` takes them.

    Returns:
        `mirada_decoder.h`, `mirada_sum.h`, `mirada_detection.c` or `mirada_single.c`, `mirada_main.c`, `mirada_config.h`,
        `mirada_tables.c`.
    """
    _check(outputs, card)
    task_file = "mirada_detection.c" if card.task == "detection" else "mirada_single.c"
    names = ("mirada_decoder.h", "mirada_sum.h", task_file, "mirada_main.c")
    contents = {name: (TEMPLATES / name).read_text() for name in names}
    contents["mirada_config.h"] = _config(outputs, card, decoding)
    contents["mirada_tables.c"] = _tables(outputs, card)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_whole(folder / name, content)
    return [folder / name for name in sorted(contents)]


def model_array(content: bytes) -> tuple[str, str]:
    """A `.tflite` as a C header and its source; equal bytes give equal text."""
    header = _MODEL_HEADER.format(size=len(content), digest=hashlib.sha256(content).hexdigest())
    texts = [f"0x{byte:02x}," for byte in range(256)]
    rows = (content[start : start + _A_ROW] for start in range(0, len(content), _A_ROW))
    body = "\n".join("  " + "".join(texts[byte] for byte in row) for row in rows)
    return header, f"{_MODEL_START}{body}\n}};\n"


def pack_codes(outputs: Sequence[np.ndarray]) -> bytes:
    """What `mirada_main` reads: the codes of each output, in the order of `read_outputs`, one after the other."""
    return b"".join(np.ascontiguousarray(codes, np.int8).tobytes() for codes in outputs)


def _check(outputs: Sequence[OutputTensor], card: Card) -> None:
    """Refuse outputs that the decoder does not read."""
    for output in outputs:
        if output.dtype != "int8" or not output.scale > 0:
            raise MiradaError(
                f"The model gives {output.name} as {output.dtype}, and the C decoder reads int8: export an int8 variant."
            )
    for stride, output in zip(_map_strides(outputs, card), outputs, strict=True):
        side = card.input_size // stride if stride else 0
        if stride and output.shape[1:3] != (side, side):
            raise MiradaError(
                f"The model gives {output.name} as {output.shape}, the card's stride says {side} x {side} cells: quantize "
                "the model of this card again."
            )


def _map_strides(outputs: Sequence[OutputTensor], card: Card) -> list[int]:
    """The stride of each output, 0 for one that is no map."""
    places = {name: place for names in card.outputs.values() for place, name in enumerate(names)}
    return [card.strides[places[output.name]] if card.strides else 0 for output in outputs]


def _config(outputs: Sequence[OutputTensor], card: Card, decoding: Decoding) -> str:
    """The numbers that the C compiler has to know."""
    detection = card.task == "detection"
    cells = sum(output.size for output in outputs if output.part in ("objectness", "scores"))
    most = min(decoding.max_detections or cells, cells) if detection else 0
    numbers: dict[str, str] = {
        "DETECTION": str(int(detection)),
        "LOCALIZATION": str(int(card.task == "localization")),
        "LABELS": str(len(card.labels)),
        "OUTPUTS": str(len(outputs)),
        "CODES": str(sum(output.size for output in outputs)),
        "CELLS": str(cells),
        "INPUT_SIZE": str(card.input_size),
    }
    settings: dict[str, str] = {}
    if detection:
        numbers["LEVELS"] = str(len(card.strides))
        settings = {
            "SCORE_FLOOR": _float(decoding.score_floor),
            "NMS_IOU": _float(decoding.nms_iou),
            "MAX_DETECTIONS": str(most),
            "CANDIDATES": str(min(decoding.candidates, cells)),
        }
    else:
        numbers["STRIDE"] = str(card.strides[0] if card.strides else 0)
        settings["THRESHOLD"] = float(card.threshold).hex()
    fixed = [f"#define MIRADA_{key} {value}" for key, value in numbers.items()]
    changeable = [f"#ifndef MIRADA_{key}\n#define MIRADA_{key} {value}\n#endif" for key, value in settings.items()]
    return "\n".join(
        [
            "/* Written for one model. */",
            "#ifndef MIRADA_CONFIG_H",
            "#define MIRADA_CONFIG_H",
            "",
            *fixed,
            "",
            "/* These may be set when compiling, as in -DMIRADA_MAX_DETECTIONS=20. */",
            *changeable,
            "#endif",
            "",
        ]
    )


def _tables(outputs: Sequence[OutputTensor], card: Card) -> str:
    """The constants that the decoder looks up."""
    rows = [
        f'  {{"{_escape(output.name)}", {output.index}, {output.size}, {_float(output.scale)}, {output.zero_point}}},'
        for output in outputs
    ]
    labels = [f'  "{_escape(label)}",' for label in card.labels]
    parts = [
        "/* Written for one model. */",
        '#include "mirada_decoder.h"',
        "",
        "const mirada_output mirada_outputs[MIRADA_OUTPUTS] = {\n" + "\n".join(rows) + "\n};",
        "const char *const mirada_labels[MIRADA_LABELS] = {\n" + "\n".join(labels) + "\n};",
    ]
    distances = [softplus(_values(output)) for output in outputs if output.part == "distances"]
    if card.task == "detection":
        scores = [sigmoid(_values(output)) for output in outputs if output.part == "objectness"]
        strides = ", ".join(map(str, card.strides))
        parts.append(f"const int mirada_strides[MIRADA_LEVELS] = {{{strides}}};")
        for name, tables in (("sigmoid", scores), ("softplus", distances)):
            levels = ",\n".join(f"  {{\n{_floats(table)}\n  }}" for table in tables)
            parts.append(f"const float mirada_{name}[MIRADA_LEVELS][256] = {{\n{levels}\n}};")
    elif distances:
        parts.append(f"const float mirada_softplus[256] = {{\n{_floats(distances[0])}\n}};")
    return "\n".join(parts) + "\n"


def _values(output: OutputTensor) -> np.ndarray:
    """(256,) float32 what the codes -128 to 127 stand for."""
    return to_floats(Quantized(np.arange(-128, 128).astype(np.int8), output.scale, output.zero_point))


def _floats(table: np.ndarray) -> str:
    rows = table.reshape(-1, 8)
    return ",\n".join("    " + ", ".join(_float(value) for value in row) for row in rows)


def _float(value: float) -> str:
    """A float32 as C99 writes it, without a loss."""
    return f"{float(np.float32(value)).hex()}f"


def _escape(text: str) -> str:
    """A C string's inside: ASCII as it is, other bytes of UTF-8 as three octal digits."""
    plain = set(range(32, 127)) - set(b'"\\?')  # '?' could begin a trigraph
    return "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode())
