"""A saved view of MLflow's page: columns and charts chosen for the runs of an experiment, and the address that opens it.

The page of MLflow 3 keeps what its button 'Save view' stores as a tag of the experiment, `mlflow.sharedViewState.<key>`,
and opens it at `#/experiments/<id>/runs?viewStateShareKey=<key>`. The tag is written here in that form. A page that does
not know a key of it leaves that out, one that does not know views shows its own table.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

TAG = "mlflow.sharedViewState."
LONGEST_TAG = 20_000  # characters that MLflow takes of an experiment's tag
_FIRST = ("attributes.`Run Name`", "runDateAndNestInfo", "duration")  # columns that are always there
_WIDTH = 110  # pixels of the others
_OWN = "mirada-own"  # id of the section with the chosen charts


@dataclass(frozen=True)
class View:
    """What is to be seen of an experiment.

    Attributes:
        key: of the tag and the address.
        title: in the page's list of views.
        params, metrics: columns, in their order.
        charts: as `bar`, `scatter` and `parallel` make them.
        filter: of MLflow's search, for some of the runs.
        order: what they are sorted by, the largest first; by their start the page would fold a sweep's jobs into its parent.
        folded: names of sections of charts that MLflow makes by itself, to be opened by hand.
    """

    key: str
    title: str
    params: Sequence[str] = ()
    metrics: Sequence[str] = ()
    charts: Sequence[dict[str, Any]] = field(default=())
    filter: str = ""
    order: str = "tags.`mlflow.runName`"
    folded: Sequence[str] = ()


CHARTS = "&compareRunsMode=CHART"
"""Added to an address: charts instead of the table."""


def bar(metric: str, title: str) -> dict[str, Any]:
    """A bar a run."""
    return _chart("BAR", title, metricKey=metric, runsCountToCompare=20)


def scatter(x: str, y: str, title: str) -> dict[str, Any]:
    """A point a run, from two metrics."""
    axes = {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}
    return _chart("SCATTER", title, **axes, runsCountToCompare=100)


def parallel(params: Sequence[str], metrics: Sequence[str], title: str) -> dict[str, Any]:
    """Parallel coordinates: a line a run."""
    chosen = {"selectedParams": list(params), "selectedMetrics": list(metrics)}
    return _chart("PARALLEL", title, **chosen, showAllRuns=True, runsCountToCompare=100)


def _chart(kind: str, title: str, **settings: Any) -> dict[str, Any]:
    name = f"mirada-{zlib.crc32(f'{kind} {title}'.encode()):08x}"
    shared = {"uuid": name, "type": kind, "metricSectionId": _OWN, "deleted": False, "isGenerated": False}
    return {**shared, "displayName": title, **settings}


def sections_of(metrics: Iterable[str]) -> list[str]:
    """The sections into which MLflow puts the charts of these metrics by itself."""
    prefixes = {metric.rpartition("/")[0] or "Model metrics" for metric in metrics}
    return sorted("System metrics" if prefix == "system" else prefix for prefix in prefixes)


def tag_value(view: View, now_ms: int | None = None) -> str:
    """What the tag holds: a name, two times, and the page's own state, deflated."""
    columns = [f"params.`{name}`" for name in view.params] + [f"metrics.`{name}`" for name in view.metrics]
    folded = [name for name in dict.fromkeys(("Model metrics", "System metrics", *view.folded)) if name]
    state = {
        "searchFilter": view.filter,
        "orderByKey": view.order,
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": [*_FIRST, *columns],
        "columnWidths": dict.fromkeys(columns, _WIDTH) | {_FIRST[0]: 230},
        "compareRunCharts": list(view.charts),
        "compareRunSections": [
            {"uuid": _OWN, "name": "Chosen", "display": True, "isReordered": True, "deleted": False, "columns": 2},
            *({"uuid": f"mirada-{name}", "name": name, "display": False, "isReordered": True} for name in folded),
        ],
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "runsHiddenMode": "SHOW_ALL",
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    now = int(time.time() * 1000) if now_ms is None else now_ms
    return json.dumps({"name": view.title, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"})


def written_ms(value: str) -> int:
    """When a tag was written; 0 for what is none of this form."""
    try:
        return int(json.loads(value)["updatedAt"])
    except (ValueError, TypeError, KeyError):
        return 0


def address(server: str, experiment_id: str, key: str, *, charts: bool = False) -> str:
    """Where a browser finds the view, as a table or as charts."""
    words = f"workflowType=machine_learning&viewStateShareKey={key}{CHARTS if charts else ''}"
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?{words}"
