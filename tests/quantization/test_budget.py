import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from mirada.config import QuantizeConfig
from mirada.errors import MiradaError
from mirada.quantization.budget import Candidate, Ladder, Rung, Validation, climb, ladder_figures, write_ladder
from mirada.quantization.verdict import answer_of, more_images
from tests.singles import make_card, write_singles

# rung -> drop, ends of its interval
DROPS = {
    "int8": (0.5, 0.4, 0.6),
    "mean": (0.02, 0.0, 0.04),
    "selective": (0.01, 0.0, 0.03),
    "qat": (0.0, -0.01, 0.01),
}


def measured(candidate: Candidate) -> Rung:
    drop, low, high = DROPS[candidate.rung]
    answer = answer_of(low, high, 0.01)
    told = answer != "cannot_tell"
    return Rung(
        rung=candidate.rung,
        kind="calibration",
        what="",
        value=0.9 - drop,
        drop=drop,
        drop_low=low,
        drop_high=high,
        size_bytes=len(candidate.content),
        latency_ms_p50=2.0,
        latency_ratio=0.5,
        minutes=0.25,
        float_layers=candidate.float_layers,
        answer=answer,
        more_images=None if told else more_images(drop, low, high, 0.01, 10),
    )


def on_board(*too_large: str) -> Callable[[Candidate], Rung]:
    """As `measured`, with a device that some rungs are too large for."""

    def measure(candidate: Candidate) -> Rung:
        answer = "too_much" if candidate.rung in too_large else "fits"
        figures = {"arena_bytes": 1000, "flash_bytes": 4, "milliseconds": None}
        return replace(measured(candidate), board={"answer": answer, "sentence": "s.", "limits": [], **figures})

    return measure


def climbed(
    ready: list[str], others: list[str], measure: Callable[[Candidate], Rung] = measured, **how: str
) -> tuple[Ladder, list[str]]:
    """The ladder after a climb over rungs of DROPS, and which of the others were made."""
    made = []

    def candidates() -> Iterator[Candidate]:
        for name in others:
            made.append(name)
            yield candidate(name)

    ladder = Ladder("accuracy", 0.01, 10, 0.9)
    best = climb(ladder, [candidate(name) for name in ready], candidates(), measure, **how)
    assert best.rung == ladder.best
    return ladder, made


def candidate(name: str) -> Candidate:
    return Candidate(name, "calibration", "", b"1234", ["conv"] if name == "selective" else [])


def test_the_climb_stops_at_the_first_rung_whose_drop_is_within_the_budget():
    ladder, made = climbed(["int8"], ["mean", "selective", "qat"])
    assert made == ["mean", "selective"], "what comes after is never made"
    assert (ladder.best, ladder.answer) == ("selective", "cannot_tell")
    figures = ladder_figures(ladder)
    assert figures["ladder/within"] == 0 and figures["ladder/float32"] == 0.9
    assert figures["ladder/selective/float_layers"] == 1 and figures["ladder/int8/drop"] == 0.5
    assert figures["ladder/mean/size_bytes"] == 4 and figures["ladder/mean/minutes"] == pytest.approx(0.25, abs=0.01)
    assert figures["ladder/mean/drop_high"] == 0.04


def test_with_proof_the_climb_goes_on_until_the_whole_interval_is_within_the_budget():
    ladder, made = climbed(["int8"], ["mean", "selective", "qat"], until="proof")
    assert made == ["mean", "selective", "qat"] and (ladder.best, ladder.answer) == ("qat", "within")
    assert ladder_figures(ladder)["ladder/within"] == 1
    assert ladder.sentence() == (
        "qat keeps within 0.01: accuracy 0.900 on val against float32's 0.900, a drop of +0.000 [-0.010, +0.010]."
    )


def test_what_is_there_already_is_measured_even_where_it_is_not_needed():
    ladder, made = climbed(["selective", "qat"], ["mean"])
    assert [rung.rung for rung in ladder.rungs] == ["selective", "qat"] and made == [] and ladder.best == "qat"


def test_where_nothing_is_proven_the_lowest_upper_end_is_best_and_named_so():
    ladder, _ = climbed(["int8", "mean"], [])
    assert ladder.best == "mean"
    assert ladder.sentence() == (
        "10 val images cannot tell whether 0.01 is kept, some 30 more would tell; best is mean, with the lowest upper end "
        "of the interval: accuracy 0.880 on val against float32's 0.900, a drop of +0.020 [+0.000, +0.040]."
    )


def test_beyond_is_told_apart_from_cannot_tell(tmp_path):
    ladder, _ = climbed(["int8"], [])
    write_ladder(ladder, tmp_path / "ladder.json")
    content = json.loads((tmp_path / "ladder.json").read_text())
    assert content["sentence"].startswith("No rung keeps within 0.01; int8: accuracy 0.400 on val")
    assert content["answer"] == content["rungs"][0]["answer"] == "beyond" and content["rungs"][0]["more_images"] is None


def test_best_keeps_the_device_too_and_the_climb_goes_on_for_it(tmp_path):
    ladder, made = climbed(["int8"], ["mean", "selective", "qat"], on_board("selective"))
    assert made == ["mean", "selective", "qat"] and ladder.best == "qat"
    assert ladder.sentence().startswith("qat keeps within 0.01: ") and ladder.sentence().endswith("It fits the device.")
    figures = ladder_figures(ladder)
    assert (figures["ladder/selective/fits_device"], figures["ladder/qat/fits_device"]) == (0, 1)
    assert figures["ladder/qat/arena_bytes"] == 1000 and "ladder/qat/milliseconds" not in figures
    missed, _ = climbed(["int8", "qat"], [], on_board("qat"))
    assert missed.best == "int8" and missed.sentence().startswith(
        "No rung that may fit the device keeps within 0.01; best"
    )
    write_ladder(missed, tmp_path / "ladder.json")
    assert json.loads((tmp_path / "ladder.json").read_text())["rungs"][1]["board"]["answer"] == "too_much"


def test_where_no_rung_fits_the_device_accuracy_alone_chooses():
    ladder, made = climbed(["int8"], ["selective", "qat"], on_board("int8", "selective", "qat"))
    assert made == ["selective"] and ladder.best == "selective", "other rungs would not be smaller"
    assert ladder.sentence().endswith("It does not fit the device.")


def test_without_a_device_the_ladder_tells_of_none(tmp_path):
    write_ladder(climbed(["qat"], [])[0], tmp_path / "ladder.json")
    assert "board" not in (tmp_path / "ladder.json").read_text()


def test_a_budget_needs_val_images(tmp_path):
    dataset = write_singles(tmp_path, "classification")
    dataset.splits["val"]["images"] = 0
    with pytest.raises(MiradaError, match=r"max_drop is measured on val images, of which .* has none: preprocess with"):
        Validation(make_card(dataset), dataset, tmp_path, tmp_path / "float32.tflite", 0, 0.01)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"max_drop": 1.5}, "max_drop must be between 0.0 and 1.0, got 1.5."),
        ({"on_miss": "stop"}, "on_miss must be one of warn, fail, strict, got 'stop'."),
        ({"climb_until": "sure"}, "climb_until must be one of estimate, proof, got 'sure'."),
        ({"prefer": "small"}, "prefer must be one of size, speed, got 'small'."),
        ({"ladder": ["int4"]}, "ladder must be one of calibration, selective, qat, qat_selective, got 'int4'."),
        ({"ladder": []}, "for none, set max_drop=null."),
        ({"float_layers": 0}, "float_layers must be at least 1, got 0"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(setting, message):
    with pytest.raises(MiradaError) as caught:
        QuantizeConfig(**setting)
    assert message in str(caught.value)
