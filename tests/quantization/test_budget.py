import json
from collections.abc import Iterator

import pytest

from mirada.config import QuantizeConfig
from mirada.errors import MiradaError
from mirada.quantization.budget import Candidate, Ladder, Rung, Validation, climb, ladder_figures, write_ladder
from tests.singles import make_card, write_singles

DROPS = {"int8": 0.5, "mean": 0.02, "selective": 0.01, "qat": 0.0}


def measured(candidate: Candidate) -> Rung:
    drop, size = DROPS[candidate.rung], len(candidate.content)
    return Rung(
        candidate.rung, "calibration", "", 0.9 - drop, drop, 0.0, 1.0, size, 2.0, 0.5, 0.25, candidate.float_layers
    )


def test_the_climb_stops_at_the_first_rung_within_the_budget():
    made = []

    def candidates() -> Iterator[Candidate]:
        for name in DROPS:
            made.append(name)
            yield Candidate(name, "calibration", "", b"1234", ["conv"] if name == "selective" else [])

    ladder = Ladder("accuracy", 0.01, 10, 0.9)
    best = climb(ladder, candidates(), measured)
    assert made == ["int8", "mean", "selective"], "what comes after the first within the budget is never made"
    assert (best.rung, ladder.best, ladder.met) == ("selective", "selective", True)
    assert ladder.sentence() == (
        "selective keeps within 0.01: accuracy 0.890 on val against float32's 0.900, a drop of +0.010."
    )
    figures = ladder_figures(ladder)
    assert figures["ladder/met"] == 1 and figures["ladder/float32"] == 0.9
    assert figures["ladder/selective/float_layers"] == 1 and figures["ladder/int8/drop"] == 0.5
    assert figures["ladder/mean/size_bytes"] == 4 and figures["ladder/mean/minutes"] == pytest.approx(0.25, abs=0.01)


def test_without_a_rung_within_the_budget_the_smallest_drop_is_kept_of_equal_ones_the_first(tmp_path):
    names = ["int8", "mean", "again"]
    ladder = Ladder("map50", 0.01, 10, 0.9)
    rung = climb(ladder, (Candidate(name, "calibration", "", b"") for name in names), lambda c: measured(
        Candidate("mean" if c.rung == "again" else c.rung, "calibration", "", b"")
    ))  # fmt: skip
    assert (rung.rung, ladder.best, ladder.met) == ("mean", "mean", False)
    write_ladder(ladder, tmp_path / "ladder.json")
    content = json.loads((tmp_path / "ladder.json").read_text())
    assert content["sentence"].startswith("No rung keeps within 0.01; the best is mean: map50 0.880 on val")
    assert [entry["rung"] for entry in content["rungs"]] == ["int8", "mean", "mean"] and content["met"] is False


def test_a_budget_needs_val_images(tmp_path):
    dataset = write_singles(tmp_path, "classification")
    dataset.splits["val"]["images"] = 0
    with pytest.raises(MiradaError, match=r"max_drop is measured on val images, of which .* has none: preprocess with"):
        Validation(make_card(dataset), dataset, tmp_path, tmp_path / "float32.tflite", 0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"max_drop": 1.5}, "max_drop must be between 0.0 and 1.0, got 1.5."),
        ({"on_miss": "stop"}, "on_miss must be one of warn, fail, got 'stop'."),
        ({"ladder": ["int4"]}, "ladder must be one of calibration, selective, qat, qat_selective, got 'int4'."),
        ({"ladder": []}, "for none, set max_drop=null."),
        ({"float_layers": 0}, "float_layers must be at least 1, got 0"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(setting, message):
    with pytest.raises(MiradaError) as caught:
        QuantizeConfig(**setting)
    assert message in str(caught.value)
