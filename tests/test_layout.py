"""Files that are read in one go, folders that are overlooked at a glance, and each folder told what it is for."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "src" / "mirada"
FOLDERS = [folder for folder in (PACKAGE, *sorted(PACKAGE.rglob("*/"))) if folder.is_dir() and any(folder.glob("*.py"))]
LINES, FILES = 350, 15


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def test_no_file_is_longer_than_one_reads_in_one_go() -> None:
    files = [path for folder in ("src", "tests") for path in sorted((PROJECT / folder).rglob("*.py"))]
    assert len(files) > 200
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: count for name, count in lines.items() if count > LINES} == {}


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_holds_few_files_and_says_what_it_is_for(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) <= FILES
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
