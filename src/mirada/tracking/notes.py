"""Descriptions that MLflow shows over its runs: what came out, where the page is, what the figures mean."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mirada.tables import ms_text, signed_text

NOTE = "mlflow.note.content"
OWN = "mirada.note"
"""Tag beside a description: the digest of what was written. Another text is a person's, and stays."""
MAIN_METRIC = "main_metric"
"""Tag of a run: the key of its task's main figure."""
_REFERENCE = "float32"
_ROWS = 20
MEANINGS = {
    "<variant>/map50": "mean average precision at IoU 0.5 on the judged split; map50_95 over IoU 0.5 to 0.95",
    "<variant>/accuracy": "share of the images whose label was found",
    "<variant>/mean_iou": "mean overlap of the found box with the true one",
    "<variant>/drop": "main figure of float32 minus the variant's; drop_low and drop_high are its 95 % interval",
    "<variant>/size_bytes": "the .tflite file; size_gzip_bytes after gzip",
    "<variant>/latency_ms_p50": "median time of an inference with one thread; _all_threads with all, p95 the slow end",
    "<variant>/peak_memory_mb": "resident memory of a process that loads and runs it",
    "<variant>/macs": "multiplications with additions of an inference; bytes_moved: weights and tensors once each",
    "<variant>/relative_time": "latency_ms_p50 in times of a reference convolution, timed in the same minutes",
    "<variant>/fits_device": "1 where it fits the wanted device, else 0; int8_share: of its multiplications, those of int8",
    "best_<figure>": "on validation images, of the epoch that was kept",
    "train_seconds": "the epochs; train_images_per_s without the first",
    "scaling_efficiency": "speed-up over the smallest job divided by the resources it took more; 1 is ideal",
}
"""Figure as MLflow has it -> what it tells."""


@dataclass(frozen=True)
class Noted:
    """What the descriptions need of a run.

    Attributes:
        id, name: of MLflow.
        params, tags: as MLflow has them.
        metrics: the last value of each.
    """

    id: str
    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def variants(self) -> list[str]:
        """Those that were measured, float32 first."""
        names = {key.removesuffix("/size_bytes") for key in self.metrics if key.endswith("/size_bytes")}
        return sorted((name for name in names if "/" not in name), key=lambda name: (name != _REFERENCE, name))


def digest(text: str) -> str:
    """What OWN holds of a description."""
    return f"{zlib.crc32(text.encode()):08x}"


def note_tags(text: str) -> dict[str, str]:
    """The tags of a description of ours."""
    return {NOTE: text, OWN: digest(text)}


def may_replace(tags: Mapping[str, str]) -> bool:
    """Whether there is no description yet, or none but ours."""
    old = tags.get(NOTE, "")
    return not old or tags.get(OWN) == digest(old)


def run_note(run: Noted, page: str) -> str:
    """The variants of a run side by side, and where its page is.

    Args:
        run: evaluated.
        page: the file on the machine that evaluated.
    """
    main, rows = run.tags.get(MAIN_METRIC, ""), []
    for name in run.variants:
        cells = [name, _figure(run, f"{name}/{main}", 3), _drop(run, name), _figure(run, f"{name}/size_bytes", 2, 1e6)]
        rows.append([*cells, ms_text(run.metrics.get(f"{name}/latency_ms_p50"))])
    text = _table(["variant", main or "main figure", "drop [95 %]", "MB", "p50 ms"], rows)
    told = ("recommendation", "int8_speed", "device_recommendation")
    extra = "".join(f"\n\n{run.tags[key]}" for key in told if key in run.tags)
    return f"{text}{extra}\n\nThe page: `{page}`, and `evaluate/index.html` among the artifacts."


def experiment_note(runs: Sequence[Noted], views: Sequence[tuple[str, str]]) -> str:
    """The last runs of an experiment side by side, ways to its views, and what the figures mean.

    Args:
        runs: the last one first.
        views: words and the address below the server.
    """
    head = ["run", "data", "main figure", _REFERENCE, "int8", "drop", "MB", "p50 ms", "minutes"]
    rows = [_row(run) for run in runs if run.tags.get(MAIN_METRIC)][:_ROWS]
    links = " · ".join(f"[{words}]({where})" for words, where in views)
    meanings = _table(["figure", "meaning"], [[f"`{key}`", text] for key, text in MEANINGS.items()])
    return f"{links}\n\n{_table(head, rows)}\n\n{meanings}"


def _row(run: Noted) -> list[str]:
    main = run.tags[MAIN_METRIC]
    measured = bool(run.variants)
    return [
        run.name,
        run.params.get("dataset", ""),
        main if measured else f"best_{main}",
        _figure(run, f"{_REFERENCE}/{main}" if measured else f"best_{main}", 3),
        _figure(run, f"int8/{main}", 3),
        _drop(run, "int8"),
        _figure(run, "int8/size_bytes", 2, 1e6),
        ms_text(run.metrics.get("int8/latency_ms_p50")),
        _figure(run, "train_seconds", 1, 60),
    ]


def _figure(run: Noted, key: str, digits: int, divisor: float = 1.0) -> str:
    value = run.metrics.get(key)
    return "–" if value is None else f"{value / divisor:.{digits}f}"


def _drop(run: Noted, name: str) -> str:
    values = [run.metrics.get(f"{name}/{key}") for key in ("drop", "drop_low", "drop_high")]
    if name == _REFERENCE or None in values:
        return ""
    return "{} [{}, {}]".format(*(signed_text(value) for value in values if value is not None))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
