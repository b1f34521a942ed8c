"""What tests of several stages share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.squares import write_squares, write_variants

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background: no child would hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def squares_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/` with drawn squares and `model/` with the variants that find them; to be read, not written."""
    folder = tmp_path_factory.mktemp("squares")
    write_variants(folder / "model", write_squares(folder / "data"))
    return folder
