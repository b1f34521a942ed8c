"""Train: shards in, `model.keras`, `model.json` (the card), `history.csv`, `batch.png` and `checkpoints/` out."""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mirada import tracking
from mirada.config import TrainConfig
from mirada.config.idle import Facts, tell_idle
from mirada.data.records import Dataset
from mirada.data.stored_data import open_dataset
from mirada.files import write_whole, written_aside
from mirada.inference.card import Card, save_card
from mirada.stages.training.batch_sheet import BATCH, write_batch
from mirada.stages.training.checks import check_training
from mirada.stages.training.record import RANGE_TEST, TIMINGS, record_results, record_training
from mirada.sweeps import job as sweep_job
from mirada.sweeps.fingerprint import job_key
from mirada.sweeps.runs import FinishedRun
from mirada.sweeps.search import pruning
from mirada.tasks import get_task
from mirada.terminal import epoch_progress
from mirada.tracking.overview import tell_runs
from mirada.workers.folder_lock import alone_in
from mirada.workers.peers import Cluster, meet, read_cluster

if TYPE_CHECKING:
    from mirada.learning.devices import Devices
    from mirada.learning.input_timing import InputTiming
    from mirada.learning.training import Trainer


def run(config: TrainConfig) -> float:
    """Train one model and leave it, with its card, in `config.output_dir`.

    Where TF_CONFIG names several workers, all of them run this and train together; the first, the chief, writes and reports.

    Returns:
        The best validation figure (the task's main metric), for sweepers; in a sweep, that of the run which has finished
        with the same settings, data and code, and nothing is trained.

    Raises:
        MiradaError: the data are missing, damaged or unfit; the devices are; the loss is not finite; another
            worker is gone, or TF_CONFIG is broken.
        Pruned: a search stops the training as hopeless.
    """
    cluster = read_cluster()
    dataset = open_dataset(config.data_dir, verify=True)  # before TensorFlow loads: a mistake should not wait for it
    check_training(config, dataset, cluster)
    if told := tell_idle(config, _facts(dataset, cluster)):
        print(told, flush=True)
    task = get_task(dataset.task)
    if config.learning_rate is None:
        config = replace(config, learning_rate=task.learning_rate)
    if cluster and not cluster.is_chief:
        return _assist(config, dataset, cluster)
    tracking.check(config.tracking)
    key = job_key("train", config, {"data": dataset.digest})
    sweep_job.note(metric=f"best_{task.main_metric}", metric_name=task.metric_name)
    if finished := sweep_job.finished_job(config, key):
        return _take_over(finished, task.main_metric)
    with alone_in(Path(config.output_dir)):
        return _train(config, dataset, cluster, key)


def _train(config: TrainConfig, dataset: Dataset, cluster: Cluster | None, key: str) -> float:
    """Train, save, record and report; returns the best validation figure."""
    trainer, naive = _prepare(config, dataset, cluster)
    with record_training(trainer, key) as mlflow_run:
        started = time.perf_counter()
        with trainer.devices.watched():
            _fit(trainer, config, mlflow_run)
        seconds = time.perf_counter() - started
        _save(trainer, trainer.card, Path(config.output_dir))
        _write_timings(naive, trainer, Path(config.output_dir))
        record_results(mlflow_run, trainer, seconds)
    _tell_result(trainer, seconds)
    if mlflow_run.delivered and sweep_job.current() is None:
        tell_runs(config.tracking)
    return trainer.state.best_metric


def _facts(dataset: Dataset, cluster: Cluster | None) -> Facts:
    validated = dataset.splits["val"]["images"] > 0
    workers = cluster.workers if cluster else 1
    return Facts(dataset.task, len(dataset.classes), dataset.channels, validated, workers)


def _take_over(finished: FinishedRun, main_metric: str) -> float:
    """The best figure of a run that has done this job already; a search learns its course."""
    history = pruning.read_history(Path(finished.output_dir) / "history.csv")
    pruning.watch().finish(history, f"val_{main_metric}")
    return finished.metrics.get(f"best_{main_metric}", finished.metrics["best_epoch"])


def _prepare(config: TrainConfig, dataset: Dataset, cluster: Cluster | None) -> tuple[Trainer, InputTiming | None]:
    """The trainer, as far as it came before where it is resumed, and the times of the naive input if they are wanted."""
    output_dir = Path(config.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    devices = _devices(config, cluster)
    from mirada.learning.training_card import make_card

    card = make_card(config, dataset)
    naive = _time_naive(config, dataset, devices, card)
    trainer, resumed = _trainer(config, dataset, devices, card, output_dir)
    if config.resume:
        print(_tell_resumed(trainer) if resumed else "nothing to resume: starting at epoch 1")
    return trainer, naive


def _tell_resumed(trainer: Trainer) -> str:
    """After which epoch, and what another number of epochs means for the learning rate."""
    epochs, begun, told = trainer.config.epochs, trainer.begun_epochs, f"resuming after epoch {trainer.state.epoch}"
    if epochs == begun:
        return told
    told += f", to epochs={epochs} where {begun} were planned"
    if trainer.config.schedule == "constant" or trainer.state.epoch in (0, epochs):
        return told
    return (
        f"{told}: from here the learning rate follows the cosine of {epochs} epochs, "
        "so the result is not that of so many in one go"
    )


def _tell_result(trainer: Trainer, seconds: float) -> None:
    figures = {f"val_{key}": value for key, value in trainer.card.metrics.items()}
    path = Path(trainer.config.output_dir) / "model.keras"
    print(f"{path}: best epoch {trainer.state.best_epoch}, {_figures(figures)}, {seconds:.0f} s")


def _assist(config: TrainConfig, dataset: Dataset, cluster: Cluster) -> float:
    """Train along with the chief; what TensorFlow has every worker write is thrown away."""
    devices = _devices(config, cluster)
    from mirada.learning.training_card import make_card

    with tempfile.TemporaryDirectory(prefix="mirada-worker-") as folder:
        along = replace(config, output_dir=folder)
        trainer, _ = _trainer(along, dataset, devices, make_card(along, dataset), Path(config.output_dir))
        with devices.watched():
            for _ in trainer.fit():
                pass
    return trainer.state.best_metric


def _devices(config: TrainConfig, cluster: Cluster | None) -> Devices:
    """Where to train, once all workers are there, and what the user should know of it."""
    if cluster:
        meet(cluster, config.peer_wait_s, tell=lambda text: print(text, file=sys.stderr, flush=True))
    from mirada.learning.devices import choose_devices

    devices = choose_devices(config.gpus, cluster)
    print(devices.sentence, flush=True)
    if config.precision != "fp32" and not devices.gpus_physical and devices.is_chief:
        print(f"precision={config.precision} saves time on a GPU, not on a CPU")
    return devices


def _trainer(
    config: TrainConfig, dataset: Dataset, devices: Devices, card: Card, output_dir: Path
) -> tuple[Trainer, bool]:
    """The trainer, and whether it goes on from what lies in `output_dir`."""
    from mirada.learning.training import Trainer

    with devices.watched(config.peer_wait_s):
        trainer = Trainer(config, dataset, devices, card)
        return trainer, config.resume and trainer.restore(output_dir / "checkpoints")


def _time_naive(config: TrainConfig, dataset: Dataset, devices: Devices, card: Card) -> InputTiming | None:
    """Train `compare_epochs` epochs with the naive input, for their times; not again in a resumed training."""
    folder = Path(config.output_dir)
    if config.resume and (folder / "checkpoints/state.json").is_file():
        return None
    for name in (*TIMINGS, RANGE_TEST):
        (folder / name).unlink(missing_ok=True)
    if not config.compare_epochs:
        return None
    from mirada.learning.input_timing import time_input

    def done(figures: Mapping[str, float]) -> None:
        print(f"naive input: {figures['seconds']:.1f} s an epoch, {_figures(figures)}", flush=True)

    return time_input(config, dataset, devices, card, config.compare_epochs, done=done)


def _write_timings(naive: InputTiming | None, trainer: Trainer, output_dir: Path) -> None:
    if naive:
        from mirada.learning.input_timing import own_timing, write_timings

        write_timings([naive, own_timing(trainer)], output_dir)


def _fit(trainer: Trainer, config: TrainConfig, mlflow_run: tracking.Run) -> None:
    watch, curve = pruning.watch(), f"val_{trainer.task.main_metric}"
    folder = Path(config.output_dir)
    _find_learning_rate(trainer, folder)
    with epoch_progress(config.epochs, trainer.input.steps, trainer.state.epoch + 1) as advance:
        for figures in trainer.fit(advance, tell=_tell):
            print(f"epoch {trainer.state.epoch}/{config.epochs}: {_figures(figures)}", flush=True)
            mlflow_run.log_metrics(figures, step=trainer.state.epoch)
            _write_history(trainer.state.history, folder / "history.csv")
            if trainer.state.epoch == 1:
                write_batch(trainer, folder / BATCH)
            if trainer.state.epoch < config.epochs:
                watch.check(trainer.state.history, curve)
    watch.finish(trainer.state.history, curve)
    if trainer.state.epoch < config.epochs:
        print(f"stopped early: no better val {get_task(trainer.dataset.task).main_metric} in {config.patience} epochs")


def _find_learning_rate(trainer: Trainer, folder: Path) -> None:
    """The range test of learning_rate=auto, and its picture."""
    if test := trainer.find_learning_rate(tell=_tell):
        from mirada.learning.course.range_test import draw_range_test

        write_whole(folder / RANGE_TEST, draw_range_test(test))


def _tell(text: str) -> None:
    print(text, flush=True)


_SHOWN = {
    "loss": "loss {:.3f}",
    "images_per_s": "{:.1f} images/s",
    "wait_share": "{:.1%} waiting for input",
}


def _figures(figures: Mapping[str, float]) -> str:
    """The loss, the validation's first two figures and the speed, as far as they are there."""
    measured = [key for key in figures if key.startswith("val_") and not key.endswith(("_low", "_high"))]
    shown = {key: f"val {key.removeprefix('val_')} {{:.3f}}" for key in measured[:2]}
    return ", ".join(text.format(figures[key]) for key, text in (_SHOWN | shown).items() if key in figures)


def _write_history(history: list[dict[str, float]], path: Path) -> None:
    columns = list(dict.fromkeys(key for row in history for key in row))
    with written_aside(path) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)


def _choose_min_score(trainer: Trainer, card: Card) -> None:
    """Set the card's `min_score` by the validation images; where the goal is out of reach it stays, and that is said."""
    config, task = trainer.config, get_task(card.task)
    if not trainer.dataset.splits["val"]["images"]:
        return
    seen = trainer.predict("val")
    score = task.choose_min_score(*seen, card.labels, config.tune_min_score, config.min_score_share)
    if score is None:
        print(
            f"note: no score has the {config.tune_min_score} that tune_min_score wants on val: {card.min_score} stays."
        )
    else:
        card.min_score = score


def _choose_threshold(trainer: Trainer, card: Card) -> None:
    """Set the card's `threshold` by the validation images; where the goal is out of reach it stays, and that is said."""
    config, task = trainer.config, get_task(card.task)
    if not trainer.dataset.splits["val"]["images"]:
        return
    share = config.threshold_precision if config.tune_threshold == "precision" else config.threshold_recall
    threshold = task.choose_threshold(*trainer.predict("val"), config.tune_threshold, share)
    if threshold is None:
        print(
            f"note: no threshold has the {config.tune_threshold} that tune_threshold wants on val: {card.threshold} stays."
        )
    else:
        card.threshold = threshold


def _save(trainer: Trainer, card: Card, output_dir: Path) -> None:
    """Write the model, then its card, each whole or not at all."""
    with written_aside(output_dir / "model.keras") as part:
        trainer.best_model().save(part)
    best = trainer.state.history[trainer.state.best_epoch - 1]
    card.metrics = {key.removeprefix("val_"): value for key, value in best.items() if key.startswith("val_")}
    task = get_task(card.task)
    if trainer.config.tune_threshold != "none":
        _choose_threshold(trainer, card)
    if task.counts_objects and trainer.config.tune_min_score != "none":
        _choose_min_score(trainer, card)
    if trainer.config.measure_train:
        measured = task.evaluate(*trainer.predict("train"), card.labels).figures
        trainer.state.history[-1] |= {f"train_{key}": value for key, value in measured.items()}
    card.trained_at = datetime.now(UTC).isoformat(timespec="seconds")
    save_card(card, output_dir / "model.json")
    _write_history(trainer.state.history, output_dir / "history.csv")
