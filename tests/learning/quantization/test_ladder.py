"""A network that plain int8 breaks, repaired by the ladder; and the same bytes twice."""

import csv
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from mirada.config import BoardLimitsConfig, DeviceConfig, QuantizeConfig, TrackingConfig
from mirada.data.images import decode
from mirada.data.records import load_dataset
from mirada.errors import MiradaError
from mirada.inference.card import load_card, save_card
from mirada.inference.litert import Model
from mirada.quantization.budget import Ladder
from mirada.stages import quantize
from tests.datasets import SIDE
from tests.singles import make_card, write_singles
from tests.squares import SQUARE

ARENA = 12_000  # bytes, between int8 and its float operators
pytestmark = pytest.mark.slow


def fragile() -> keras.Model:
    """Tells bright squares by 20 * (brightness - 0.84), half of it by way of a channel that is a thousand times as large.

    In int8 that channel's range leaves the other one no level but 0, and its weight of 0.01 is 0 beside the other one of 10.
    """
    image = keras.Input((SIDE, SIDE, 1), name="image")
    kernel = np.full((SQUARE, SQUARE, 1, 2), 0.5 / SQUARE**2, np.float32) * np.array([1, 1000], np.float32)
    window = keras.layers.ZeroPadding2D(4)(image)
    weights = [kernel, np.array([0.5, 500], np.float32)]
    response = keras.layers.Conv2D(2, SQUARE, 16, weights=weights, name="shine")(window)
    strongest = keras.layers.GlobalMaxPooling2D(name="strongest")(response)
    dense = [np.array([[0, 10], [0, 0.01]], np.float32), np.array([0, -16.8], np.float32)]
    return keras.Model(image, {"classes": keras.layers.Dense(2, weights=dense, name="classes")(strongest)})


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> QuantizeConfig:
    """The fragile network, its data and the settings to quantize it."""
    folder = tmp_path_factory.mktemp("broken")
    dataset = write_singles(folder / "processed", "classification", images=64)
    fragile().save(folder / "model.keras")
    save_card(make_card(dataset), folder / "model.json")
    return QuantizeConfig(
        tracking=TrackingConfig(enabled=False),
        model_dir=str(folder),
        data_dir=str(folder / "processed"),
        output_dir=str(folder / "quantize"),
        variants=["float32", "int8"],
        calibration_images=8,
        max_drop=0.1,
        ladder=["calibration", "selective"],
    )


def test_the_ladder_repairs_what_plain_int8_breaks_and_blames_the_layer(broken, capsys):
    quantize.run(broken)
    folder = Path(broken.output_dir)
    ladder = json.loads((folder / "ladder.json").read_text())
    rungs = {rung["rung"]: rung for rung in ladder["rungs"]}
    assert ladder["reference"] == 1.0 and ladder["images"] == 64 and ladder["metric"] == "accuracy"
    assert rungs["int8"]["value"] == 0.75, "none of the bright quarter is found"
    assert ladder["best"] == "selective" and ladder["answer"] == "within" and rungs["selective"]["value"] == 1.0
    assert set(rungs["selective"]["float_layers"]) == {
        "shine CONV_2D", "strongest REDUCE_MAX", "classes FULLY_CONNECTED"
    }  # fmt: skip
    best = json.loads((folder / "variants.json").read_text())["variants"][-1]
    assert (best["name"], best["rung"], best["of"], best["answer"]) == ("best", "selective", None, "within")
    told = json.loads((folder / "layers.json").read_text())
    assert told["int8"][0].startswith("shine (CONV_2D) adds") and "too wide" in told["int8"][0]
    assert any("operators stay float" in sentence for sentence in told["best"])
    assert told["best"][-1].startswith("Its operators, each alone, take ") and (folder / "layers.png").is_file()
    assert "selective keeps within 0.1: accuracy 1.000 on val" in capsys.readouterr().out
    assert not list(folder.glob("*part*"))
    card, image = load_card(broken.model_dir), np.zeros((SIDE, SIDE, 1), np.uint8)
    said, truth = (Model(folder / f"{name}.tflite", card).predict(image)["classes"][0] for name in ("best", "float32"))
    assert said == pytest.approx(truth, abs=0.1) and truth[1] < -10


def test_the_same_seed_gives_the_same_bytes(broken, tmp_path):
    for name in ("a", "b"):
        quantize.run(replace(broken, output_dir=str(tmp_path / name), evidence_images=2))
    for file in ("int8.tflite", "best.tflite"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    first, second = (evidence_of(tmp_path / name) for name in ("a", "b"))
    assert first == second and all("hurt" in row for row in first)


def evidence_of(folder: Path) -> list[dict[str, str]]:
    """`layers.csv` without the times."""
    with (folder / "layers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row.pop("time_ms")) > 0 for row in rows)
    return rows


def test_no_rung_within_the_budget_ends_as_the_settings_ask_after_all_is_written(broken, tmp_path, capsys):
    config = replace(broken, output_dir=str(tmp_path), ladder=["calibration"])
    quantize.run(config)
    assert (
        "No rung keeps within 0.1; best is int8, with the lowest upper end of the interval: accuracy 0.750 on val"
        in capsys.readouterr().out
    )
    (tmp_path / "variants.json").unlink()
    with pytest.raises(
        MiradaError, match=r"No rung keeps within 0.1.* Raise max_drop or qat.epochs, or change the layers"
    ):
        quantize.run(replace(config, on_miss="fail"))
    variants = json.loads((tmp_path / "variants.json").read_text())["variants"]
    assert [variant["name"] for variant in variants] == ["float32", "int8", "best"]
    assert variants[-1]["of"] == "int8" and variants[-1]["sha256"] == variants[1]["sha256"]


@pytest.mark.skipif(find_spec("tflite_micro") is None, reason="tflite-micro is not installed")
def test_best_has_to_fit_the_device_and_a_miss_names_the_limit(broken, tmp_path, capsys):
    chip = DeviceConfig("chip", "Chip", "tflm", "tflm", limits=BoardLimitsConfig(arena_bytes=ARENA))
    config = replace(broken, output_dir=str(tmp_path), device=chip, evidence_images=0)
    quantize.run(config)
    variants = {entry["name"]: entry for entry in json.loads((tmp_path / "variants.json").read_text())["variants"]}
    assert [variants[name]["board"]["answer"] for name in ("float32", "int8", "best")] == ["too_much", "fits", "fits"]
    rungs = {rung["rung"]: rung["board"] for rung in json.loads((tmp_path / "ladder.json").read_text())["rungs"]}
    assert rungs["selective"]["answer"] == "too_much", "its operators in float take four times the memory"
    assert variants["best"]["of"] == "int8"
    said = " ".join(capsys.readouterr().out.split())
    assert "No rung that may fit the device keeps within 0.1" in said and "device: best: it fits Chip:" in said
    chip.limits.arena_bytes = 1000
    with pytest.raises(MiradaError, match=r"best: it does not fit Chip: [\d,]+ of 1,000 bytes of arena, .* too many"):
        quantize.run(replace(config, max_drop=0.9, on_miss="fail"))


def test_a_rung_that_this_model_can_not_climb_is_left_out_with_its_reason(broken, tmp_path):
    quantize.run(replace(broken, output_dir=str(tmp_path), ladder=["qat"], evidence_images=0))
    skipped = json.loads((tmp_path / "ladder.json").read_text())["skipped"]
    assert len(skipped) == 1 and "does not say how it was trained" in skipped[0]
    assert not (tmp_path / "layers.csv").exists()


def test_every_rung_can_be_climbed(to_quantize, tmp_path, monkeypatch):
    monkeypatch.setattr(Ladder, "fits", lambda self, drop: False)
    config = replace(to_quantize, output_dir=str(tmp_path), variants=["float32"], max_drop=0.0, float_layers=2)
    quantize.run(replace(config, calibration_images=2, evidence_images=2))
    content = json.loads((tmp_path / "ladder.json").read_text())
    rungs = [rung["rung"] for rung in content["rungs"]]
    assert rungs[:6] == ["int8", "extremes", "mean", "percentile", "hardest", "more_images"]
    assert [rung for rung in rungs[6:] if "_" not in rung or rung == "qat_selective"] == [
        "selective",
        "qat",
        "qat_selective",
    ]
    assert content["skipped"] == [] and all(len(rung["float_layers"]) <= 2 for rung in content["rungs"])
    assert load_dataset(config.data_dir).splits["val"]["images"] == content["images"]


def test_int16_activations_keep_what_int8_loses(broken, tmp_path):
    quantize.run(replace(broken, output_dir=str(tmp_path), variants=["float32", "int8", "int16x8"], max_drop=None))
    card, dataset = load_card(broken.model_dir), load_dataset(broken.data_dir)
    bright = next(example for example in dataset.examples("val") if example.labels[0] == 1)
    image = decode(bright.image, 1)
    said = {}
    for name in ("float32", "int8", "int16x8"):
        said[name] = Model(tmp_path / f"{name}.tflite", card).predict(image)["classes"][0][1]
    brightness = 250 / 255
    assert said["float32"] == pytest.approx(20 * brightness - 16.8, abs=0.01)
    assert said["int8"] < -13, "a step of 3.9 leaves nothing of the brightness; the darkest image has -13.7"
    assert said["int16x8"] == pytest.approx(10 * brightness - 16.8, abs=0.2), "only the weight of 0.01 is lost"
