import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada.config import InputConfig
from mirada.errors import MiradaError
from mirada.stages import train


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_naive_epochs_are_timed_first_and_leave_the_training_as_it_is(train_config, tmp_path):
    compared = replace(train_config, compare_epochs=1, input=InputConfig(name="pipelined"))
    plain = replace(train_config, output_dir=str(tmp_path / "plain"))
    train.run(compared)
    train.run(plain)
    here, there = Path(compared.output_dir), Path(plain.output_dir)
    table = rows(here / "input_timing.csv")
    assert [(row["input"], row["epoch"]) for row in table] == [("naive", "1"), ("pipelined", "1")]
    for row in table:
        assert float(row["seconds"]) == pytest.approx(12 / float(row["images_per_s"]), rel=1e-6)
        assert 0 < float(row["wait_share"]) < 1 and float(row["cpu_percent"]) > 0
        assert float(row["peak_memory_mb"]) > 100 and row["gpu_percent"] == ""
    assert (here / "input_timeline.png").read_bytes().startswith(b"\x89PNG")
    assert not (there / "input_timing.csv").exists()
    losses = [[row["loss"] for row in rows(folder / "history.csv")] for folder in (here, there)]
    np.testing.assert_array_equal(*losses)


def test_an_input_is_not_compared_with_itself(train_config):
    with pytest.raises(MiradaError, match="compare_epochs compares with input=naive: use another input"):
        replace(train_config, compare_epochs=1, input=InputConfig(name="naive"))
