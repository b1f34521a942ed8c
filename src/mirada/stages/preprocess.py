"""The stage `preprocess`: raw images and annotations in, TFRecord shards of network inputs out."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from mirada import tracking
from mirada.config import PreprocessConfig
from mirada.config.idle import Facts, tell_idle
from mirada.data import records
from mirada.data.alike.groups import CROPS_AT_MOST, Group, alike
from mirada.data.alike.reading import read_hashes
from mirada.data.annotations import RawImage, Rejected, count_kept, count_objects
from mirada.data.formats import FORMATS
from mirada.data.formats.auto import settle
from mirada.data.inputs import (
    Settings,
    Unit,
    count_boxes,
    make_record,
    plan,
    read_image,
    settings_of,
    settle_depth,
)
from mirada.data.objects import choose_classes, count_hidden, single_out_all
from mirada.data.photographs import JUDGED, make_photograph, plan_photographs
from mirada.data.shards import Spool, write_shards
from mirada.data.sources import list_folder
from mirada.data.splits.assignment import assign_images
from mirada.data.splits.checks import check_classes, check_judged, check_sizes, leaks, list_left_out
from mirada.data.splits.shares import order_key
from mirada.data.stored_data import Target, disk_errors, open_target
from mirada.data.summary import describe_origin, describe_split, main_reason, say, say_split, summarise, write_rejected
from mirada.errors import MiradaError
from mirada.storage import is_url
from mirada.sweeps import job as sweep_job
from mirada.sweeps.fingerprint import job_key
from mirada.terminal import image_progress
from mirada.workers.executors import WorkerExecutor, make_executor, map_bounded
from mirada.workers.usage import UsageMeter

# Imported once for all workers.
PRELOAD = ("mirada.data.inputs", "mirada.cli", "PIL.JpegImagePlugin", "PIL.PngImagePlugin")


class _Work:
    """What one run needs all along: its settings, its workers, its progress bar and the files it leaves out."""

    def __init__(
        self, config: PreprocessConfig, executor: WorkerExecutor, progress: Progress, notes: list[str]
    ) -> None:
        self.config = config
        self.executor = executor
        self.progress = progress
        self.rejected: set[Rejected] = set()
        self.notes = notes  # what was taken for what

    def map(self, function: Any, items: list[Any], what: str, name: Any) -> Iterable[Any]:
        """Apply a function in the workers, with a bar."""
        task: TaskID = self.progress.add_task(what, total=len(items))
        # Few images go in smaller chunks, so that all workers come to their end at about the same time.
        workers = self.executor.workers
        chunk, window = max(1, min(self.config.chunk_images, len(items) // (32 * workers))), 3 * workers
        advance = partial(self.progress.advance, task)
        return map_bounded(self.executor, function, items, chunk=chunk, window=window, name=name, on_done=advance)


def run(config: PreprocessConfig) -> None:
    """Read, split, cut, scale and store every usable image.

    Writes `{train,val,test}-00000-of-000NN.tfrecord`, `dataset.json` and `rejected.csv` into `config.output_dir`, all at
    once when all is done, and `<output_dir>.timing.json` beside it. A job of a sweep has a run in MLflow, and does nothing
    where one has finished with the same settings, raw files and code, and its data set is still there.

    Raises:
        MiradaError: raw data is missing or can't make a data set, a worker died, the disk is full, or a store or cluster
            doesn't answer.
    """
    raw_dir = _raw_folder(config)
    data, notes = settle(config.data, raw_dir)
    config = replace(config, data=data)
    if told := tell_idle(config, Facts(config.data.task)):
        print(told, flush=True)
    digest, known_by = _look_over(raw_dir)
    key = job_key("preprocess", config, {"raw": digest})
    if sweep_job.finished_job(config, key, needs="dataset.json"):
        return
    recorded = replace(config.tracking, enabled=config.tracking.enabled and sweep_job.in_recorded_sweep())
    tags = sweep_job.job_tags(key, config.output_dir)
    with (
        open_target(config.output_dir) as target,
        tracking.start_run(recorded, sweep_job.job_name(config.data.name), tags=tags) as mlflow_run,
    ):
        sweep_job.note(mlflow_run.id)
        mlflow_run.log_params(sweep_job.params_of(config))
        folder, timing = _make(config, raw_dir, known_by, target, notes)
        mlflow_run.log_metrics(timing)
        sweep_job.note(figures=timing)
        for name in ("dataset.json", "rejected.csv"):
            mlflow_run.log_artifacts(folder / name, "preprocess")


def _raw_folder(config: PreprocessConfig) -> Path:
    """The raw folder, or a copy of it where it lies in a store."""
    if is_url(config.raw_dir):
        from mirada.data.stored_data import copy_raw

        return copy_raw(config.raw_dir)
    raw_dir = Path(config.raw_dir)
    if not raw_dir.is_dir():
        raise MiradaError(f"{raw_dir} is missing: run the fetch stage first (`dvc repro fetch`).")
    return raw_dir.absolute() if config.executor.name == "dask" else raw_dir  # workers may run elsewhere


def _look_over(raw_dir: Path) -> tuple[str, list[Path]]:
    """Digest of the names, sizes and times of the raw files, and the first and last of them.

    It is enough to tell that none was touched, without reading them.
    """
    digest = hashlib.sha256()
    known_by: list[Path] = []
    for name, path in list_folder(raw_dir):
        status = path.stat()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        known_by = [*known_by[:1], path]
    return digest.hexdigest(), known_by


def _make(
    config: PreprocessConfig, raw_dir: Path, known_by: list[Path], target: Target, notes: list[str]
) -> tuple[Path, dict[str, Any]]:
    """Make the data set; returns where it lies and its timing."""
    with disk_errors(config.output_dir):
        with (
            UsageMeter() as meter,
            _open_executor(config, known_by) as executor,
            image_progress() as progress,
        ):
            dataset = _build(_Work(config, executor, progress, notes), raw_dir, target.built)
            workers = executor.workers
        folder = target.publish()
        timing = _timing(dataset, meter, workers)
        target.write_timing(json.dumps(timing, indent=2) + "\n")
    print(*say(notes), summarise(config, dataset, timing), sep="\n")
    return folder, timing


@contextmanager
def _open_executor(config: PreprocessConfig, known_by: list[Path]) -> Iterator[WorkerExecutor]:
    """The workers that `config.executor` names."""
    if config.executor.name == "dask":
        from mirada.workers.dask_cluster import describe_surroundings, open_dask

        raw_dir = config.raw_dir if is_url(config.raw_dir) else str(Path(config.raw_dir).absolute())
        wanted = describe_surroundings(raw_dir, known_by)
        with open_dask(config.executor.address, config.workers, wanted) as cluster:
            yield cluster
    else:
        with make_executor(config.workers, preload=PRELOAD) as processes:
            yield processes


def _build(work: _Work, raw_dir: Path, folder: Path) -> records.Dataset:
    """All of the stage's output, in a folder of its own."""
    config = work.config
    images, digests = _read(work, raw_dir)
    books = count_objects(images, work.rejected)
    images, classes, left_out = choose_classes(images, config.data, config.raw_dir, work.notes)
    images = _single_out(work, images, digests)
    repaired = Counter(code for image in images for code in image.repairs) + left_out
    images, splits, described = _split(work, images, digests)
    books |= {"kept": count_kept(images, splits)}
    units = plan(images, splits, config.data)
    per_class = count_boxes(units, config.data.tile.min_visible)
    check_sizes(Counter(unit.split for unit in units), config.data.split)
    check_classes(classes, per_class)
    depth_range, note = settle_depth(images, units, config.data, work.map)
    work.notes += note
    hidden = count_hidden(images, config.data)
    settings = settings_of(config, classes, depth_range, hidden)
    with Spool(folder / "spool") as spool:
        stored = _make_records(work, units, settings, spool)
        check_sizes({split: len(places) for split, places in spool.places.items()}, config.data.split)
        check_classes(classes, {split: stored[split]["per_class"] for split in records.SPLITS})
        work.notes += check_judged(classes, stored)
        for split in records.SPLITS:
            places = spool.places.get(split, [])
            if split == "train":  # shards hold a mixture: tiles of one photograph don't follow each other
                places = sorted(places, key=lambda place: order_key(config.data.split.seed, place[0]))
            stored[split]["shards"] = write_shards(spool, split, places, folder, config.shard_images)
    with Spool(folder / "spool") as spool:
        photographs = _keep_photographs(work, plan_photographs(images, splits, config.data), settings, spool, folder)
    write_rejected(work.rejected, folder / "rejected.csv")
    dataset = records.Dataset(
        folder=folder,
        name=config.data.name,
        task=config.data.task,
        classes=classes,
        input_size=config.input_size,
        channels=config.channels,
        fit=config.fit,
        splits=stored,
        digest=records.digest_of(shard["sha256"] for split in records.SPLITS for shard in stored[split]["shards"]),
        about=describe_origin(config, raw_dir, repaired, work.rejected, depth_range)
        | ({"hidden": hidden} if hidden else {})
        | {"objects": books}
        | described,
        enhance=config.enhance,
        photographs=photographs,
    )
    records.save_dataset(dataset)
    return dataset


def _read(work: _Work, raw_dir: Path) -> tuple[list[RawImage], dict[str, str]]:
    """Every usable image with its boxes, and the sha256 of each."""
    data = work.config.data
    items, left_out = FORMATS[data.format].list(raw_dir, data, work.notes)
    work.rejected.update(left_out)
    function = partial(read_image, data=data)
    images: list[RawImage] = []
    digests: dict[str, str] = {}
    for found, digest in work.map(function, items, "reading annotations", attrgetter("source")):
        if isinstance(found, Rejected):
            work.rejected.add(found)
        else:
            images.append(found)
            digests[found.source] = digest
    if not images:
        what, _, remedy = FORMATS[data.format].expected.partition(": ")
        raise MiradaError(f"{raw_dir} holds no usable {what}{main_reason(work.rejected)}: {remedy}.")
    return images, digests


def _single_out(work: _Work, images: list[RawImage], digests: dict[str, str]) -> list[RawImage]:
    """The images that fit their task, with one label or one object each where the task wants that."""
    data = work.config.data
    fit, rejected = single_out_all(images, digests, data)
    work.rejected.update(rejected)
    if not fit:
        raise MiradaError(
            f"{work.config.raw_dir} holds no image fit for data.task={data.task}{main_reason(work.rejected)}."
        )
    return fit


def _split(
    work: _Work, images: list[RawImage], digests: dict[str, str]
) -> tuple[list[RawImage], dict[str, str], dict[str, Any]]:
    """The images that take part, the split of each, and what `dataset.json` says of that.

    No split of whole images is needed where photographs are split by area.
    """
    config = work.config.data.split
    if config.kind == "area":
        return images, {}, {}
    groups = _find_alike(work, images) if config.group == "auto" else []
    assigned = assign_images(images, config, groups)
    splits = assigned.splits
    copies = leaks(digests, splits)
    work.rejected.update(list_left_out(assigned, copies))
    left_out = copies.keys() | assigned.apart.keys()
    kept = {source: split for source, split in splits.items() if split and source not in left_out}
    described = describe_split(assigned, kept, copies, groups)
    work.notes[:0] = say_split(described)
    return [image for image in images if image.source in kept], kept, {"split": described} if described else {}


def _find_alike(work: _Work, images: list[RawImage]) -> list[Group]:
    """Groups of images that show the same thing."""
    found = work.map(read_hashes, images, "looking for alike images", attrgetter("source"))
    hashes = {image.source: one for image, one in zip(images, found, strict=True) if one is not None}
    return alike(hashes, by_crop=len(hashes) <= CROPS_AT_MOST, threads=work.config.workers)


def _make_records(work: _Work, units: list[Unit], settings: Settings, spool: Spool) -> dict[str, dict[str, Any]]:
    """Make every record in the workers and spool it; returns the counts of each split."""
    stored: dict[str, dict[str, Any]] = {
        split: {"images": 0, "boxes": 0, "ignored": 0, "per_class": dict.fromkeys(settings.classes, 0)}
        for split in records.SPLITS
    }
    for made in work.map(partial(make_record, settings=settings), units, "preparing images", attrgetter("image_id")):
        if isinstance(made, Rejected):
            work.rejected.add(made)
            continue
        made.count_into(stored[made.split])
        spool.add(made.split, made.image_id, made.framed)
    return stored


def _keep_photographs(
    work: _Work, units: list[Unit], settings: Settings, spool: Spool, folder: Path
) -> dict[str, dict[str, Any]]:
    """Store the photographs of val and test beside the network's inputs; returns what `dataset.json` says of them."""
    function = partial(make_photograph, settings=settings)
    for made in work.map(function, units, "keeping photographs", attrgetter("image_id")):
        if isinstance(made, Rejected):
            work.rejected.add(made)
        else:
            spool.add(made.split, made.image_id, made.framed)
    kept = {}
    for split in JUDGED:
        places = spool.places.get(split, [])
        shards = write_shards(spool, f"photographs-{split}", places, folder, work.config.shard_images)
        kept[split] = {"images": len(places), "shards": shards}
    return kept


def _timing(dataset: records.Dataset, meter: UsageMeter, workers: int) -> dict[str, Any]:
    """What it cost; of a cluster's workers on other machines, memory and processor time are not seen."""
    images = sum(split["images"] for split in dataset.splits.values())
    return {
        "seconds": round(meter.seconds, 3),
        "images": images,
        "images_per_s": round(images / meter.seconds, 2),
        "workers": workers,
        "peak_memory_mb": round(meter.peak_memory_mb, 1),
        "cpu_percent": round(meter.cpu_percent, 1),
    }
