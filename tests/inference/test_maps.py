from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirada.inference.card import Card
from mirada.inference.maps import Output, Quantized, at_cells, flatten, to_floats
from mirada.inference.prediction import Decoding, decode_detections
from tests.cards import CARD

LEVELS = st.tuples(st.floats(1e-3, 1.0), st.integers(-128, 127))


def draw_outputs(card: Card, levels: list[tuple[float, int]], seed: int) -> dict[str, Output]:
    """Maps of codes of chance; a part's channels by what it is."""
    random, channels = np.random.default_rng(seed), {"objectness": 1, "distances": 4, "classes": len(card.labels)}
    return {
        name: Quantized(
            random.integers(-128, 128, (1, 32 // stride, 32 // stride, channels[part])).astype(np.int8), *level
        )
        for part, names in card.outputs.items()
        for name, stride, level in zip(names, card.strides, levels, strict=True)
    }


def test_codes_mean_what_scale_and_zero_point_say() -> None:
    output = Quantized(np.array([[-128, 0, 127]], np.int8), 0.5, -2)
    assert to_floats(output).tolist() == [[-63.0, 1.0, 64.5]]
    assert to_floats(output).dtype == np.float32


def test_cells_count_through_the_levels_and_each_has_its_own_scale() -> None:
    outputs: dict[str, Output] = {
        "a": Quantized(np.arange(8, dtype=np.int8).reshape(1, 2, 2, 2), 1.0, 0),
        "b": Quantized(np.array([-128, 127], np.int8).reshape(1, 1, 1, 2), 2.0, 1),
    }
    found = at_cells(outputs, ["a", "b"], np.array([4, 1]), np.negative)
    assert found.tolist() == [[258.0, -252.0], [-2.0, -3.0]]
    floats: dict[str, Output] = {name: to_floats(output) for name, output in outputs.items()}
    assert at_cells(floats, ["a", "b"], np.array([4, 1]), np.negative).tolist() == found.tolist()
    # one level in floats, another in 16 bits: as their values
    mixed = {"a": floats["a"], "b": Quantized(np.array([-128, 127], np.int16).reshape(1, 1, 1, 2), 2.0, 1)}
    assert at_cells(mixed, ["a", "b"], np.array([4, 1]), np.negative).tolist() == found.tolist()
    assert flatten(mixed, ["a", "b"])[4].tolist() == [-258.0, 252.0]


@settings(deadline=None)
@given(
    st.lists(LEVELS, min_size=2, max_size=2),
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.001, 0.25, 0.9]),
    st.sampled_from([5, 1000]),
)
def test_codes_and_their_values_give_the_same_detections_to_the_last_digit(
    levels: list[tuple[float, int]], seed: int, classes: int, floor: float, candidates: int
) -> None:
    parts = ["objectness", "distances"] + (["classes"] if classes > 1 else [])
    card = replace(
        CARD, task="detection", labels=[f"label{k}" for k in range(classes)], input_size=32, strides=[8, 16],
        outputs={part: [f"{part}_8", f"{part}_16"] for part in parts},
    )  # fmt: skip
    outputs = draw_outputs(card, levels, seed)
    within = Decoding(score_floor=floor, candidates=candidates, zone=(0.0, 5.0, 30.0, 32.0))
    by_codes = decode_detections(outputs, card, within)
    by_values = decode_detections({name: to_floats(output) for name, output in outputs.items()}, card, within)
    np.testing.assert_array_equal(by_codes.boxes_xyxy, by_values.boxes_xyxy)
    np.testing.assert_array_equal(by_codes.scores, by_values.scores)
    assert by_codes.labels.tolist() == by_values.labels.tolist()


def test_scores_at_the_floor_stay() -> None:
    card = replace(
        CARD,
        task="detection",
        labels=["one"],
        input_size=32,
        strides=[8],
        outputs={"objectness": ["o"], "distances": ["d"]},
    )
    codes = np.full((1, 4, 4, 1), -128, np.int8)
    codes[0, 0, 0], codes[0, 3, 3] = 0, -1  # 0.5, and the next one below
    outputs: dict[str, Output] = {
        "o": Quantized(codes, 0.1, 0),
        "d": Quantized(np.zeros((1, 4, 4, 4), np.int8), 0.1, 0),
    }
    found = decode_detections(outputs, card, Decoding(score_floor=0.5))
    assert found.scores.tolist() == pytest.approx([0.5])
