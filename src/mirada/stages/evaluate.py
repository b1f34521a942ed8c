"""Evaluate: the `.tflite` variants and a split of the data in, figures, plots, pictures and one page out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mirada import tracking
from mirada.boards.asking import wanted_judge
from mirada.boards.carried import FIGURES
from mirada.config import EvaluateConfig
from mirada.config.idle import Facts, tell_idle
from mirada.config.influence import shaping_settings
from mirada.data.records import Dataset
from mirada.data.stored_data import open_dataset
from mirada.errors import MiradaError
from mirada.evaluation.errors import find_errors
from mirada.evaluation.figures import COST_KEYS, DROP
from mirada.evaluation.limits import Breach, check_limits
from mirada.evaluation.measuring import (
    LOADS,
    Measured,
    accuracy_figures,
    check_fit,
    decoding_of,
    measure_accuracy,
    measure_cost,
    viewing_of,
)
from mirada.evaluation.on_board import OnBoard, Shipped, read_found, read_on_board
from mirada.evaluation.page import Report
from mirada.evaluation.pareto import variant_to_show
from mirada.evaluation.pictures import draw_pictures
from mirada.evaluation.processor import BUDGET, explain_int8, instruction_sets, recommend
from mirada.evaluation.provenance import describe_protocol, describe_provenance, provenance_tags, resampled
from mirada.evaluation.records.published import check_published
from mirada.evaluation.records.quantization import QuantizationRecord, read_quantization
from mirada.evaluation.records.training import read_training
from mirada.evaluation.report import OUTPUTS, write_report
from mirada.evaluation.runtimes import Runtimes
from mirada.evaluation.weaknesses.gathering import find_weaknesses, flatten_figures
from mirada.export.outside.beside import show_runtimes
from mirada.export.registry import compare_on_same_images, register_model
from mirada.inference.card import Card, load_card
from mirada.inference.tiling import tile_side
from mirada.inference.variants import REFERENCE, load_variants
from mirada.sweeps import job as sweep_job
from mirada.tables import ms_text, signed_text
from mirada.tasks import get_task
from mirada.tasks.base import Figures
from mirada.terminal import stage_progress
from mirada.tracking.notes import MAIN_METRIC
from mirada.tracking.overview import describe_run, tell_runs
from mirada.workers.folder_lock import alone_in, alone_in_output_dir

_FOR_DEVICE = "device_recommendation"  # tag of MLflow


@alone_in_output_dir
def run(config: EvaluateConfig) -> dict[str, dict[str, float]]:
    """Measure every variant and write the report.

    Returns:
        Variant -> its figures, as in `metrics.json`.

    Raises:
        MiradaError: an earlier stage is missing, a file is damaged, data and model do not fit, or, after everything is
            written, a limit is not kept.
    """
    return _evaluate(config)


def run_shipped(config: EvaluateConfig, shipped: Shipped) -> dict[str, dict[str, float]]:
    """As `run`, with what a board makes of the file that leaves for it, and other kernels' answers to that file."""
    with alone_in(Path(config.output_dir)):
        return _evaluate(config, shipped)


def _evaluate(config: EvaluateConfig, shipped: Shipped | None = None) -> dict[str, dict[str, float]]:
    started = time.perf_counter()
    check_published(config.published)
    card, dataset = load_card(config.model_dir), open_dataset(config.data_dir)
    notes, task = check_fit(card, dataset, config), get_task(card.task)
    variants = load_variants(Path(config.variants_dir))
    _check_judging(config, card, variants, shipped)
    training, quantization = read_training(Path(config.model_dir)), read_quantization(Path(config.variants_dir))
    if card.run_id:
        tracking.check(config.tracking)
    told = tell_idle(config, Facts(card.task, tiles=tile_side(card, viewing_of(config)) > 0))
    for note in notes + ([told] if told else []):
        print(f"note: {note}", flush=True)
    with stage_progress() as progress:
        measured = measure_accuracy(config, card, dataset, variants, progress)
        figures = measure_cost(config, card, dataset, variants, progress)
        figures = {name: accuracy_figures(config, task, measured, name) | figures[name] for name in variants}
        shown = variant_to_show(figures, task.main_metric)
        on_board = read_on_board(Path(config.variants_dir), variants, shown or REFERENCE, config.wanted_device, shipped)
        figures = {name: row | on_board.figures(name) for name, row in figures.items()}
        weaknesses = find_weaknesses(config, card, dataset, variants, measured, shown, progress)
        beside = (
            shipped.beside if shipped else _show_runtimes(config, card, dataset, variants, shown or REFERENCE, progress)
        )
    results, truths = measured.results, measured.truths
    advice = _advise(figures, task, quantization, on_board)
    report = Report(
        task=task,
        dataset=dataset.name,
        split=config.split,
        labels=card.labels,
        images=len(truths),
        objects=sum(int(np.count_nonzero(~truth.ignore)) for truth in truths),
        figures=figures,
        results=results,
        bootstrap_samples=config.bootstrap_samples,
        notes=notes,
        pictures=draw_pictures(config, card, dataset, measured, shown),
        training=training,
        quantization=quantization,
        published=config.published,
        protocol=describe_protocol(config, LOADS, task, measured),
        provenance=describe_provenance(card, dataset, training),
        resampled=resampled(measured),
        runtimes=beside,
        errors=find_errors(card, truths, measured.predictions, shown),
        weaknesses=weaknesses,
        advice=[sentence for tag, sentence in advice.items() if tag != _FOR_DEVICE],  # that has a section of its own
        on_board=on_board,
    )
    output_dir = Path(config.output_dir)
    write_report(output_dir, report)
    _print(figures, task, output_dir / "index.html", advice)
    with tracking.resume_run(config.tracking, card) as mlflow_run:
        _track(mlflow_run, config, figures, time.perf_counter() - started)
        mlflow_run.log_metrics(flatten_figures(weaknesses.figures()))
        mlflow_run.set_tags(provenance_tags(dataset) | {MAIN_METRIC: task.main_metric} | advice)
        breaches = _judge(config, card, dataset, variants, measured, figures)
    if mlflow_run.delivered and mlflow_run.id:
        describe_run(mlflow_run.id, str((output_dir / "index.html").absolute()))
        if sweep_job.current() is None:
            tell_runs(config.tracking)
    if breaches:
        raise MiradaError(" ".join(breach.sentence for breach in breaches))
    return figures


def _show_runtimes(
    config: EvaluateConfig,
    card: Card,
    dataset: Dataset,
    variants: Mapping[str, Path],
    name: str,
    progress: Progress,
) -> Runtimes | None:
    if not config.runtimes:
        return None
    bar = progress.add_task("other kernels", total=1)
    shown = show_runtimes(name, variants[name], card, dataset, config.split, config.runtimes, decoding_of(config))
    progress.advance(bar)
    return shown


def _check_judging(config: EvaluateConfig, card: Card, variants: Mapping[str, Path], shipped: Shipped | None) -> None:
    """Refuse, before the work, limits on unknown figures, an absent judged variant or device, a registration without a run.

    Raises:
        MiradaError: the sentence names the key.
    """
    if config.judged is not None and config.judged not in variants:
        raise MiradaError(
            f"judged={config.judged} is not among the variants {', '.join(variants)}: choose one of them."
        )
    if config.wanted_device is not None:
        wanted_judge(config.wanted_device)
    if config.register and card.run_id is None:
        raise MiradaError(
            f"register={config.register} needs the MLflow run of the model in {config.model_dir}, and its training was not "
            "tracked: train with tracking.enabled=true, or leave register out."
        )
    task = get_task(card.task)
    columns = [column.key for column in (*task.main_columns, *task.more_columns)]
    boards = FIGURES if shipped or config.wanted_device or read_found(Path(config.variants_dir)) else ()
    check_limits(dict.fromkeys((*columns, *DROP, *COST_KEYS, *boards), 0.0), config.limits)


def _judge(
    config: EvaluateConfig,
    card: Card,
    dataset: Dataset,
    variants: Mapping[str, Path],
    measured: Measured,
    figures: Mapping[str, Mapping[str, float]],
) -> list[Breach]:
    """Hold one variant against the limits, and register it where it keeps them and a name is given."""
    name = config.judged or variant_to_show(figures, get_task(card.task).main_metric) or REFERENCE
    breaches = check_limits(figures[name], config.limits, name)
    if config.register and not breaches:
        example = next(dataset.whole_photographs(config.split)).image
        compare = compare_on_same_images(config, dataset, measured.results[name], measured.judging)
        done = register_model(card, variants[name], name, figures[name], compare, name=config.register, example=example)
        print(done.sentence, flush=True)
    return breaches


def _advise(
    figures: Mapping[str, Mapping[str, float]], task: Figures, quantization: QuantizationRecord, on_board: OnBoard
) -> dict[str, str]:
    """Sentences on this processor and on the wanted device, under the names of their tags in MLflow."""
    budget = float(quantization.ladder.get("max_drop", BUDGET))
    advice = {"recommendation": recommend(figures, task.main_metric, budget)}
    if why := explain_int8(figures, instruction_sets()):
        advice["int8_speed"] = why
    on_board.advise(figures, task.main_metric, budget)
    if on_board.advice.sentence:
        advice[_FOR_DEVICE] = on_board.advice.sentence
    return advice


def _print(figures: Mapping[str, Mapping[str, float]], task: Figures, page: Path, advice: Mapping[str, str]) -> None:
    head = ("variant", *(column.heading for column in task.main_columns), "drop [95 %]", "MB", "p50 ms", "p95 ms")
    table = Table(*head, title="evaluate", box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name, row in figures.items():
        drop = "{} [{}, {}]".format(*(signed_text(row[key]) for key in ("drop", "drop_low", "drop_high")))
        table.add_row(
            name,
            *(f"{row[column.key]:.{column.digits}f}" if column.key in row else "–" for column in task.main_columns),
            "" if name == REFERENCE else drop.replace("[", r"\["),
            f"{row['size_bytes'] / 1e6:.2f}",
            ms_text(row["latency_ms_p50"]),
            ms_text(row["latency_ms_p95"]),
        )
    Console().print(table)
    for sentence in advice.values():
        print(sentence)
    print(f"page: {page}")


def _track(
    mlflow_run: tracking.Run, config: EvaluateConfig, figures: Mapping[str, Mapping[str, float]], seconds: float
) -> None:
    flat = {f"{name}/{key}": value for name, row in figures.items() for key, value in row.items()}
    mlflow_run.log_metrics(flat | {"evaluate_seconds": seconds})
    settings = shaping_settings(config, ("published", "register"))
    mlflow_run.log_params({f"evaluate.{key}": value for key, value in settings.items()})
    output_dir = Path(config.output_dir)
    for path in (output_dir / name for name in OUTPUTS if (output_dir / name).exists()):
        name = path.name
        mlflow_run.log_artifacts(path, f"evaluate/{name}" if path.is_dir() else "evaluate")
