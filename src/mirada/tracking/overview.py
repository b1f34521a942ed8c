"""At the end of a run or a sweep: the experiment's saved view and descriptions brought up to date, and where they open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from mirada.config import TrackingConfig
from mirada.tracking import notes, view
from mirada.tracking.notes import MAIN_METRIC, Noted
from mirada.tracking.store import without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCAL = "http://127.0.0.1:5000"  # where `make ui` serves unless told
KEY = "mirada"
PARENT_TAG = "mlflow.parentRunId"
_LOOKED_AT = 100  # of the last runs
_SWEEPS_KEPT = 15  # views of sweeps; the page takes no more than 40 in all
_PARAMS = ("epochs", "gpus", "workers", "batch_size")
_NO_COLUMNS = ("tracking.", "objectives", "store_dir", "threshold")
_MOST_PARAMS = 8
_COSTS = ("size_bytes", "latency_ms_p50")
_TIMES = ("train_seconds", "train_images_per_s", "seconds", "images_per_s", "scaling_efficiency")
_SHOWN = ("float32", "int8", "best")
_WAITING: list[list[Callable[[], None]]] = []  # of each `told_once`, the innermost last


@contextmanager
def told_once() -> Iterator[None]:
    """What many stages would tell of their runs is told once, at the end of the block, unless it fails."""
    last: list[Callable[[], None]] = []
    _WAITING.append(last)
    try:
        yield
    finally:
        _WAITING.pop()
    for tell in last:
        tell()


def tell_runs(config: TrackingConfig, *, sweep: str | None = None, server: str | None = None) -> None:
    """Write views and descriptions, and print where they open. A store that fails costs a line, nothing else.

    Args:
        config: where the runs are.
        sweep: id of a sweep's run: it gets a view of its own.
        server: where a local store is served; None: nowhere yet.
    """
    if _WAITING:
        _WAITING[-1][:] = [partial(tell_runs, config, sweep=sweep, server=server)]
        return
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        mlflow.set_tracking_uri(uri := _uri(config))
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(config.experiment)
        if found is None:
            return
        key = write_views(client, found.experiment_id, dict(found.tags), sweep)
    except (MlflowException, OSError) as error:
        print(f"MLflow did not take the view of its runs: {str(error).splitlines()[0]}", flush=True)
        return
    where = without_password(uri) if uri.startswith("http") else server
    words = view.address(where or LOCAL, found.experiment_id, key)
    print(f"the runs: {'' if where else 'make ui, then '}{words}", flush=True)
    print(f"      in charts: {words}{view.CHARTS}", flush=True)


def _uri(config: TrackingConfig) -> str:
    from mirada import tracking
    from mirada.tracking.store import with_driver

    return with_driver(tracking.tracking_uri(config))


def write_views(client: MlflowClient, experiment: str, tags: Mapping[str, str], sweep: str | None = None) -> str:
    """The experiment's view and description, and those of a sweep; returns the key of the one to open."""
    runs = [run for run in _read(client, experiment) if "seed" in run.params]
    everything = compose(KEY, "Mirada: accuracy, size, time", runs, 'params.seed != ""')
    client.set_experiment_tag(experiment, view.TAG + KEY, view.tag_value(everything))
    if notes.may_replace(tags):
        text = notes.experiment_note(runs, _links(experiment, KEY, "table", "charts"))
        for tag, value in notes.note_tags(text).items():
            client.set_experiment_tag(experiment, tag, value)
    return _write_sweep(client, experiment, tags, sweep) if sweep else KEY


def _write_sweep(client: MlflowClient, experiment: str, tags: Mapping[str, str], sweep: str) -> str:
    jobs = _read(client, experiment, f"tags.`{PARENT_TAG}` = '{sweep}'")
    parent = client.get_run(sweep)
    key, name = f"{KEY}-sweep-{sweep[:8]}", str(parent.info.run_name or sweep)
    chosen = compose(key, name[:60], jobs, f"tags.`{PARENT_TAG}` = '{sweep}'")
    client.set_experiment_tag(experiment, view.TAG + key, view.tag_value(chosen))
    if notes.may_replace(parent.data.tags):
        text = notes.experiment_note(jobs, _links(experiment, key, "jobs as a table", "as charts"))
        for tag, value in notes.note_tags(text).items():
            client.set_tag(sweep, tag, value)
    old = [tag for tag in tags if tag.startswith(f"{view.TAG}{KEY}-sweep-") and tag != view.TAG + key]
    for tag in sorted(old, key=lambda tag: view.written_ms(tags[tag]))[: max(0, len(old) - _SWEEPS_KEPT + 1)]:
        client.delete_experiment_tag(experiment, tag)
    return key


def _links(experiment: str, key: str, table: str, charts: str) -> list[tuple[str, str]]:
    """Words, and where on the same server a view opens, as a table and as charts."""
    words = ((table, False), (charts, True))
    return [(word, view.address("", experiment, key, charts=shown).lstrip("/")) for word, shown in words]


def describe_run(run_id: str, page: str) -> None:
    """Write the description of an evaluated run of the store that MLflow points to.

    Args:
        run_id: of MLflow.
        page: its report on this machine.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        client = mlflow.MlflowClient()
        run = client.get_run(run_id)
        if notes.may_replace(run.data.tags):
            text = notes.run_note(_noted(run), page)
            for tag, value in notes.note_tags(text).items():
                client.set_tag(run_id, tag, value)
    except (MlflowException, OSError) as error:
        print(f"MLflow did not take the run's description: {str(error).splitlines()[0]}", flush=True)


def _read(client: MlflowClient, experiment: str, words: str = "") -> list[Noted]:
    return [_noted(run) for run in client.search_runs([experiment], words, max_results=_LOOKED_AT)]


def _noted(run: Any) -> Noted:
    data = run.data
    return Noted(run.info.run_id, str(run.info.run_name), dict(data.params), dict(data.metrics), dict(data.tags))


def compose(key: str, title: str, runs: Sequence[Noted], words: str) -> view.View:
    """Columns and charts for these runs: what they were told, main figures, costs and times, as far as they have them.

    Args:
        key, title: of the view.
        runs: the last one first.
        words: MLflow's search that finds them.
    """
    known = {metric for run in runs for metric in run.metrics}
    mains = list(dict.fromkeys(run.tags[MAIN_METRIC] for run in runs if MAIN_METRIC in run.tags))
    wanted = [f"{name}/{main}" for main in mains for name in _SHOWN] + [f"{name}/drop" for name in _SHOWN[1:]]
    wanted += [f"{name}/{cost}" for cost in _COSTS for name in _SHOWN]
    wanted += [*(f"best_{main}" for main in mains), *_TIMES]
    metrics = [metric for metric in wanted if metric in known]
    varied = _varied(runs)
    return view.View(
        key,
        title,
        list(dict.fromkeys([*(name for name in _PARAMS if any(name in run.params for run in runs)), *varied]))[
            :_MOST_PARAMS
        ],
        metrics,
        _charts(mains, metrics, varied[:5]),
        words,
        f"metrics.`{metrics[0]}`" if metrics else view.View.order,
        view.sections_of(known),
    )


def _varied(runs: Sequence[Noted]) -> list[str]:
    values: dict[str, set[str]] = {}
    for run in runs:
        for name, value in run.params.items():
            values.setdefault(name, set()).add(value)
    names = [name for name, found in values.items() if len(found) > 1 and not name.startswith(_NO_COLUMNS)]
    names = [name for name in names if not name.endswith(("_dir", ".uri", "run_name"))]
    return sorted(names, key=lambda name: (name not in _PARAMS, "." in name, name))


def _charts(mains: Sequence[str], metrics: Sequence[str], varied: Sequence[str]) -> list[dict[str, Any]]:
    charts = []
    for main in mains:
        shown = next((name for name in reversed(_SHOWN) if f"{name}/{main}" in metrics), None)
        figure = f"{shown}/{main}" if shown else f"best_{main}"
        costs = [f"{shown}/{cost}" for cost in _COSTS] if shown else ["train_seconds"]
        costs = [cost for cost in costs if cost in metrics]
        charts += [view.scatter(cost, figure, f"{figure} over {cost}") for cost in costs]
        charts += [view.parallel(varied, [*costs, figure], "settings, costs and figures")] if varied else []
        charts.append(view.bar(figure, figure))
    speeds = [name for name in _TIMES if name in metrics and name.endswith(("per_s", "efficiency"))]
    return charts + [view.bar(name, name) for name in speeds]
