import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada.config import QuantizeConfig
from mirada.data.images import decode
from mirada.errors import MiradaError
from mirada.inference.card import Card
from mirada.inference.engine import Answer
from mirada.inference.prediction import Classification, Detections
from mirada.quantization import budget
from mirada.quantization.budget import Candidate, Ladder, Rung, Validation, climb, ladder_figures, write_ladder
from mirada.quantization.verdict import answer_of, more_images
from tests.singles import make_card, write_singles
from tests.squares import make_card as squares_card
from tests.squares import write_squares

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
        "qat keeps within 0.01: accuracy 0.900 on val against float32's 0.900, a drop of 0.000 [−0.010, +0.010]."
    )


def test_what_is_there_already_is_measured_even_where_it_is_not_needed():
    ladder, made = climbed(["selective", "qat"], ["mean"])
    assert [rung.rung for rung in ladder.rungs] == ["selective", "qat"] and made == [] and ladder.best == "qat"


def test_where_nothing_is_proven_the_lowest_upper_end_is_best_and_named_so():
    ladder, _ = climbed(["int8", "mean"], [])
    assert ladder.best == "mean"
    assert ladder.sentence() == (
        "10 val images cannot tell whether 0.01 is kept, about 30 more would tell; best is mean, with the lowest upper end "
        "of the interval: accuracy 0.880 on val against float32's 0.900, a drop of +0.020 [0.000, +0.040]."
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
    with pytest.raises(MiradaError) as caught:
        Validation(make_card(dataset), dataset, tmp_path, tmp_path / "float32.tflite", 0, 0.01)
    assert str(caught.value) == (
        f"max_drop is measured on val images, of which {tmp_path} has none: preprocess with data.split.val above 0, or set "
        "max_drop=null."
    )


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


class Knowing:
    """Stands in for an engine: of the photographs that it is shown it gets as many wrong as its file says, then none."""

    def __init__(self, path: Path, card: Card) -> None:
        assert card.task == "classification"
        self.wrong, self.shown, self.path = int(path.read_bytes()), 0, path
        self.model = self  # and for its model
        self.asked: list[tuple[int, int]] = []

    def predict(self, image: bytes) -> Answer:
        self.shown += 1
        right = int(decode(image, 1).max() == 250)  # as the truth of `write_singles` has it
        said = right if self.shown > self.wrong else 1 - right
        return Answer(Classification(np.eye(2)[said], said), 64, 64, "whole", 1, 0, {})

    def set_image(self, image: np.ndarray) -> None:
        assert image.shape == (64, 64, 1)

    def time_inference(self, runs: int, warmup: int = 0) -> np.ndarray:
        self.asked.append((runs, warmup))
        return np.full(runs, 8.0 if self.wrong == 1 else 2.0)


@pytest.fixture
def validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Validation:
    """Eight photographs, of which float32 gets one wrong; the budget is one more, and a bit."""
    monkeypatch.setattr(budget, "Engine", Knowing)
    dataset = write_singles(tmp_path / "data", "classification")
    (tmp_path / "float32.tflite").write_bytes(b"1")
    return Validation(make_card(dataset), dataset, tmp_path, tmp_path / "float32.tflite", 3, 0.2)


def test_a_candidate_is_measured_against_float32_on_the_val_photographs(validation: Validation) -> None:
    assert validation.reference == 7 / 8
    assert (validation.drop(b"1"), validation.drop(b"0"), validation.drop(b"4")) == (0, -0.125, 0.375)
    waited = Candidate("mean", "calibration", "by the mean", b"04", ["conv"], seconds=120.0)
    rung = validation.measure(waited)
    assert (rung.rung, rung.kind, rung.what, rung.float_layers) == ("mean", "calibration", "by the mean", ["conv"])
    assert (rung.value, rung.drop, rung.size_bytes) == (0.5, 0.375, 2)
    # Three of eight photographs are lost: 0.0852 to 0.7551 (Clopper and Pearson), and up to 0.3694 may be gained.
    assert rung.drop_low == pytest.approx(0.375 - np.hypot(0.2898, 0.3694), abs=1e-4)
    assert rung.drop_high == pytest.approx(0.7551, abs=1e-4) and rung.answer == "cannot_tell"
    # 0.175 to the budget. Of 34, 0.1028 may be gained unseen and 0.2898 shrinks to 0.1406: 0.1741; of 33, 0.1776.
    assert rung.more_images == 26
    assert (rung.latency_ms_p50, rung.latency_ratio) == (2.0, 0.25)
    assert 2.0 < rung.minutes < 2.1
    same = validation.measure(Candidate("int8", "int8", "", b"1"))
    # None of eight is lost: 0.3694 may be. 17 of which none is show 0.2: 0.8 ** 17 is 0.0225, 0.8 ** 16 is 0.0281.
    assert (same.drop, same.drop_high, same.answer, same.more_images) == (0, -same.drop_low, "cannot_tell", 9)
    assert same.drop_high == pytest.approx(0.3694, abs=1e-4)
    assert not list(validation.folder.glob("*.part")), "what is measured leaves no file"


def test_detections_are_judged_all_of_them_and_few_photographs_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every object is found, but after a hundred detections of nothing a class: where only a hundred count, none is."""
    dataset = write_squares(tmp_path / "data")
    truths = {example.image: example for example in dataset.whole_photographs("val")}

    class Late:
        def __init__(self, path: Path, card: Card) -> None:
            assert card.task == "detection"

        def predict(self, image: bytes) -> Answer:
            truth, at = truths[image], np.arange(200)
            nothing = np.stack([at % 60, at // 60, at % 60 + 1, at // 60 + 1], axis=1)
            boxes = np.concatenate([nothing, truth.boxes_xyxy]).astype(np.float32)
            labels = np.concatenate([at % 2, truth.labels])
            scores = np.r_[np.full(200, 0.9), np.full(len(truth.labels), 0.5)].astype(np.float32)
            return Answer(Detections(boxes, scores, labels), 64, 64, "tiles", 4, 0, {})

    monkeypatch.setattr(budget, "Engine", Late)
    card = replace(squares_card(dataset), tile_size=32)
    late = Validation(card, dataset, tmp_path, tmp_path / "float32.tflite", 0, 0.01)
    assert 0 < late.reference < 0.1
    assert late.seen("").outcomes["float32"].units == 12 * 4, "64 pixels are two blocks of a tile across and down"


def test_latency_is_the_median_of_thirty_inferences_after_five(validation: Validation) -> None:
    validation.measure(Candidate("int8", "int8", "", b"0"))
    asked = validation._float32.asked  # type: ignore[attr-defined]
    assert asked[0] == (0, 5) and sum(runs for runs, _ in asked) == 30


def test_what_was_seen_is_kept_of_each_rung_photograph_by_photograph(validation: Validation) -> None:
    validation.measure(Candidate("mean", "calibration", "", b"2"))
    seen = validation.seen("mean")
    assert (seen.metric, seen.max_drop, seen.best, seen.labels) == ("accuracy", 0.2, "mean", ["dim", "bright"])
    assert seen.images == [f"classification {number}.png" for number in range(8, 16)]
    assert {name: outcomes.value for name, outcomes in seen.outcomes.items()} == {"float32": 7 / 8, "mean": 6 / 8}


def test_a_candidate_is_opened_for_inputs_and_its_file_is_gone(validation: Validation) -> None:
    model = validation.load(b"3")
    assert model.wrong == 3 and not model.path.exists()  # type: ignore[attr-defined]
    assert model.path.parent == validation.folder  # type: ignore[attr-defined]


def test_the_minutes_of_a_rung_count_what_it_took_to_make_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ladder = Ladder("accuracy", 0.01, 10, 0.9)
    told: list[str] = []
    clock = itertools.count(0, 90)  # at each look 90 seconds are over
    monkeypatch.setattr(budget.time, "perf_counter", lambda: next(clock))
    others = iter([candidate("mean"), candidate("selective")])
    climb(ladder, [candidate("int8")], others, measured, report=lambda rung: told.append(rung.rung))
    monkeypatch.undo()
    assert [rung.minutes for rung in ladder.rungs] == [0.25, 1.75, 1.75]
    assert told == ["int8", "mean", "selective"]


def test_the_sentence_of_a_drop_at_the_budget_itself_and_of_the_best_of_several_beyond_it() -> None:
    ladder, _ = climbed(["selective"], [])
    assert ladder.sentence() == (
        "10 val images cannot tell whether 0.01 is kept, it lies at the budget itself; selective: accuracy 0.890 on val "
        "against float32's 0.900, a drop of +0.010 [0.000, +0.030]."
    )
    beyond = Ladder("accuracy", 0.01, 10, 0.9, [measured(candidate("int8"))] * 2, best="int8")
    assert beyond.sentence() == (
        "No rung keeps within 0.01; best is int8, with the lowest upper end of the interval: accuracy 0.400 on val against "
        "float32's 0.900, a drop of +0.500 [+0.400, +0.600]."
    )


def test_the_ladder_is_written_whole(tmp_path: Path) -> None:
    ladder, _ = climbed(["qat"], [], prefer="speed")
    ladder.metric, ladder.skipped = "Güte", ["qat_selective: no time"]
    write_ladder(ladder, tmp_path / "ladder.json")
    text = (tmp_path / "ladder.json").read_text()
    assert text.startswith('{\n  "metric": "Güte",\n') and text.endswith("}\n")
    content = json.loads(text)
    assert content["answer"] == "within" and content["sentence"] == ladder.sentence()
    assert (content["best"], content["images"], content["reference"]) == ("qat", 10, 0.9)
    assert content["rungs"][0]["latency_ms_p50"] == 2.0 and content["skipped"] == ["qat_selective: no time"]


def test_the_figures_of_every_rung_are_tracked() -> None:
    ladder, _ = climbed(["qat"], [])
    figures = ladder_figures(ladder)
    assert figures == {
        "ladder/within": 1.0,
        "ladder/float32": 0.9,
        "ladder/qat/value": 0.9,
        "ladder/qat/drop": 0.0,
        "ladder/qat/drop_high": 0.01,
        "ladder/qat/size_bytes": 4.0,
        "ladder/qat/latency_ms_p50": 2.0,
        "ladder/qat/minutes": 0.25,
        "ladder/qat/float_layers": 0.0,
    }
    assert all(type(value) is float for value in figures.values())


def test_of_several_within_the_smaller_or_the_faster_is_taken() -> None:
    def measure(candidate: Candidate) -> Rung:
        rung = measured(Candidate("qat", "qat", "", candidate.content))
        rung.rung, rung.latency_ratio = candidate.rung, 0.9 if candidate.rung == "small" else 0.3
        return rung

    for how, best in (({}, "small"), ({"prefer": "size"}, "small"), ({"prefer": "speed"}, "fast")):
        ready = [Candidate("fast", "qat", "", b"12345678"), Candidate("small", "qat", "", b"1234")]
        assert climb(Ladder("accuracy", 0.01, 10, 0.9), ready, iter([]), measure, **how) is ready[best == "small"]
