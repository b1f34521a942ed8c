import ast
import importlib
import sys
from pathlib import Path

import pytest

from mirada.export.bundle import single_file
from mirada.export.bundle.single_file import write_single_file

SCRIPT = "mirada.export.bundle.script"


def test_run_py_needs_three_packages_and_nothing_of_mirada() -> None:
    text = write_single_file(SCRIPT, "About.")
    imported = set()
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        imported |= {name.split(".")[0] for name in names}
    assert imported - set(sys.stdlib_module_names) == {
        "numpy",
        "PIL",
        "ai_edge_litert",
        "pillow_heif",
    }  # the last on demand
    assert text == write_single_file(SCRIPT, "About.")


def test_definitions_are_those_of_mirada_to_the_letter() -> None:
    text = write_single_file(SCRIPT, "About.")
    copied = {node.name: node for node in ast.parse(text).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for module, names in {
        "mirada.inference.boxes": ("suppress", "clip_boxes", "iou_matrix"),
        "mirada.inference.prediction": (
            "decode_detections",
            "decode_localization",
            "decode_classification",
            "Decoding",
        ),
        "mirada.inference.merging": ("suppress_wide",),
        "mirada.inference.tiling": ("TileCutter", "plan_tiles", "own_zone", "seen_better"),
        "mirada.data.images": ("fit_image", "open_image", "load_input", "boxes_from_input"),
        "mirada.inference.litert": ("Model",),
    }.items():
        own = ast.parse(Path(str(importlib.import_module(module).__file__)).read_text())
        theirs = {node.name: node for node in own.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        for name in names:
            assert ast.dump(copied[name]) == ast.dump(theirs[name]), name


@pytest.fixture
def modules(tmp_path, monkeypatch) -> Path:
    """Modules that stand for Mirada's."""
    package = tmp_path / "drawn"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "drawn", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(single_file, "_PACKAGE", "drawn")
    return package


def run(text: str) -> int:
    names: dict[str, object] = {"__name__": "written"}
    exec(compile(text, "run.py", "exec"), names)  # noqa: S102 - the text that is tested
    return names["main"]()  # type: ignore[operator]


def test_one_name_for_two_things_becomes_two_names(modules: Path) -> None:
    (modules / "one.py").write_text(
        "_SIZE = 2\n\ndef _twice(a):\n    return _SIZE * a\n\ndef first(a):\n    return _twice(a)\n"
    )
    (modules / "two.py").write_text(
        "from drawn.one import first\n\n_SIZE = 30\n\ndef _twice(a):\n    return first(a) + _SIZE\n\n"
        "def unused():\n    return 1 / 0\n\ndef main():\n    return _twice(_twice(1))\n"
    )
    text = write_single_file("drawn.two", "")
    assert run(text) == 2 * (2 + 30) + 30
    assert "unused" not in text
    assert "_twice_of_two" in text


def test_what_a_definition_needs_comes_before_it(modules: Path) -> None:
    (modules / "low.py").write_text("import math\n\nLIMIT = math.floor(7.5)\n")
    (modules / "high.py").write_text("from drawn.low import LIMIT\n\ndef main(a=LIMIT):\n    return a\n")
    assert run(write_single_file("drawn.high", "")) == 7
