"""Which variant is recommended for a device, from records and figures made by hand."""

from typing import Any

import pytest

from mirada.evaluation.wanted_device import advise
from mirada.inference.workload import Workload

WORK = {
    "float32": Workload(100, 0, {"float32": 100}),
    "float16": Workload(100, 0, {"float32": 100}),
    "dynamic": Workload(100, 0, {"float32": 7, "hybrid": 93}),
    "int8": Workload(100, 0, {"int8": 100}),
    "best": Workload(100, 0, {"int8": 80, "float32": 20}),
}
FIGURES = {
    "float32": {"map50": 0.600, "drop": 0.0, "size_bytes": 12e6, "latency_ms_p50": 10.0},
    "float16": {"map50": 0.600, "drop": 0.0, "size_bytes": 6e6, "latency_ms_p50": 10.0},
    "dynamic": {"map50": 0.601, "drop": -0.001, "size_bytes": 3.3e6, "latency_ms_p50": 25.0},
    "int8": {"map50": 0.550, "drop": 0.05, "size_bytes": 3.35e6, "latency_ms_p50": 4.0},
    "best": {"map50": 0.595, "drop": 0.005, "size_bytes": 3.4e6, "latency_ms_p50": 4.1},
}
UNKNOWN = {"milliseconds": "time it on the board"}


def board(answer: str = "fits", ms: float | None = None, over: float = 0, **about: Any) -> dict[str, Any]:
    limit = {"limit": "flash_bytes", "answer": answer, "over": over, "bound": 1000}
    told = {"title": "Board", "runtime": "litert", "arithmetic": {}, "time_known": "unknown"} | about
    record = {"answer": answer, "milliseconds": ms, "limits": [limit], "unknown": {} if ms else UNKNOWN}
    return told | record | {"sentence": f"it {answer}, {over:g} over."}


def told(budget: float = 0.01, found: dict[str, dict[str, Any]] | None = None, **about: Any) -> tuple[str, str]:
    advice = advise(FIGURES, "map50", budget, found or {name: board(**about) for name in FIGURES}, WORK)
    return advice.variant, advice.sentence


@pytest.mark.parametrize(
    ("int8", "start", "why"),
    [
        ("native", "For Board: best, likely the fastest within a drop of 0.01 (dynamic the", "multiplies as they are"),
        ("widened", "For Board: best within a drop of 0.01 (dynamic the smallest", "that they save time is not"),
        (None, "For Board: best within a drop of 0.01 (", "how it multiplies them is not known"),
    ],
)  # fmt: skip
def test_of_what_may_be_equally_fast_the_one_with_most_integers_is_taken(
    int8: str | None, start: str, why: str
) -> None:
    variant, sentence = told(arithmetic={"int8": int8, "float16": "native", "float32": "native"})
    assert variant == "best" and sentence.startswith(start)
    assert f"80% of its multiplications are of 8-bit integers, {'and ' if int8 is None else 'which it '}" in sentence
    assert why in sentence and "Its time there is not known (time it on the board)." in sentence


def test_where_floats_have_no_unit_integers_are_likely_the_fastest() -> None:
    variant, sentence = told(0.1, arithmetic={"int8": "widened", "float16": "software", "float32": "software"})
    assert (variant, "int8, likely the fastest within a drop of 0.1 " in sentence) == ("int8", True)
    assert "float16" not in sentence.replace("float16 the", "")


def test_an_estimate_of_time_decides_and_is_called_one() -> None:
    found = {"float32": board(), "int8": board(ms=30.0), "best": board(ms=40.0)}
    assert told(found=found)[0] == "best"  # int8 drops too far
    variant, sentence = told(0.1, found=found)
    assert variant == "int8" and "int8, the fastest by Vela’s estimate, the smallest within" in sentence
    assert "Its 30 ms are Vela’s estimate and no measurement." in sentence


def test_measured_times_count_where_the_device_is_the_machine() -> None:
    variant, sentence = told(time_known="measured")
    assert variant == "best" and "best, the fastest as measured here within a drop of 0.01" in sentence


def test_what_does_not_fit_is_left_out_and_named() -> None:
    found = {name: board() for name in FIGURES} | {"best": board("too_much", over=10)}
    variant, sentence = told(found=found)
    assert variant == "dynamic" and "Of those within the drop, best would not fit." in sentence


def test_where_none_fits_the_nearest_is_named_and_what_would_at_a_larger_drop() -> None:
    found = {"float32": board("too_much", over=900), "best": board("too_much", over=10), "int8": board()}
    assert told(found=found) == (
        "",
        "For Board: no variant within a drop of 0.01 fits. The nearest is best: it too_much, 10 over. At a larger drop "
        "int8 would.",
    )
    assert told(0.1, found=found)[0] == "int8"


def test_what_cannot_be_told_is_second_choice_and_float16_is_explained() -> None:
    found = {"float32": board("too_much"), "float16": board("cannot_tell", arithmetic={"float32": "native"})}
    assert told(found=found)[0] == "float16"
    about = {"arithmetic": {"int8": "widened", "float16": "widened", "float32": "native"}}
    assert "A float16 file saves half of float32’s size and no time" in told(**about)[1]
