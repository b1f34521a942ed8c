"""Runs side by side: which may be compared, and what differs between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mirada.config.influence import shapes_result
from mirada.errors import MiradaError
from mirada.evaluation.figures import is_better_lower
from mirada.evaluation.pareto import Point, front_of, points_of, variant_to_show
from mirada.tasks import get_task

_NO_SETTING = (  # recorded as one, but of how a model is measured and shown, and on what data
    "evaluate.split",
    "evaluate.published",
    "evaluate.judged",
    "evaluate.limits",
    "evaluate.pictures",
    "dataset",
)
_ABSENT = "–"  # the value of a setting that an evaluated run has not
_FIRST = ("epochs", "gpus", "workers", "batch_size", "learning_rate")  # columns of a sweep, in this order


@dataclass
class RunRecord:
    """What is known of one MLflow run.

    Attributes:
        id, name, status: as MLflow has them.
        params, tags: settings and labels, flat.
        figures: variant -> its figures, as in `metrics.json`.
        others: the run's other metrics, such as `train_seconds`.
    """

    id: str
    name: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    figures: dict[str, dict[str, float]]
    others: dict[str, float]

    @property
    def train_minutes(self) -> float | None:
        """Of the training; None where it did not come to its end."""
        seconds = self.others.get("train_seconds")
        return None if seconds is None else seconds / 60

    @property
    def reason(self) -> str:
        """Why it has no figures of variants; empty where it has."""
        if self.status == "FAILED":
            return f"failed: {self.tags.get('error', 'no reason recorded')}".splitlines()[0]
        if self.status == "RUNNING":
            return "still running, or ended without a word"
        if self.status == "KILLED":
            pruned = self.tags.get("pruned_why")
            return f"pruned by its search, {pruned}" if pruned else "stopped by its user"
        return "" if self.figures else "not evaluated"

    @property
    def data(self) -> tuple[str, str, str]:
        """Task, digest of the data that it was measured on, and their split: what has to be equal for a comparison.

        The folds of a data set count as one: they have the same test images, and val images of the same kind.
        """
        known = ("evaluate_common", "evaluate_digest", "data_common", "data_digest")
        digest = next((self.tags[tag] for tag in known if self.tags.get(tag)), "")
        return self.tags.get("task", ""), digest, self.params.get("evaluate.split", "")


def run_record(run_id: str, name: str, status: str, params: Mapping[str, str], metrics: Mapping[str, float],
                tags: Mapping[str, str]) -> RunRecord:  # fmt: skip
    """A run from what MLflow holds of it; the metric '<variant>/<figure>' belongs to a variant."""
    figures: dict[str, dict[str, float]] = {}
    others: dict[str, float] = {}
    for key, value in metrics.items():
        variant, slash, figure = key.partition("/")
        if slash and variant != "system":  # MLflow's own measurements of the machine
            figures.setdefault(variant, {})[figure] = value
        elif not slash:
            others[key] = value
    figures = {name: row for name, row in figures.items() if "size_bytes" in row}
    own = {key: value for key, value in tags.items() if not key.startswith("mlflow.")}
    return RunRecord(run_id, name, status, dict(params), own, figures, others)


@dataclass
class Row:
    """One line of the table: a variant of a run, or a run without variants."""

    run: RunRecord
    variant: str
    figures: Mapping[str, float]
    settings: dict[str, str]
    validation: float | None
    on_front: bool = False


@dataclass
class Group:
    """Runs of one task, measured on the same images.

    Attributes:
        task, digest, split, dataset: what they share.
        metric: key of the figure they are compared by; metric_name: what people call it.
        runs: at least one.
        columns: the settings in which they differ.
        variants: those shown; empty: all.
    """

    task: str
    digest: str
    split: str
    dataset: str
    metric: str
    metric_name: str
    runs: list[RunRecord]
    columns: list[str]
    variants: Sequence[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The group in words."""
        split = f", split {self.split}" if self.split else ""
        return f"{self.dataset or 'unknown data'}: {self.task or 'unknown task'}{split}, data {self.digest[:8] or '?'}"

    @cached_property
    def rows(self) -> list[Row]:
        """A row for each variant of each run, and one for each run without."""
        rows = []
        for run in self.runs:
            settings = {column: run.params.get(column, _ABSENT) for column in self.columns}
            validation = run.others.get(f"best_{self.metric}")
            shown = {
                name: figures for name, figures in run.figures.items() if not self.variants or name in self.variants
            }
            for name, figures in (shown or {"": {}}).items():
                rows.append(Row(run, name, figures, settings, validation))
        placed = [row for row in rows if self.points_of_row(row)]
        points = [point for row in placed for point in self.points_of_row(row)]
        for row, on_front in zip(placed, front_of(points), strict=True):
            row.on_front = bool(on_front)
        return rows

    def points_of_row(self, row: Row) -> list[Point]:
        """The row as a point of the trade-off; none where it lacks accuracy or cost."""
        return points_of({row.variant: row.figures}, self.metric, self.label(row.run))

    @property
    def points(self) -> list[Point]:
        """Every variant of every run that has accuracy and cost, with the interval of its accuracy."""
        points = [point for run in self.runs for point in points_of(run.figures, self.metric, self.label(run))]
        return [point for point in points if not self.variants or point.variant in self.variants]

    @property
    def shown(self) -> str:
        """The variant that the plots of a sweep are about, as the page of a single run chooses it; '' without any."""
        pooled: dict[str, dict[str, float]] = {}
        for point in self.points:
            row = pooled.setdefault(point.variant, {self.metric: point.accuracy, "size_bytes": point.size_bytes})
            row[self.metric] = max(row[self.metric], point.accuracy)
            row["size_bytes"] = min(row["size_bytes"], point.size_bytes)
        return variant_to_show(pooled, self.metric) or next(iter(pooled), "")

    def label(self, run: RunRecord) -> str:
        """The run in as few words as tell it from the others."""
        if len(self.runs) == 1:
            return ""
        if not self.columns:
            return run.id[:6]
        told = {column: run.params.get(column, _ABSENT) for column in self.columns[:3]}
        text = " ".join(f"{short(column)}={value}" for column, value in told.items())
        same = [other for other in self.runs if other is not run and told == {
            column: other.params.get(column, _ABSENT) for column in told}]  # fmt: skip
        return f"{text} {run.id[:6]}" if same else text

    @property
    def notes(self) -> list[str]:
        """What a reader has to be warned of."""
        notes = []
        for tag, word in (("cpu", "CPUs"), ("litert", "versions of LiteRT"), ("threads", "numbers of threads")):
            values = sorted({run.tags[tag] for run in self.runs if run.figures and tag in run.tags})
            if len(values) > 1:
                notes.append(f"Times were measured on different {word} ({', '.join(values)}): don't compare them.")
        changed = [run.id[:8] for run in self.runs if run.tags.get("git_dirty") == "True"]
        if changed:
            notes.append(f"Trained with uncommitted changes of the code: {', '.join(changed)}.")
        commits: dict[str, list[str]] = {}
        for run in self.runs:
            if run.figures and (commit := run.tags.get("git_commit", "unknown")) != "unknown":
                commits.setdefault(commit[:12], []).append(run.id[:8])
        if len(commits) > 1:
            named = "; ".join(f"{commit}: {', '.join(ids)}" for commit, ids in commits.items())
            means = "a mean over seeds and folds does not tell them apart"
            notes.append(f"Trained at different commits of the code, {means} ({named}).")
        return notes


def short(column: str) -> str:
    """A setting's name for headings: 'model' for 'model.name'."""
    return column.removesuffix(".name")


def group_runs(runs: Iterable[RunRecord], metric: str | None = None, variants: Sequence[str] = ()) -> list[Group]:
    """Put together what may be compared: one task, the same images.

    A run that was not evaluated joins the first group of its task and data.

    Args:
        runs: at least one.
        metric: key of the figure to compare by; None: each task's main metric.
        variants: those to show; empty: all.

    Raises:
        MiradaError: no run has such a variant or figure, or lower is better in it.
    """
    runs = list(runs)
    known = sorted({name for run in runs for name in run.figures})
    for name in variants:
        if known and name not in known:
            raise MiradaError(f"variants: no run has {name!r}, choose among {', '.join(known)}.")
    figures = sorted({key for run in runs for row in run.figures.values() for key in row})
    if metric is not None and (is_better_lower(metric) or (figures and metric not in figures)):
        good = ", ".join(key for key in figures if not is_better_lower(key))
        raise MiradaError(f"metric={metric} can't be compared by: choose one where higher is better, of {good}.")
    members: dict[tuple[str, str, str], list[RunRecord]] = {}
    for run in sorted(runs, key=lambda run: not run.figures):
        key = run.data
        if not run.figures:
            key = next((other for other in members if other[:2] == key[:2]), key)
        members.setdefault(key, []).append(run)
    return [_group(key, members[key], runs, metric, variants) for key in members]


def _group(
    key: tuple[str, str, str], members: list[RunRecord], order: list[RunRecord], metric: str | None,
    variants: Sequence[str],
) -> Group:  # fmt: skip
    task, digest, split = key
    members = sorted(members, key=order.index)
    main, name = ("", "")
    if task:
        main, name = get_task(task).main_metric, get_task(task).metric_name
    return Group(
        task=task,
        digest=digest,
        split=split,
        dataset=members[0].params.get("dataset", ""),
        metric=metric or main,
        metric_name=name if metric in (None, main) else str(metric),
        runs=members,
        columns=differing(members),
        variants=variants,
    )


def differing(runs: Sequence[RunRecord]) -> list[str]:
    """The settings with more than one value among these runs, the usual ones of a sweep first.

    Where a group's choice differs (`model.name`), its other keys are left out as far as they follow from it. A key that an
    evaluated run lacks counts as a value of its own, as some are recorded only where they are set (`quantize.device`); a run
    that was not evaluated may not have come to the stage that records it.
    """
    values: dict[str, list[str | None]] = {}
    for key in dict.fromkeys(key for run in runs for key in run.params):
        if shapes_result(key) and not key.startswith(_NO_SETTING):
            values[key] = [run.params.get(key, _ABSENT if run.figures else None) for run in runs]
    found = [key for key, column in values.items() if len({value for value in column if value is not None}) > 1]
    kept = []
    for key in found:
        name = f"{key.partition('.')[0]}.name"
        if key == name or name not in found or not _follows(values[key], values[name]):
            kept.append(key)
    return sorted(kept, key=lambda key: (_FIRST.index(key) if key in _FIRST else len(_FIRST), kept.index(key)))


def _follows(values: Sequence[str | None], choices: Sequence[str | None]) -> bool:
    """Whether each choice goes with one value."""
    pairs = {(choice, value) for choice, value in zip(choices, values, strict=True) if value is not None}
    return len(pairs) == len({choice for choice, _ in pairs})


def separation(groups: Sequence[Group]) -> str:
    """Why there is more than one group, in a sentence; empty for one."""
    if len(groups) < 2:
        return ""
    named = "; ".join(f"{group.title} ({', '.join(run.id[:8] for run in group.runs)})" for group in groups)
    return f"These runs differ in task or in the images they were measured on and are compared within {named}."
