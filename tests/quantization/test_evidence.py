import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from mirada.inference.card import Card
from mirada.learning.quantization.ranges import Observed
from mirada.quantization.evidence import (
    LEVELS,
    SATURATED,
    WIDE,
    layer_evidence,
    sentences,
    worst_layers,
    write_evidence,
)
from mirada.quantization.layer_plot import plot_layers

WHITE = np.full((32, 32, 1), 255, np.uint8)


def make_card() -> Card:
    outputs = {"classes": ["classes"]}
    return Card("classification", ["a", "b"], 32, 1, "stretch", [], outputs, "d", "x", {}, 1 / 255, 0.0)


def observe(weights: list[float]) -> tuple[Observed, str]:
    """A convolution that multiplies brightness (0..1) by the weights, and the name of its output."""
    image = keras.Input((32, 32, 1), name="image")
    kernel = np.array(weights, np.float32).reshape(1, 1, 1, -1)
    conv = keras.layers.Conv2D(len(weights), 1, use_bias=False, weights=[kernel], name="shine")(image)
    logits = keras.layers.Dense(2, name="classes")(keras.layers.GlobalMaxPooling2D()(conv))
    observed = Observed(keras.Model(image, {"classes": logits}), make_card(), WHITE)
    return observed, next(op.name for op in observed.opened.operators if op.layer == "shine")


def judge(observed: Observed, tensor: str, ends: tuple[float, float], image: np.ndarray = WHITE):
    content = observed.quantize(observed.ranges(observed.observe([image]), "extremes") | {tensor: ends})
    return layer_evidence("int8", content, observed.opened, [image], make_card())


def test_a_range_that_suits_one_channel_is_too_wide_for_another():
    observed, tensor = observe([1.0, 0.001])
    row = next(row for row in judge(observed, tensor, (0.0, 1.0)) if row.layer == "shine")
    # 1.0 is the range's end; 0.001 is nearest to 0, as a step is 1/255: half of the channels are all wrong
    assert (row.op, row.why, row.weights) == ("CONV_2D", WIDE, "per channel")
    assert row.hurt == pytest.approx(np.sqrt(0.5), abs=0.005)
    assert (row.scale, row.zero_point) == (pytest.approx(1 / 255), -128) and row.saturation == 0
    assert (row.low, row.high) == (0, pytest.approx(1.0)) and row.output_bytes == 32 * 32 * 2
    assert row.own_sqnr_db == pytest.approx(60, abs=0.1), "as one tensor all looks well: 20 log10(1 / 0.001)"


def test_values_outside_the_range_are_told():
    observed, tensor = observe([1.0])
    image = WHITE.copy()
    image[:8] = 51  # a quarter of the image at 0.2
    row = next(row for row in judge(observed, tensor, (0.0, 0.5), image) if row.layer == "shine")
    # three quarters lose 0.5 of 1.0; the rest, 0.2, is a step of the grid
    assert row.why == SATURATED and row.saturation == pytest.approx(0.75)
    assert row.hurt == pytest.approx(np.sqrt(0.75 * 0.25 / (0.75 + 0.25 * 0.04)), abs=0.005)
    assert (
        sentences([row])[0] == "shine (CONV_2D) adds 49.7% error: 75.00% of its values lie outside its range 0 to 0.5."
    )


def test_a_weight_that_is_lost_beside_a_larger_one_of_its_channel_counts_for_what_it_is():
    image = keras.Input((32, 32, 2), name="image")
    kernel = np.array([100.0, 0.3], np.float32).reshape(1, 1, 2, 1)  # a step is 100/127, so the second becomes 0
    conv = keras.layers.Conv2D(1, 1, use_bias=False, weights=[kernel], name="shine")(image)
    logits = keras.layers.Dense(2, name="classes")(keras.layers.GlobalMaxPooling2D()(conv))
    card = make_card()
    card.channels = 2
    picture = np.full((32, 32, 2), 255, np.uint8)
    observed = Observed(keras.Model(image, {"classes": logits}), card, picture)
    content = observed.quantize(observed.ranges(observed.observe([picture]), "extremes"))
    row = next(row for row in layer_evidence("int8", content, observed.opened, [picture], card) if row.layer == "shine")
    assert row.weight_sqnr_db == pytest.approx(20 * np.log10(np.hypot(100, 0.3) / 0.3), abs=0.1)
    assert row.hurt < 0.02 and row.why == "harmless", "0.3 of 100 is no loss"


def test_a_factor_of_all_values_loses_nothing():
    image = keras.Input((32, 32, 1), name="image")
    most = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(2, 1, name="shine")(image))
    bright = keras.layers.Rescaling(64.0, name="bright")(most)  # a constant without an axis
    observed = Observed(keras.Model(image, {"classes": bright}), make_card(), WHITE)
    row = next(row for row in judge(observed, "", (0.0, 1.0)) if row.op == "MUL")
    assert row.weights == "per tensor" and row.weight_scale_max == pytest.approx(64 / 255, rel=0.01)
    assert row.weight_sqnr_db is None or row.weight_sqnr_db > 60


def test_table_sentences_and_plot_are_written_worst_first(tmp_path: Path):
    observed, tensor = observe([1.0, 0.001])
    rows = judge(observed, tensor, (0.0, 1.0))
    assert worst_layers(rows, 1)[0].layer == "shine"
    write_evidence(rows, tmp_path)
    with (tmp_path / "layers.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [row["op"] for row in written] == ["CONV_2D", "REDUCE_MAX", "FULLY_CONNECTED"]
    assert {row["variant"] for row in written} == {"int8"} and LEVELS not in {row["why"] for row in written}
    told = json.loads((tmp_path / "layers.json").read_text())["int8"]
    assert told[0].startswith("shine (CONV_2D) adds 70.7% error: its range 0 to 1 is too wide, so that most channels")
    assert plot_layers(rows).startswith(b"\x89PNG") and plot_layers(rows) != plot_layers(rows[:1])
