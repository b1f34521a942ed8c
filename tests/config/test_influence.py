"""Which settings shape a result."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mirada.config import EvaluateConfig, QatConfig, QuantizeConfig, TrackingConfig, TrainConfig
from mirada.config.influence import NOT_IN_WEIGHTS, changed_settings, shapes_result, shaping_settings
from mirada.errors import MiradaError

TRAIN = TrainConfig(data_dir="data", output_dir="out")


def test_where_and_how_a_training_runs_is_left_out_and_nothing_else() -> None:
    left_out = asdict(TRAIN).keys() - shaping_settings(TRAIN).keys()
    assert left_out == {"tracking", "data_dir", "output_dir", "resume", "force", "peer_wait_s"}
    weights = shaping_settings(TRAIN, NOT_IN_WEIGHTS)
    assert shaping_settings(TRAIN).keys() - weights.keys() == {"workers", "input", "compare_epochs"}


@pytest.mark.parametrize("change", [{"epochs": 21}, {"seed": 1}, {"model": replace(TRAIN.model, width=8)}])
def test_what_shapes_the_weights_tells(change: dict[str, object]) -> None:
    assert shaping_settings(replace(TRAIN, **change)) != shaping_settings(TRAIN)


def test_another_place_is_the_same_result() -> None:
    moved = replace(TRAIN, output_dir="elsewhere", resume=True, tracking=TrackingConfig(experiment="other"))
    assert shaping_settings(moved) == shaping_settings(TRAIN)


def test_a_recorded_key_is_known_by_its_first_word() -> None:
    assert shapes_result("model.width") and shapes_result("epochs")
    assert not shapes_result("tracking.uri") and not shapes_result("data_dir") and not shapes_result("peer_wait_s")


def test_all_that_evaluate_has_besides_folders_and_the_record_counts() -> None:
    config = EvaluateConfig(model_dir="a", variants_dir="b", data_dir="c", output_dir="d")
    folders = {"model_dir", "variants_dir", "data_dir", "output_dir"}
    assert asdict(config).keys() - shaping_settings(config).keys() == folders | {"tracking"}


def test_what_changed_is_told_key_by_key() -> None:
    begun = json.loads(json.dumps(shaping_settings(TRAIN)))
    assert changed_settings(begun, shaping_settings(TRAIN)) == {}
    other = replace(TRAIN, epochs=30, model=replace(TRAIN.model, width=8))
    assert changed_settings(begun, shaping_settings(other)) == {
        "model.width": "model.width=64 then, model.width=8 now",
        "epochs": "epochs=20 then, epochs=30 now",
    }
    del begun["seed"]  # as a training of before that key wrote it
    assert changed_settings(begun, shaping_settings(TRAIN)) == {"seed": "seed=unknown then, seed=0 now"}


def test_of_a_teacher_its_network_counts_and_not_its_place(tmp_path: Path) -> None:
    for name, content in (("a", b"one"), ("moved", b"one"), ("b", b"two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").write_bytes(content)

    def told(name: str) -> object:
        tuning = QuantizeConfig(
            model_dir="m", data_dir="d", output_dir="o", qat=QatConfig(teacher=str(tmp_path / name))
        )
        training = replace(TRAIN, teacher=str(tmp_path / name))
        return shaping_settings(training)["teacher"], shaping_settings(tuning)["qat"]["teacher"]

    assert told("a") == told("moved") != told("b")
    assert shaping_settings(replace(TRAIN, teacher=""))["teacher"] is None
    tuning = QuantizeConfig(model_dir="m", data_dir="d", output_dir="o", qat=QatConfig(teacher="float"))
    assert shaping_settings(tuning)["qat"]["teacher"] == "float"
    with pytest.raises(MiradaError, match="teacher=.*nowhere: there is no .*model.keras: name the folder"):
        told("nowhere")
