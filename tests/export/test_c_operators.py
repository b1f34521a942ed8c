"""The operators of a model, named as TensorFlow Lite Micro names them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mirada.boards.operators import OPERATORS
from mirada.errors import MiradaError
from mirada.export.c_operators import resolver_header

NETWORK = ["QUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "ADD", "RESIZE_NEAREST_NEIGHBOR", "PADV2"]
ADDED = ["AddAdd", "AddConv2D", "AddDepthwiseConv2D", "AddPadV2", "AddQuantize", "AddResizeNearestNeighbor"]


def test_each_operator_is_added_once_and_the_resolver_has_room_for_all() -> None:
    header = resolver_header(NETWORK, Path("m.tflite"))
    assert re.findall(r"resolver\.(\w+)\(", header) == ADDED
    assert "MicroMutableOpResolver<6>" in header
    assert header == resolver_header(list(reversed(NETWORK)), Path("m.tflite"))


def test_an_operator_that_is_lacking_is_named() -> None:
    with pytest.raises(MiradaError, match=r"m\.tflite uses ERF, TFLite_Own, which TensorFlow Lite Micro lacks"):
        resolver_header(["CONV_2D", "TFLite_Own", "ERF"], Path("m.tflite"))


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_the_header_is_valid_for_a_resolver_with_these_names(tmp_path: Path) -> None:
    place = tmp_path / "tensorflow" / "lite" / "micro"
    place.mkdir(parents=True)
    header = resolver_header(sorted(OPERATORS["tflm"] or ()), tmp_path)
    methods = "\n".join(f"TfLiteStatus {name}();" for name in re.findall(r"resolver\.(\w+)\(", header))
    (place / "micro_mutable_op_resolver.h").write_text(
        "enum TfLiteStatus { kTfLiteOk, kTfLiteError };\nnamespace tflite {\n"
        f"template <unsigned int count> class MicroMutableOpResolver {{ public: {methods} }};\n}}\n"
    )
    (tmp_path / "operators.h").write_text(header)
    (tmp_path / "main.cc").write_text(
        '#include "operators.h"\nTfLiteStatus f(MiradaResolver& r) { return mirada_add_operators(r); }\n'
    )
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I.", "main.cc"]
    subprocess.run(command, cwd=tmp_path, check=True)
