"""Two trainings at the same time against one after the other.

    python benchmarks/demonstrations/launchers.py --epochs 40

The same sweep of two seeds runs with Hydra's own launcher (one training after the other, each on all cores) and with
joblib (both at once, each on its share of the cores), in turns; the table gives medians and their ratio. The rest is the
part of the time that no epoch after the first took: starting Python, TensorFlow and MLflow, building the network,
validation; joblib does that twice, but at the same time. CPU seconds say what the work itself cost: where other programs
hold the cores, two processes get more of them than one does, and the ratio says little. The losses are compared epoch by
epoch: threads change the order of sums, so they differ where a job has another number of cores, and are equal to the bit
where it has as many; hence the third way. Takes some six minutes on two cores.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[2] / "src"
RESULTS = Path(__file__).parents[1] / "results"
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
ALONE, AT_ONCE, HALVED = "one after the other", "two at once", "one after the other, on half the cores"
WAYS = {ALONE: [], AT_ONCE: JOBLIB, HALVED: []}
SEEDS = 2


def python(script: str, *words: str, folder: Path) -> str:
    """Run an entry point in a folder; what it printed."""
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlruns/mlflow.db"}
    command = [sys.executable, str(SOURCES / script), *words]
    return subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def prepare(folder: Path, images: int) -> None:
    """Draw shapes and preprocess them to 64 pixels."""
    python("fetch.py", "data=shapes", f"data.source.images={images}", folder=folder)
    python("preprocess.py", "data=shapes", "input_size=64", f"output_dir={folder / 'processed'}", folder=folder)


def sweep(folder: Path, epochs: int, launcher: list[str], number: int) -> dict[str, Any]:
    """Run the sweep once: seconds, of which trained, CPU seconds, and each job's losses."""
    sweep_dir = folder / f"sweep{number}"
    words = ["model=tiny", f"data_dir={folder / 'processed'}", f"epochs={epochs}", "seed=0,1", "force=true"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    python("train.py", "-m", *launcher, *words, f"hydra.sweep.dir={sweep_dir}", folder=folder)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    histories = [list(csv.DictReader((sweep_dir / f"{job}/history.csv").open())) for job in range(SEEDS)]
    trained = [sum(float(row["seconds"]) for row in history[1:]) for history in histories]  # the first builds the graph
    return {
        "seconds": seconds,
        "trained_seconds": max(trained) if launcher else sum(trained),
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "losses": [[float(row["loss"]) for row in history] for history in histories],
        "best": [max(float(row["val_map50"]) for row in history) for history in histories],
    }


def sweep_on(way: str, folder: Path, epochs: int, number: int) -> dict[str, Any]:
    """Run the sweep in one of the ways, on the cores that belong to it."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[: max(1, len(cores) // 2)] if way == HALVED else cores)
    try:
        return sweep(folder, epochs, WAYS[way], number)
    finally:
        os.sched_setaffinity(0, cores)


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """How far two sweeps' results are apart at most."""
    pairs = [
        (a, b)
        for left, right in zip(one["losses"], other["losses"], strict=True)
        for a, b in zip(left, right, strict=True)
    ]
    return {
        "loss, relative": max(abs(a - b) / abs(a) for a, b in pairs),
        "best val mAP50": max(abs(a - b) for a, b in zip(one["best"], other["best"], strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, arguments.images)
        for number in range(arguments.rounds):
            for way in list(WAYS)[:: -1 if number % 2 else 1]:
                found[way].append(sweep_on(way, folder, arguments.epochs, sum(map(len, found.values()))))
    report(found)


def report(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print the table and keep the figures."""
    medians = {
        way: {key: statistics.median(run[key] for run in runs) for key in ("seconds", "trained_seconds", "cpu_seconds")}
        for way, runs in found.items()
    }
    print(
        f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, {len(next(iter(found.values())))} rounds"
    )
    print(f"{'':40}{'total s':>9}{'rest':>10}{'CPU s':>8}")
    for way, row in medians.items():
        rest = 1 - row["trained_seconds"] / row["seconds"]
        print(f"{way:40}{row['seconds']:9.1f}{rest:10.0%}{row['cpu_seconds']:8.1f}")
    print(f"time at once / one after the other: {medians[AT_ONCE]['seconds'] / medians[ALONE]['seconds']:.2f}")
    apart = {way: differences(found[way][0], found[AT_ONCE][0]) for way in (ALONE, HALVED)}
    for way, values in apart.items():
        print(f"results at once and {way}, apart at most: " + ", ".join(f"{k} {v:.2g}" for k, v in values.items()))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "launchers.json").write_text(json.dumps({"medians": medians, "apart": apart}, indent=2))


if __name__ == "__main__":
    main()
