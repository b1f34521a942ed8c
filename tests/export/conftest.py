"""A variant of drawn squares, and tables of networks that are not there."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def int8_file(squares_folder: Path) -> Path:
    """uint8 in, int8 out, int8 between."""
    return squares_folder / "model" / "int8.tflite"


@pytest.fixture(scope="session")
def float_file(squares_folder: Path) -> Path:
    """float32 from end to end."""
    return squares_folder / "model" / "float32.tflite"
