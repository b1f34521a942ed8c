"""What tests of several folders share.

Beside this file lie, as modules: `squares.py` (a detector and its drawn data, weights set by hand), `singles.py` (the same
for localization and classification), `datasets.py` (how drawn examples become a processed data set), `cards.py` (cards
of models that are not there), `servers.py` (MLflow and PostgreSQL on free ports; `until`). What one folder shares is in
its own conftest: `learning/` (data and settings to train on), `service/` (the application, the service as a process),
`service/web/` (the browser; `screen.py` says what is looked at).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.squares import write_squares, write_variants


def pytest_configure(config: pytest.Config) -> None:
    """Tests run on the CPU, whatever there is: `-m gpu` asks for those that want the real thing."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that two processes end at nearly the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background: no child would hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def squares_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/` with drawn squares and `model/` with the variants that find them; to be read, not written."""
    folder = tmp_path_factory.mktemp("squares")
    write_variants(folder / "model", write_squares(folder / "data"))
    return folder
