"""Searches: the space and the table by hand, the sweeper by real processes of a small program without TensorFlow."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from PIL import Image

from mirada.errors import MiradaError
from mirada.sweeps.search import study as search
from mirada.sweeps.search.plot import plot_search

SOURCE = Path(__file__).resolve().parents[3] / "src"


def space_of(*overrides: str) -> tuple[dict, dict]:
    return search.read_space(OverridesParser.create().parse_overrides(list(overrides)))


@pytest.mark.parametrize(
    ("override", "distribution"),
    [
        ("x=choice(4,8,16)", CategoricalDistribution((4, 8, 16))),
        ("x=4,8", CategoricalDistribution((4, 8))),
        ("x=a,true,null,0.5,[1,2]", CategoricalDistribution(("a", True, "null", 0.5, "[1,2]"))),
        ("x=range(16,64,16)", IntDistribution(16, 48, step=16)),  # Hydra's ranges don't hold their end
        ("x=range(16,65,step=16)", IntDistribution(16, 64, step=16)),
        ("x=range(3,0,-1)", IntDistribution(1, 3)),
        ("x=range(0.1,0.4,0.1)", FloatDistribution(0.1, 0.3, step=0.1)),
        ("x=interval(0,1)", FloatDistribution(0.0, 1.0)),
        ("x=int(interval(1,10))", IntDistribution(1, 10)),
        ("x=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
    ],
)
def test_space(override: str, distribution: object) -> None:
    assert space_of(override, "y=3") == ({"x": distribution}, {"y": "y=3"})


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("x=3", "nothing to search: give a key choice"),
        ("x=interval(2,1)", "the first end of the interval must be below the second"),
        ("x=tag(log,interval(0,1))", "on a log scale the interval must begin above 0"),
        ("x=tag(log,choice(1,2))", "the tag log has no meaning here"),
        ("x=tag(lgo,interval(1,2))", "the tag lgo has no meaning here"),
        ("x=shuffle(range(1,4))", "leave out shuffle"),
        ("x=range(4,1)", "the range is empty"),
        ("x=range(1,4,0)", "the step of a range can't be 0"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(override: str, sentence: str) -> None:
    with pytest.raises(MiradaError) as refused:
        space_of(override)
    assert sentence in str(refused.value)


def test_the_last_word_on_a_key_counts() -> None:
    assert space_of("x=1", "x=choice(1,2)", "y=choice(1,2)", "y=3")[0] == {"x": CategoricalDistribution((1, 2))}


def test_a_trial_is_written_as_overrides() -> None:
    params = {"x": 0.1 + 0.2, "+y": True, "z": "'a b'"}
    assert search.overrides_of(params, {"w": "w=[1,2]"}) == ["x=0.3", "+y=True", "z='a b'", "w=[1,2]"]


def test_every_choice_is_composed_once_before_the_first_trial() -> None:
    space, fixed = space_of("x=choice(a,b,c)", "y=interval(0,1)", "w=1")
    assert search.probes(space, fixed) == [
        ["x=a", "y=0", "w=1"],
        ["x=b", "y=0", "w=1"],
        ["x=c", "y=0", "w=1"],
        ["x=a", "y=1", "w=1"],
    ]


@pytest.mark.parametrize(
    ("value", "count", "read", "why"),
    [
        (0.5, 1, [0.5], ""),
        ((1, 2.5), 2, [1.0, 2.5], ""),
        (0.5, 2, None, "its result has 1 numbers, the search 2 directions"),
        (None, 1, None, "its result is no number: None"),
        ((1.0, float("nan")), 2, None, "its result is not finite: 1.0, nan"),
    ],
)
def test_a_jobs_result(value: object, count: int, read: list[float] | None, why: str) -> None:
    assert search.read_value(value, count) == (read, why)


DEFAULTS = search.Settings(
    n_trials=8, n_jobs=1, directions=None, sampler="tpe", startup_trials=5, seed=0, prune=False, prune_after_trials=4,
    prune_after_epochs=1, storage=None, study_name="mirada", params={},
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_trials": 0}, "hydra.sweeper.n_trials must be at least 1, got 0"),
        ({"n_jobs": 0}, "hydra.sweeper.n_jobs must be at least 1, got 0"),
        ({"seed": -1}, "hydra.sweeper.seed must be at least 0, got -1"),
        ({"sampler": "magic"}, "hydra.sweeper.sampler must be one of tpe, nsgaii, random, got 'magic'"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict, sentence: str) -> None:
    with pytest.raises(MiradaError, match=sentence):
        replace(DEFAULTS, **change).check()


@pytest.mark.parametrize("sampler", search.SAMPLERS)
def test_typed_again_a_search_makes_the_same_trials(sampler: str) -> None:
    def drawn() -> list[dict]:
        study = search.open_study(replace(DEFAULTS, sampler=sampler), ["maximize", "minimize"])
        space, _ = space_of("x=interval(0,1)", "y=choice(1,2)")
        for _ in range(8):
            asked = study.ask(space)
            study.tell(asked, [asked.params["x"], asked.params["y"]])
        return [asked.params for asked in study.trials]

    assert drawn() == drawn()


def test_a_search_in_a_storage_goes_on(tmp_path: Path) -> None:
    settings = replace(DEFAULTS, storage=f"sqlite:///{tmp_path}/search.db")
    study = search.open_study(settings, ["maximize"])
    study.tell(study.ask(space_of("x=interval(0,1)")[0]), 0.5)
    assert [search.trial_of(t).values for t in search.open_study(settings, ["maximize"]).trials] == [(0.5,)]
    with pytest.raises(MiradaError, match="study_name=mirada is in the storage with other directions"):
        search.open_study(settings, ["minimize"])
    with pytest.raises(MiradaError, match="hydra.sweeper.storage=nowhere can't be used"):
        search.open_study(replace(DEFAULTS, storage="nowhere"), ["maximize"])


def trial(number: int, *values: float, state: str = "complete", **params: object) -> search.Trial:
    return search.Trial(number, state, params, values)


TWO = [trial(0, 0.5, 3.0, x=1), trial(1, 0.6, 4.0, x=2), trial(2, 0.5, 4.0, x=3), trial(3, state="failed", x=4)]


def test_the_front_and_the_best() -> None:
    assert [t.number for t in search.best_trials(TWO, ["maximize", "minimize"])] == [0, 1]
    assert [t.number for t in search.best_trials(TWO, ["maximize", "maximize"])] == [1]
    one = [trial(0, 0.2), trial(1, 0.9, state="pruned"), trial(2, 0.4)]
    assert [t.number for t in search.best_trials(one, ["maximize"])] == [2]
    assert [t.number for t in search.best_trials(one, ["minimize"])] == [0]
    assert search.best_trials([trial(0, state="failed")], ["minimize"]) == []


def test_results_have_the_keys_of_hydras_own_plugin() -> None:
    assert search.optimization_results(TWO, ["maximize", "minimize"]) == {
        "name": "optuna",
        "solutions": [{"params": {"x": 1}, "values": [0.5, 3.0]}, {"params": {"x": 2}, "values": [0.6, 4.0]}],
    }
    assert search.optimization_results([trial(0, 0.5, x=1)], ["minimize"]) == {
        "name": "optuna", "best_params": {"x": 1}, "best_value": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("directions", [["maximize"], ["maximize", "minimize"]])
def test_the_plot_is_a_picture(directions: list[str]) -> None:
    trials = [trial(t.number, *t.values[: len(directions)], state=t.state) for t in TWO]
    image = Image.open(io.BytesIO(plot_search(trials, directions, ["map", "ms"])))
    assert image.width > 600 and len(image.convert("L").getcolors()) > 30


APP = """
import hydra
from hydra.core.config_store import ConfigStore
from mirada.sweeps.search import pruning
from mirada.cli import launch

@hydra.main(version_base="1.3", config_path=None, config_name="app")
def main(cfg):
    if cfg.y == 3:
        raise ValueError("three is too many")
    watch, history = pruning.watch(), []
    for epoch in (1, 2, 3):
        history.append({"epoch": epoch, "val": cfg.x * epoch})
        watch.check(history, "val")
    watch.finish(history, "val")
    return (cfg.x, (cfg.x - 1) ** 2 + cfg.y) if cfg.two else cfg.x

callbacks = {"failed_jobs": {"_target_": "mirada.cli.FailedJobs"}}
ConfigStore.instance().store("app", {"x": 0.5, "y": 1, "two": False, "hydra": {"callbacks": callbacks}})
launch(main)
"""


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "app.py", "-m", "hydra/sweeper=optuna", "hydra.sweep.dir=out", *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(SOURCE)} | environment, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "out/search.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_search_goes_on_after_a_failure_and_finds_the_front(tmp_path: Path) -> None:
    arguments = ["hydra.sweeper.n_trials=8", "hydra.sweeper.directions=[maximize,minimize]", "two=true"]
    arguments += ["x=tag(log,interval(0.1,10))", "y=choice(1,2,3)"]
    done = run(tmp_path, *arguments)
    rows = table(tmp_path)
    failed = [row for row in rows if row["y"] == "3"]
    assert len(rows) == 8 and 0 < len(failed) < 8
    assert all((row["state"], row["why"]) == ("failed", "three is too many") for row in failed)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: jobs that failed in this sweep: {len(failed)}, ")
    front = [row for row in rows if row["pareto"] == "yes"]
    solutions = yaml.safe_load((tmp_path / "out/optimization_results.yaml").read_text())["solutions"]
    assert [s["values"] for s in solutions] == [
        [pytest.approx(float(row["value_0"])), pytest.approx(float(row["value_1"]))] for row in front
    ]
    for row in rows:
        if row["state"] == "complete":
            assert float(row["value_1"]) == pytest.approx((float(row["x"]) - 1) ** 2 + int(row["y"]))
    assert (tmp_path / "out/search.png").is_file()


@pytest.mark.slow
def test_jobs_in_other_processes_are_pruned_by_each_others_curves(tmp_path: Path) -> None:
    done = run(
        tmp_path, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_trials=8", "x=interval(0,1)",
        "hydra.sweeper.prune=true", "hydra.sweeper.prune_after_trials=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = table(tmp_path)
    curves = (tmp_path / "out/curves.jsonl").read_text().splitlines()
    assert [row["state"] for row in rows[:2]] == ["complete", "complete"]
    pruned = [row for row in rows if row["state"] == "pruned"]
    assert 0 < len(pruned) == 8 - len(curves)
    assert all(row["why"].startswith("stopped after epoch 2: at best") for row in pruned)
    best = max((row for row in rows if row["state"] == "complete"), key=lambda row: float(row["value"]))
    assert [row["trial"] for row in rows if row["best"] == "yes"] == [best["trial"]]
    assert yaml.safe_load((tmp_path / "out/optimization_results.yaml").read_text())["best_value"] == pytest.approx(
        float(best["value"])
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("z=interval(0,1)", "unknown key z: --help lists every key."),
        ("y=choice(3) hydra.sweeper.n_trials=1", "no trial of this search finished: the reasons are above"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, arguments: str, sentence: str) -> None:
    done = run(tmp_path, *arguments.split())
    assert done.stderr.splitlines()[-1].startswith(f"error: {sentence}")
    assert done.returncode == 1


def test_without_optuna_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "optuna.py").write_text("raise ImportError('not installed')")
    done = run(tmp_path, "x=interval(0,1)")
    assert done.stderr == (
        "error: hydra/sweeper=optuna needs Optuna: install the extra, pip install 'mirada[optuna]'.\n"
    )


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("train hydra.sweeper.directions=[minimize] epochs=range(1,4)", "hydra.sweeper.directions: without objectives"),
        ("train model=choice(tiny,huge)", "model=huge: there is no such option"),
        ("evaluate nms_iou=interval(0.3,0.6)", "evaluate gives no figure to search by: search with src/train.py"),
        ("experiment data=shapes train.epochs=range(1,3)", "evaluate.split=test: a search that chooses by the test"),
        (
            "experiment data=shapes evaluate.split=val objectives=[int8/map5] train.epochs=range(1,3)",
            "objectives: int8/map5 names no figure of detection: did you mean int8/map50?",
        ),
    ],
)
def test_a_search_that_makes_no_sense_is_refused_before_the_first_trial(
    tmp_path: Path, command: str, sentence: str
) -> None:
    script, *arguments = command.split()
    off = ["tracking.enabled=false"] if script in ("train", "evaluate") else ["train.tracking.enabled=false"]
    done = subprocess.run(
        [sys.executable, str(SOURCE / f"{script}.py"), "-m", "hydra/sweeper=optuna", *arguments, *off],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"},
    )  # fmt: skip
    assert done.stderr.startswith(f"error: {sentence}")
    assert done.returncode == 1
