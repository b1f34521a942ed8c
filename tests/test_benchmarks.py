"""The benchmarks run, and say what they found in the form that others read."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import gpu  # noqa: E402
from figures import Figure, Panel, ratio, report, show, take_turns  # noqa: E402

from mirada.errors import MiradaError  # noqa: E402

PROJECT = Path(__file__).resolve().parents[1]


def run(script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "benchmarks" / script), *words]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)


def test_ways_take_turns_and_each_round_turns_the_order() -> None:
    seen: list[tuple[str, int]] = []
    ways = {name: lambda number, name=name: seen.append((name, number)) or number for name in "ab"}
    assert take_turns(ways, rounds=2, warmup=1) == {"a": [1, 2], "b": [1, 2]}  # type: ignore[arg-type]
    assert seen == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]


def test_a_ratio_is_taken_round_by_round() -> None:
    found = ratio([10.0, 30.0, 8.0], [5.0, 10.0, 2.0])
    assert (found.median, found.low, found.high) == (3.0, 2.0, 4.0)


@pytest.mark.parametrize(
    ("figure", "holds", "distance", "near"),
    [
        (Figure("speed", 1.8, "x", goal=2.0, limit=2.0), False, 0.9, 0.9),
        (Figure("speed", 2.0, "x", goal=2.0), True, 1.0, None),
        (Figure("lost", 2.0, "%", goal=3.0, lower=True, limit=0.0), True, 1.5, None),
        (Figure("wait", 4.0, "s", goal=2.0, limit=1.0, lower=True), False, 0.5, 0.25),
        (Figure("lost", -1.0, "%", goal=3.0, lower=True), True, float("inf"), None),
        (Figure("told", 7.0, "x"), None, float("inf"), None),
    ],
)
def test_a_figure_knows_its_goal_and_its_limit(
    figure: Figure, holds: bool | None, distance: float, near: float | None
) -> None:
    assert (figure.holds, figure.distance, figure.near) == (holds, pytest.approx(distance), near)


def test_numbers_are_shown_with_three_figures() -> None:
    assert [show(value) for value in (0.01234, 1.234, 12.34, 123.4, -2.5)] == [
        "0.0123",
        "1.23",
        "12.34",
        "123",
        "-2.50",
    ]


def test_the_figure_that_is_furthest_from_its_goal_speaks_for_all(tmp_path: Path, capsys: Any) -> None:
    figures = [Figure("good", 3.0, "x", goal=2.0), Figure("bad", 1.0, "x", goal=2.0, limit=4.0, limit_is="a dream")]
    arguments = argparse.Namespace(results=tmp_path, no_mlflow=True, rounds=1)
    report("drawn", figures, [Panel("ways", "s", {"one": [1.0, 2.0]})], arguments, {"cpu": "c"}, 0.0)
    content = json.loads((tmp_path / "drawn.json").read_text())
    expected = {"name": "bad", "value": 1.0, "goal": 2.0, "holds": False, "unit": "x", "machine": {"cpu": "c"}}
    assert {key: content[key] for key in expected} == expected
    assert [one["holds"] for one in content["figures"]] == [True, False]
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")
    assert "bad: 1.00 x, goal at least 2.00: MISSED; limit 4.00 (a dream), 25% of it reached" in capsys.readouterr().out


def test_backbones_multiplications_are_counted_from_the_layers() -> None:
    from backbones import count  # type: ignore[import-not-found]

    from mirada.learning.backbones import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, 2, "same")(image)  # 4 x 4 places, 3 x 3 x 3 x 4 weights and 4 biases
    x = keras.layers.DepthwiseConv2D(3, 1, "same")(x)  # 4 x 4 places, 3 x 3 x 4 weights and 4 biases
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, keras.layers.Dense(2)(x))  # 4 x 2 weights and 2 biases
    assert count(network) == (108 + 4 + 36 + 4 + 8 + 2, 16 * 108 + 16 * 36 + 8)


@pytest.mark.slow
def test_preprocess_at_minute_size_then_the_table(tmp_path: Path) -> None:
    results, database = tmp_path / "results", tmp_path / "mlflow.db"
    words = ["--images", "16", "--megapixels", "0.05", "0.1", "--input-size", "64", "--rounds", "1"]
    uri = f"sqlite:///{database}"
    done = run("preprocess.py", *words, "--results", str(results), MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 0, done.stderr
    content = json.loads((results / "preprocess.json").read_text())
    assert {"name", "value", "goal", "holds", "unit", "machine"} <= content.keys()
    assert content["machine"]["cores"] >= 1
    speeds = content["panels"][0]["ways"]
    assert len(speeds) == 7 and all(value > 0 for values in speeds.values() for value in values)
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("mirada-benchmarks")
    assert experiment is not None
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.data.metrics["mirada, 2 workers to 1".replace(",", " ")] > 0
    assert {path.path for path in client.list_artifacts(logged.info.run_id, "benchmark")} == {
        "benchmark/preprocess.json",
        "benchmark/preprocess.png",
    }
    table = run("table.py", "--results", str(results))
    assert table.returncode == 0, table.stderr
    assert "goals hold" in table.stdout and "preprocess" in table.stdout
    content["figures"][0] |= {"value": 0.1, "goal": 1.85}
    (results / "preprocess.json").write_text(json.dumps(content))
    assert run("table.py", "--results", str(results), "--strict").returncode == 1


def test_the_table_without_results_says_what_to_do(tmp_path: Path) -> None:
    done = run("table.py", "--results", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path} holds no result: run make bench first.\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["preprocess.py", "--rounds", "0"], "argument --rounds: must be a whole number from 1 on, got '0'\n"),
        (["preprocess.py", "--raw", "nowhere"], "error: nowhere holds no image with its XML: name a VOC folder, or"),
        (["input.py", "--data", "nowhere"], "error: nowhere/dataset.json is missing: run the preprocess stage"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, command: list[str], message: str) -> None:
    done = run(*command, "--results", str(tmp_path / "results"), "--no-mlflow")
    assert done.returncode != 0 and not (tmp_path / "results").exists()
    assert message in done.stderr and "Traceback" not in done.stderr


def gpu_day(gpus: list[str], **given: Any) -> gpu.Day:
    sizes = dict.fromkeys(("images", "input_size", "batch_size", "steps")) | {"gpus": [1, 2, 4], "minutes": 10, **given}
    arguments = argparse.Namespace(**sizes)
    notes = gpu.fill_in(arguments, gpus)
    return gpu.Day(arguments, gpus, Path(), time.perf_counter(), notes=notes)


def test_without_a_gpu_its_day_is_rehearsed_and_says_so() -> None:
    day = gpu_day([], steps=7)
    assert day.rehearses and day.notes[0].startswith("no GPU found: a rehearsal on logical devices of the CPU")
    assert (day.arguments.images, day.arguments.batch_size, day.arguments.steps) == (16, 4, 7)
    gpu.judge_speeds(day, {"fp32": [10.0, 20.0], "bf16": [20.0, 60.0], "2 replicas": [15.0, 38.0]})
    assert {one.name: (one.value, one.goal) for one in day.figures} == {
        "fp32": (15.0, None), "bf16 to fp32": (2.5, None), "2 replicas to one": (1.7, None),
    }  # fmt: skip


def test_a_gpus_day_trains_on_as_many_as_there_are_and_holds_them_to_the_ideal() -> None:
    day = gpu_day(["H100", "H100"])
    assert day.arguments.gpus == [1, 2] and day.notes == ["left out: 4 replicas, as there are 2 GPUs"]
    assert list(gpu.ways_of(day.arguments.gpus))[-2:] == ["fp16 with XLA", "2 replicas"]
    gpu.judge_speeds(day, {"fp32": [10.0], "2 replicas": [17.0]})
    (one,) = [one for one in day.figures if "replicas" in one.name]
    assert (one.value, one.goal, one.holds, one.near) == (1.7, 1.8, False, 0.85)
    assert day.panels[-1].ways == {"1 replica": [10.0], "2 replicas": [17.0], "2 replicas, ideal": [20.0]}
    day.differences = {"fp32 with XLA": 0.011, "bf16": 0.04, "2 replicas": 0.009}
    gpu.judge_equality(day)
    assert [one.holds for one in day.figures[-3:]] == [False, True, True]


def test_what_has_not_begun_late_in_a_gpus_day_is_left_out_and_named(capsys: Any) -> None:
    day = gpu_day(["H100"])
    assert not day.leaves_out("bf16")
    day.began -= 8 * 60
    assert day.leaves_out("bf16") and day.notes[-1] == "left out for want of time: bf16"
    with pytest.raises(
        MiradaError, match=r"^--images=100 is fewer than 4 batches of --batch-size=32: give more images"
    ):
        gpu_day(["H100"], images=100)
