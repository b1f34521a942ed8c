"""How long a user waits before anything happens.

    python benchmarks/startup.py --rounds 5

- `--help` of each entry point, against a Hydra program that does nothing.
- `dvc repro` with nothing to do, in a copy of the project whose outputs are stand-ins, against `dvc repro` of a project with
  one empty stage.
- Importing the service, against importing FastAPI.

Every command runs in a process of its own, with its files in the disk cache and its modules compiled. Takes about
two minutes on two cores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import yaml
from figures import Figure, Panel, figure, machine, make_parser, ratio, report, seconds_of, spread, take_turns

PROJECT = Path(__file__).resolve().parents[1]
HELP_GOAL_S, DVC_GOAL, SERVICE_GOAL = 1.0, 2.0, 1.5
_BARE = """
import hydra
@hydra.main(version_base="1.3", config_path=None)
def main(cfg): pass
main()
"""


def run(command: Sequence[str], folder: Path) -> None:
    """Run a command to its end; what it prints is shown when it fails."""
    environment = os.environ | {
        "PYTHONPATH": str(PROJECT / "src"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # some containers set it; every start would compile all anew
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} ends with {done.returncode}: {done.stderr.strip()[-500:]}")


def entry_points() -> list[Path]:
    """The scripts of `src`."""
    return sorted(PROJECT.glob("src/*.py"))


def make_projects(folder: Path) -> tuple[Path, Path]:
    """A copy of the project that DVC takes for finished, and a project of one empty stage."""
    copy, bare = folder / "project", folder / "bare"
    for path in (copy, bare):
        path.mkdir()
        run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], path)
    for name in ("src", "conf"):
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(PROJECT / name, copy)
    data = yaml.safe_load((copy / "params.yaml").read_text())["fetch"]["data"]
    for stage in yaml.safe_load((copy / "dvc.yaml").read_text())["stages"].values():
        for out in stage["outs"]:
            stand_in(copy / out.replace("${fetch.data}", data))
    (bare / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"nothing": {"cmd": "echo", "outs": ["out"]}}}))
    (bare / "out").write_text("\n")
    for path in (copy, bare):
        run([sys.executable, "-m", "dvc", "commit", "--force", "-q"], path)
    return copy, bare


def stand_in(path: Path) -> None:
    """A file, or a folder of some files, in the place of a stage's output."""
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
        return
    path.mkdir(parents=True)
    for number in range(10):
        (path / f"{number}.bin").write_bytes(bytes([number]) * 1_000_000)


def ways_of(folder: Path) -> dict[str, Callable[[int], float]]:
    """Name -> what takes its turn; each gives seconds."""
    copy, bare = make_projects(folder)
    (folder / "bare.py").write_text(_BARE)
    works = {
        f"{path.stem}.py --help": partial(run, [sys.executable, str(path), "--help"], folder) for path in entry_points()
    }
    works["Hydra alone"] = partial(run, [sys.executable, "bare.py", "--help"], folder)
    works["dvc repro"] = partial(run, [sys.executable, "-m", "dvc", "repro"], copy)
    works["dvc repro of one empty stage"] = partial(run, [sys.executable, "-m", "dvc", "repro"], bare)
    if (PROJECT / "src/mirada/service/app.py").is_file():
        works["service"] = partial(run, [sys.executable, "-c", "import mirada.service.app"], folder)
        works["FastAPI alone"] = partial(run, [sys.executable, "-c", "import fastapi"], folder)
    return {name: seconds_of(work) for name, work in works.items()}


def judge(seconds: dict[str, list[float]]) -> list[Figure]:
    """The figures."""
    helps = {name: values for name, values in seconds.items() if name.endswith("--help")}
    slowest = max(helps, key=lambda name: spread(helps[name]).median)
    hydra, dvc = (
        spread(seconds["Hydra alone"]).median,
        ratio(seconds["dvc repro"], seconds["dvc repro of one empty stage"]),
    )
    figures = [
        figure(f"slowest --help: {slowest.split()[0]}", spread(helps[slowest]), "s", goal=HELP_GOAL_S, lower=True,
               limit=hydra, limit_is="Hydra alone"),
        figure("dvc repro with nothing to do, to one of an empty stage", dvc, "x", goal=DVC_GOAL, lower=True, limit=1.0,
               limit_is="DVC itself"),
    ]  # fmt: skip
    if "service" in seconds:
        figures.append(
            figure("import of the service", spread(seconds["service"]), "s", goal=SERVICE_GOAL, lower=True,
                   limit=spread(seconds["FastAPI alone"]).median, limit_is="FastAPI alone")
        )  # fmt: skip
    return figures


def main() -> None:
    parser = make_parser(__doc__ or "", rounds=3)
    arguments = parser.parse_args()
    started, computer = time.perf_counter(), machine()
    with tempfile.TemporaryDirectory(prefix="mirada-benchmark-") as folder:
        seconds = take_turns(ways_of(Path(folder)), arguments.rounds, warmup=1)
    panel = Panel("start-up", "s", seconds)
    report("startup", judge(seconds), [panel], arguments, computer, started)


if __name__ == "__main__":
    main()
