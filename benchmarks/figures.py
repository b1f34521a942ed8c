"""What all benchmarks share: ways that take turns, figures with goals, the machine, and where the results go.

A figure is a ratio measured in one run wherever that makes sense: all ways run in each round, one after the other, so that
a busy machine slows all of them alike, and the ratio is taken round by round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

RESULTS = Path(__file__).resolve().parent / "results"
EXPERIMENT = "mirada-benchmarks"
T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, and the lowest and highest of them."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """One thing measured, and what it should be.

    Attributes:
        name: what it is.
        value: the median over the rounds.
        unit: of the value, as in 'x' for a ratio, '%', 'images/s', 's'.
        goal: what it should reach; None: there is none.
        limit: what could be reached at best, in the same unit; None: not known.
        limit_is: what that limit is.
        lower: whether less is better.
        low, high: lowest and highest of the rounds.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    limit: float | None = None
    limit_is: str = ""
    lower: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.lower else self.value >= self.goal

    @property
    def distance(self) -> float:
        """How much of the goal is reached, 1 for all of it; infinite without a goal."""
        if self.goal is None:
            return float("inf")
        top, bottom = (self.goal, self.value) if self.lower else (self.value, self.goal)
        return top / bottom if bottom > 0 else float("inf")

    @property
    def sentence(self) -> str:
        """The figure, its goal, its limit, and how near it is to that."""
        text = f"{self.name}: {show(self.value)} {self.unit}"
        if self.low is not None and self.high is not None and self.low != self.high:
            text += f" ({show(self.low)} to {show(self.high)})"
        if self.goal is not None:
            text += f", goal {'at most' if self.lower else 'at least'} {show(self.goal)}: {HOLDS[self.holds]}"
        if self.limit is not None:
            text += f"; limit {show(self.limit)} ({self.limit_is})"
            text += f", {self.near:.0%} of it reached" if self.near is not None else ""
        return text

    @property
    def near(self) -> float | None:
        """The share of the limit that is reached; None where either is 0 or unknown."""
        if not self.limit or self.value <= 0:
            return None
        return self.limit / self.value if self.lower else self.value / self.limit

    def as_json(self) -> dict[str, Any]:
        """All of it, with `holds`."""
        return {**asdict(self), "holds": self.holds}


HOLDS = {True: "holds", False: "MISSED", None: ""}


@dataclass
class Panel:
    """Ways side by side in the picture and in the JSON.

    Attributes:
        title: over the bars.
        unit: of the values.
        ways: name -> the value of each round.
    """

    title: str
    unit: str
    ways: Mapping[str, Sequence[float]] = field(default_factory=dict)


def show(value: float) -> str:
    """A number with three figures, or as a whole number from 100 on."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def take_turns(ways: Mapping[str, Callable[[int], T]], rounds: int, warmup: int = 0) -> dict[str, list[T]]:
    """Run every way in every round; the order is turned round each time.

    Args:
        ways: name -> function of the number of the round.
        rounds: how many count.
        warmup: rounds before these that don't count.

    Returns:
        Name -> what the way gave in each round that counts.
    """
    found: dict[str, list[T]] = {name: [] for name in ways}
    for number in range(warmup + rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            result = ways[name](number)
            if number >= warmup:
                found[name].append(result)
    return found


def seconds_of(work: Callable[[], object]) -> Callable[[int], float]:
    """The work as a way whose result is the seconds it took."""

    def way(number: int) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return way


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest."""
    return Spread(statistics.median(values), min(values), max(values))


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """The quotients of two ways, round by round."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def figure(name: str, values: Spread, unit: str, **more: Any) -> Figure:
    """A figure with its spread."""
    return Figure(name, values.median, unit, low=values.low, high=values.high, **more)


def machine() -> dict[str, Any]:
    """What it was measured on, and how busy that was."""
    from mirada.evaluation.processor import cpu_model
    from mirada.project import git_state
    from mirada.workers.cores import available_threads

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None
    commit, dirty = git_state()
    return {
        "cpu": cpu_model(),
        "cores": available_threads(),
        "memory_gib": round(memory, 1) if memory else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "commit": commit,
        "dirty": dirty,
    }


def positive(text: str) -> int:
    """A whole number from 1 on, as a type of argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


def start(main: Callable[[], None]) -> None:
    """Run a benchmark; a mistake, such as data that are not there, is told in one sentence."""
    from mirada.errors import MiradaError

    try:
        main()
    except MiradaError as error:
        sys.exit(f"error: {error}")


def make_parser(text: str, rounds: int) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have.

    Args:
        text: the script's docstring.
        rounds: the default number of rounds.
    """
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=rounds, help="how often every way is measured")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON and the picture")
    parser.add_argument("--no-mlflow", action="store_true", help="record no run")
    return parser


def report(
    name: str,
    figures: Sequence[Figure],
    panels: Sequence[Panel],
    arguments: argparse.Namespace,
    computer: Mapping[str, Any],
    started: float,
) -> None:
    """Print the figures; write `<name>.json` and `<name>.png`; record a run.

    Args:
        name: of the benchmark.
        figures: what was found; the one that is furthest from its goal speaks for the benchmark.
        panels: the ways behind them.
        arguments: of the command line.
        computer: from `machine`, asked before the measurement.
        started: `time.perf_counter()` at the start.
    """
    for panel in panels:
        print(f"{panel.title} ({panel.unit})")
        for way, values in panel.ways.items():
            found = spread(values)
            print(f"  {way:<42}{show(found.median):>9}   {show(found.low)} to {show(found.high)}")
    for one in figures:
        print(one.sentence)
    worst = min(figures, key=lambda one: one.distance)
    settings = {key: _plain(value) for key, value in vars(arguments).items() if key not in ("results", "no_mlflow")}
    content = {
        **worst.as_json(),
        "benchmark": name,
        "machine": dict(computer),
        "figures": [one.as_json() for one in figures],
        "panels": [asdict(panel) for panel in panels],
        "settings": settings,
        "seconds": round(time.perf_counter() - started, 1),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    arguments.results.mkdir(parents=True, exist_ok=True)
    path, picture = arguments.results / f"{name}.json", arguments.results / f"{name}.png"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    picture.write_bytes(draw(name, figures, panels))
    print(f"{path} and {picture.name}, {content['seconds']:.0f} s")
    if not arguments.no_mlflow:
        _record(name, figures, settings, computer, (path, picture))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def draw(name: str, figures: Sequence[Figure], panels: Sequence[Panel]) -> bytes:
    """A PNG: bars of the ways with lowest and highest, and how much of its goal each figure reaches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    from mirada.plots import style_axes, to_png

    aims = [one for one in figures if one.goal is not None]
    rows = [len(panel.ways) for panel in panels] + ([len(aims)] if aims else [])
    picture = Picture((9, 0.8 * len(rows) + 0.34 * sum(rows) + 0.4), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(picture)
    plots = picture.subplots(len(rows), 1, squeeze=False, gridspec_kw={"height_ratios": [n + 1 for n in rows]})[:, 0]
    for panel, axes in zip(panels, plots, strict=False):
        spreads = [spread(values) for values in panel.ways.values()]
        reach = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
        axes.barh(list(panel.ways), [s.median for s in spreads], xerr=reach, color="#2f7ed8", ecolor="#30343a")
        axes.set(xlabel=panel.unit, title=panel.title)
    if aims:
        names = [f"{one.name}\n{show(one.value)} of {show(one.goal or 0)} {one.unit}" for one in aims]
        colours = ["#2c8f4f" if one.holds else "#d8432f" for one in aims]
        plots[-1].barh(names, [min(one.distance, 3) for one in aims], color=colours)
        plots[-1].axvline(1, color="#30343a", linewidth=1)
        plots[-1].set(xlabel="how much of the goal is reached (1: all of it; cut at 3)", title="goals")
    for axes in plots:
        style_axes(axes, dark=False)
        axes.invert_yaxis()
        axes.tick_params(axis="y", labelsize=8)
    picture.suptitle(f"benchmark {name}")
    return to_png(picture)


def _record(
    name: str,
    figures: Sequence[Figure],
    settings: Mapping[str, Any],
    computer: Mapping[str, Any],
    files: Sequence[Path],
) -> None:
    """A run in MLflow, in an experiment of the benchmarks' own; a store that is away costs no more than a sentence."""
    from mirada import tracking
    from mirada.config import TrackingConfig
    from mirada.errors import MiradaError

    try:
        with tracking.start_run(TrackingConfig(experiment=EXPERIMENT), name) as run:
            run.log_params(settings)
            run.set_tags({"benchmark": name, **{key: str(value) for key, value in computer.items()}})
            run.log_metrics({re.sub(r"[^\w./ -]+", " ", one.name).strip(): one.value for one in figures})
            for path in files:
                run.log_artifacts(path, "benchmark")
    except MiradaError as error:
        print(f"not recorded: {error}", file=sys.stderr)
