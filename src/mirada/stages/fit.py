"""Fit: a board and data in; the best network that it can carry out, trained, int8 within the budget, tested and bundled.

What a network takes of a board is known before any training, so only what fits is trained: shortly at first, the best of it
longer, the best of all fully, by the stages of the pipeline. It is chosen by validation images; the test images are
looked at once, at the end.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mirada import tracking
from mirada.boards.carried import measure, why_not
from mirada.boards.judging import judge
from mirada.boards.limits import Limits, limits_of
from mirada.config import FitConfig
from mirada.config.influence import shaping_settings
from mirada.data.records import Dataset
from mirada.errors import MiradaError
from mirada.files import write_whole
from mirada.fitting.book import Book, Entry
from mirada.fitting.judging import Bench, Taken
from mirada.fitting.plan import Doing, Plan, Trained
from mirada.fitting.report import Final, count_entries, say_counts
from mirada.fitting.search import NothingFits, Search, require_optuna
from mirada.fitting.space import Candidate, Space, make_space
from mirada.stages.fitting import outcome
from mirada.stages.fitting.candidate_file import Added
from mirada.stages.fitting.front_memory import write_front_memory
from mirada.stages.fitting.record import Record, recorded
from mirada.stages.fitting.workshop import Workshop, hold_alone
from mirada.sweeps.fingerprint import code_digest
from mirada.sweeps.fit_settings import FitSettings
from mirada.tasks import get_task
from mirada.tracking.overview import told_once

_FOLDER = "fit"  # of the store
_KEPT = 2  # version of what a search keeps: an older one is begun anew
_SHORT_STEPS = 400  # of a first training: after fewer all networks look alike


def run(config: FitConfig, settings: FitSettings, *, told: str = "", sweep_dir: str | None = None) -> float:
    """Search within the minutes, and leave table, pictures, report and bundle in `config.output_dir`.

    Args:
        config: of the search. settings: of the stages.
        told: the overrides as typed; the same ones go on with a search that was killed.
        sweep_dir: where a sweep keeps its table; None: there is none.

    Returns:
        The main figure of the chosen one on val, as its last short training had it.

    Raises:
        MiradaError: the board can't be judged here, the data are unfit, nothing fits, or a stage fails.
    """
    began = time.monotonic()
    limits = _check(config, settings)
    store = Path(config.store_dir) / _FOLDER
    workshop = Workshop(config, settings)
    dataset = workshop.dataset(min(config.space.input_size), min(config.space.channels))
    _check_data(dataset, config, settings.stages["evaluate"].split)
    config = replace(config, short_epochs=config.short_epochs or _short_epochs(settings, dataset))
    space, digest = make_space(config.space, dataset.task), _digest(config, settings, dataset)
    workshop.folder = store / digest
    bench = _bench(config, settings, dataset)
    hold_alone(workshop.folder)
    book = Book(workshop.folder / "book.jsonl", space)
    if len(book):
        print(f"going on with a search of {book.seconds / 60:.1f} minutes and {len(book)} candidates", flush=True)
    with told_once(), recorded(settings.stages["train"].tracking, told) as record:
        search = _search(config, settings, (space, limits, book), bench, workshop, record, began)
        try:
            chosen, epochs = search.run()
        except NothingFits as error:
            sentence = outcome.say_nothing_fits(error, bench, limits)
            raise MiradaError(sentence) from error
        return _finish(config, (search, bench, workshop), record, (chosen, epochs), dataset, (sweep_dir, told))


def _check(config: FitConfig, settings: FitSettings) -> Limits:
    """Refuse what would end in nothing, before anything slow."""
    require_optuna()
    limits = limits_of(config.device)
    if reason := why_not(config.device):
        raise MiradaError(f"device={config.device.name} can't be judged here: {reason}")
    if (config.short_epochs or 1) > settings.stages["train"].epochs:
        raise MiradaError(
            f"short_epochs={config.short_epochs} is more than train.epochs={settings.stages['train'].epochs}: lower it."
        )
    if floats := [rung for rung in settings.stages["quantize"].ladder if "selective" in rung]:
        raise MiradaError(
            f"quantize.ladder holds {', '.join(floats)}, whose float operators take other memory than is judged before "
            "training: leave them out, as [calibration,qat] does."
        )
    tracking.check(settings.stages["train"].tracking)
    return limits


def _check_data(dataset: Dataset, config: FitConfig, tested: str) -> None:
    """Refuse data that nothing can be chosen by or tested on, or whose objects no head of the space can tell apart.

    Args:
        dataset: of the smallest input. config: of the search. tested: the split that the chosen one is tested on.
    """
    if not dataset.splits["val"]["images"]:
        raise MiradaError(
            f"{dataset.name} has no validation images, which candidates are chosen by: set data.split.val."
        )
    if not dataset.splits[tested]["images"]:
        raise MiradaError(
            f"{dataset.name} has no {tested} images, on which the chosen one is tested at the end: set data.split.{tested}."
        )
    if dataset.task != "detection":
        return
    sizes, largest = dataset.object_sizes(), max(config.space.input_size)
    if not sizes:
        raise MiradaError(f"{dataset.name} has no object in its training images: look at rejected.csv.")
    cell = min(stride or 8 for stride in config.space.head_stride)
    upper = sizes[-1] * largest / dataset.input_size
    if upper < cell:
        raise MiradaError(
            f"95 % of the objects of {dataset.name} are under {upper:.1f} pixels with space.input_size={largest}, less than "
            f"a cell of {cell}: add larger sizes, or cut photographs into tiles with data.tile.size."
        )


def _short_epochs(settings: FitSettings, dataset: Dataset) -> int:
    """Epochs that come to about so many steps, and leave the full training three times as many at least."""
    train = settings.stages["train"]
    steps = max(1, dataset.splits["train"]["images"] // train.batch_size)
    return max(1, min(math.ceil(_SHORT_STEPS / steps), train.epochs // 3))


def _digest(config: FitConfig, settings: FitSettings, dataset: Dataset) -> str:
    """What makes two searches the same, whatever time they have."""
    stages = {name: shaping_settings(stage) for name, stage in settings.stages.items()}
    networks = {name: asdict(model) for name, model in settings.models.items()}
    content = [
        _KEPT,
        stages,
        networks,
        asdict(config.device),
        asdict(config.space),
        config.short_epochs,
        config.io,
        config.in_strips,
        config.seed,
    ]
    content += [dataset.digest, code_digest("train"), code_digest("quantize")]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:20]


def _bench(config: FitConfig, settings: FitSettings, dataset: Dataset) -> Bench:
    added = Added.of(dataset, config.io, tuned="qat" in settings.stages["quantize"].ladder, strips=config.in_strips)

    def build(model: Any, task: str, input_size: int, channels: int, classes: int, io: str) -> bytes:
        from mirada.learning.quantization.untrained import untrained_int8
        from mirada.learning.tasks import learning_task

        content = untrained_int8(model, task, input_size, channels, classes)
        return added.to(content, task, input_size, channels, learning_task(task).output_names(model, classes))

    return Bench(
        config.device, settings.models, task=dataset.task, classes=len(dataset.classes), io=config.io,
        folder=Path(config.store_dir) / _FOLDER / "judged", build=build,
        code=f"{code_digest('quantize')} {added}",
    )  # fmt: skip


def _search(
    config: FitConfig,
    settings: FitSettings,
    what: tuple[Space, Limits, Book],
    bench: Bench,
    workshop: Workshop,
    record: Record,
    began: float,
) -> Search:
    def take(candidate: Candidate) -> Taken:
        taken = bench.take(candidate)
        print(f"{_minutes(search)} {candidate.title}: {_sizes(taken)}", flush=True)
        return taken

    def train(candidate: Candidate, epochs: int) -> Trained:
        print(f"{_minutes(search)} {candidate.title}: {epochs} epochs", flush=True)
        return workshop.train_shortly(candidate, epochs)

    plan = Plan(
        60 * config.minutes, config.short_epochs or 1, settings.stages["train"].epochs, config.most_trained,
        config.most_judged, config.seed,
    )  # fmt: skip
    search = Search(*what, plan, Doing(take, train, record.tell), began)
    return search


def _minutes(search: Search) -> str:
    return f"[{search.used / 60:.1f} min]"


def _sizes(taken: Taken) -> str:
    words = {"arena_bytes": "bytes of arena", "flash_bytes": "of flash", "milliseconds": "ms"}
    return ", ".join(f"{value:,.4g} {words[n]}" if n == "milliseconds" else f"{value:,.0f} {words[n]}"
                     for n, value in taken.figures().items())  # fmt: skip


def _finish(
    config: FitConfig,
    what: tuple[Search, Bench, Workshop],
    record: Record,
    chosen: tuple[Entry, int],
    dataset: Dataset,
    sweep: tuple[str | None, str],
) -> float:
    (search, bench, workshop), (entry, epochs) = what, chosen
    planned, task, folder = search.plan.epochs, get_task(dataset.task), Path(config.output_dir)
    print(f"{_minutes(search)} chosen: {entry.candidate.title}, trained fully: {epochs} epochs", flush=True)
    if epochs < planned:
        print(f"note: {config.minutes:g} minutes leave time for {epochs} of {planned} epochs", flush=True)
    done = workshop.finish(entry.candidate, epochs)
    record.tell(replace(entry, run_id=done.run_id))
    following = search.next_better(entry)
    carried = measure(done.bundle / "model.tflite", config.device)
    verdict = judge(carried, search.limits)
    files = outcome.write_candidates(
        folder, list(search.book), search.limits, config.device, entry.candidate.key, task.metric_name,
        Final(epochs, done.value),
    )  # fmt: skip
    files += write_front_memory(folder, list(search.book), bench, search.limits)
    picture, words = outcome.write_memory(folder, carried, search.limits, config.device.runtime == "tflm")
    metric = (task.main_metric, task.metric_name)
    lines = [say_counts(list(search.book), len(search.space))]
    lines += outcome.say_chosen(entry, done, carried, verdict, config.device, metric)
    lines += [done.accuracy.sentence(), outcome.say_next(following, search.limits), *words]
    print(*lines, sep="\n", flush=True)
    best = done.figures["best"]
    search.keep_time()
    result = {
        "epochs": epochs, "val": done.value, "figures": done.figures, "board_accuracy": done.accuracy.record(),
        "budget": outcome.budget_of(done.ladder), "verdict": verdict.record(), "minutes": search.used / 60,
        **count_entries(list(search.book)), "said": lines,
    }  # fmt: skip
    _write_result(folder / "fit.json", config, entry, result)
    counts = {name: float(value) for name, value in count_entries(list(search.book)).items()}
    own = done.accuracy.figures() | {f"chosen/{name}": value for name, value in carried.figures().items()}
    figures = counts | own | {f"chosen/{task.main_metric}": best[task.main_metric], "seconds": search.used}
    record.end(figures, [*files, picture, folder / "fit.json"])
    note = outcome.say_next(following, search.limits)
    row = outcome.row_of(config.device, entry, best[task.main_metric], best.get("drop"), carried, note, sweep[1])
    if sweep[0] is not None:
        outcome.add_row(Path(sweep[0]), row, task.metric_name)
    print(f"{search.used / 60:.1f} of {config.minutes:g} minutes; bundle: {done.bundle}; all candidates: {files[0]}")
    outcome.require_limits(verdict, config.device, done.bundle)
    return float(entry.value or 0.0)


def _write_result(path: Path, config: FitConfig, entry: Entry, found: Mapping[str, Any]) -> None:
    """All that was found, as JSON."""
    candidate = {"chosen": entry.candidate.title, "values": dict(entry.candidate.values)}
    untrained = asdict(entry.taken) if entry.taken else {}
    result = {"device": config.device.name, **candidate, "untrained": untrained, **found}
    write_whole(path, json.dumps(result, indent=2, default=float) + "\n")
