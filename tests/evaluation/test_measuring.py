import shutil

import pytest
from rich.progress import Progress

from mirada.config import EvaluateConfig
from mirada.data.records import load_dataset
from mirada.evaluation.measuring import measure_accuracy, measure_cost
from mirada.inference.card import load_card
from mirada.inference.variants import load_variants, same_files


@pytest.fixture(scope="module")
def variants(squares_folder, tmp_path_factory):
    """float32, int8 and `best`, a copy of int8."""
    found = load_variants(squares_folder / "model")
    best = tmp_path_factory.mktemp("measuring") / "best.tflite"
    shutil.copy(found["int8"], best)
    return {"float32": found["float32"], "int8": found["int8"], "best": best}


def test_what_is_the_same_file_is_measured_once(squares_folder, variants):
    """Two measurements of one file would differ, as each time does."""
    assert same_files(variants) == {"float32": "float32", "int8": "int8", "best": "int8"}
    dataset, card = load_dataset(squares_folder / "data"), load_card(squares_folder / "model")
    config = EvaluateConfig(model_dir="", variants_dir="", data_dir="", output_dir="", latency_runs=1, latency_warmup=0)
    with Progress(disable=True) as progress:
        costs = measure_cost(config, card, dataset, variants, progress)
        measured = measure_accuracy(config, card, dataset, variants, progress)
    assert list(costs) == list(variants)
    assert costs["best"] == costs["int8"] != costs["float32"]
    for known in (measured.predictions, measured.answers, measured.results):
        assert list(known) == list(variants)
        assert known["best"] is known["int8"] is not known["float32"]
