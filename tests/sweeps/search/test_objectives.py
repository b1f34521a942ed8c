"""What a search is after: which figures there are, which way they are better, and not on the test images."""

from types import SimpleNamespace

import pytest

from mirada.errors import MiradaError
from mirada.sweeps.search import objectives

VARIANTS = ("float32", "int8")


def stages(split: str = "val", **quantize: object) -> dict[str, SimpleNamespace]:
    settings = {"variants": list(VARIANTS), "max_drop": None} | quantize
    return {
        "preprocess": SimpleNamespace(data=SimpleNamespace(task="detection")),
        "quantize": SimpleNamespace(**settings),
        "evaluate": SimpleNamespace(split=split, judged=None),
    }


@pytest.mark.parametrize(
    ("objective", "direction"),
    [("int8/map50", "maximize"), ("int8/latency_ms_p95", "minimize"), ("best/drop", "minimize"), ("x/ece", "minimize")],
)
def test_an_objective_knows_its_direction(objective: str, direction: str) -> None:
    assert objectives.direction_of(objective) == direction
    assert objectives.check_directions(None, [objective]) == [direction]


@pytest.mark.parametrize(
    ("directions", "wanted", "sentence"),
    [
        (["maximize", "maximize"], ["int8/map50", "int8/load_ms"], "int8/load_ms is better when lower: minimize it"),
        (["minimize"], ["int8/map50"], "int8/map50 is better when higher: maximize it"),
        (["maximize"], ["int8/map50", "int8/load_ms"], "directions has 1 and objectives 2: give each objective one"),
        (["up"], [], "may hold maximize and minimize, got 'up'"),
        ([], [], "hydra.sweeper.directions is empty"),
    ],
)
def test_wrong_directions_are_refused(directions: list[str], wanted: list[str], sentence: str) -> None:
    with pytest.raises(MiradaError, match=sentence):
        objectives.check_directions(directions, wanted)


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        ("map50", "map50 names no variant: write <variant>/<figure>, as in int8/map50"),
        ("qat/map50", "the variant of qat/map50 is not among float32, int8"),
        ("best/map50", "the variant of best/map50 is not among float32, int8"),
        ("int8/map5", "int8/map5 names no figure of detection: did you mean int8/map50?"),
        ("int8/qqq", "int8/qqq names no figure of detection: choose one of map50, map50_95"),
    ],
)
def test_objectives_that_will_not_be_measured_are_refused(objective: str, sentence: str) -> None:
    with pytest.raises(MiradaError) as refused:
        objectives.check_experiment([objective], stages())
    assert sentence in str(refused.value)


def test_the_best_variant_is_there_with_a_budget() -> None:
    objectives.check_experiment(["best/map50", "best/drop"], stages(max_drop=0.01))


def test_one_objective_is_not_two() -> None:
    with pytest.raises(MiradaError, match="holds int8/map50 twice"):
        objectives.check_experiment(["int8/map50", "int8/map50"], stages())


def test_nobody_searches_by_the_test_images() -> None:
    with pytest.raises(MiradaError, match="add evaluate.split=val"):
        objectives.check_experiment(["int8/map50"], stages("test"))


def test_values_come_in_the_order_of_the_objectives() -> None:
    figures = {
        "float32": {"map50": 0.5, "size_bytes": 9},
        "int8": {"map50": 0.4, "latency_ms_p50": 2.5, "size_bytes": 3},
    }
    assert objectives.value_of(figures, ["int8/latency_ms_p50", "float32/map50"], stages()) == (2.5, 0.5)
    assert objectives.value_of(figures, ["float32/map50"], stages()) == 0.5
    assert objectives.value_of(figures, [], stages()) == 0.4  # of int8, the variant that is judged
    assert str(objectives.value_of(figures, ["int8/recall"], stages())) == "nan"


@pytest.mark.parametrize(
    ("measured", "value"),
    [({"map50": 0.5, "recall": 0.2}, 0.5), ({"accuracy": 0.9, "loc_accuracy": 0.8}, 0.8), ({"accuracy": 0.7}, 0.7)],
)
def test_where_the_data_tell_the_task_the_figures_tell_the_metric(measured: dict[str, float], value: float) -> None:
    found = stages()
    found["preprocess"].data.task = "auto"
    assert objectives.value_of({"float32": measured}, [], found) == value
    objectives.check_experiment(["int8/map50", "int8/accuracy"], found)
    with pytest.raises(MiradaError, match="names no figure of detection or localization or classification"):
        objectives.check_experiment(["int8/qqq"], found)
