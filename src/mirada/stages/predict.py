"""Predict: a variant and anything with pictures in; pictures, a COCO data set, labels and a ranking out."""

from __future__ import annotations

import contextlib
import errno
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from mirada.config import PredictConfig
from mirada.config.idle import Facts, tell_idle
from mirada.data.annotations import read_header
from mirada.data.formats.writing import LabelSet, name_outputs
from mirada.data.records import sha256_of
from mirada.errors import MiradaError
from mirada.inference.card import Card, load_card
from mirada.inference.engine import Engine
from mirada.inference.tiling import Viewing, tile_side
from mirada.inference.variants import choose_variant, load_variants
from mirada.prediction import results
from mirada.prediction.findings import Finding, draw_finding
from mirada.prediction.footage import Rate, choose_frames, look_at_frames
from mirada.prediction.journal import Journal
from mirada.prediction.photographs import Looking, look_through, save_picture
from mirada.prediction.results import Failure
from mirada.prediction.sources import fetch_video, is_stream, is_video, list_photographs
from mirada.prediction.video import Video, VideoWriter
from mirada.prediction.window import Window
from mirada.storage import is_url, without_password
from mirada.terminal import image_progress
from mirada.workers.folder_lock import alone_in_output_dir

RATE_S = 5.0  # so often the rate of a live video is printed
_OF_BOXES = ("voc", "yolo", "cvat", "labelme")  # formats that say where, which a classification does not know
_OF_CLASSES = ("folder", "table")
_FULL = (errno.ENOSPC, errno.EDQUOT)


@alone_in_output_dir
def run(config: PredictConfig) -> dict[str, Finding]:
    """Look at everything that the source holds, and write what is found.

    Returns:
        File -> what was found in it.

    Raises:
        MiradaError: nothing can be looked at; or, after everything is written, something could not be.
    """
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # a large photograph is no attack here
    card = load_card(config.model_dir)
    variants = load_variants(Path(config.variants_dir))
    name = choose_variant(list(variants), config.variant)
    viewing = Viewing(config.view, config.tile, config.overlap, tuple(config.scales))
    _check_task(config, card, viewing)
    if told := tell_idle(config, Facts(card.task, tiles=tile_side(card, viewing) > 0, footage=_is_footage(config))):
        print(told, flush=True)
    engine = Engine(variants[name], card, viewing, threads=config.threads)
    here = _Run(config, card, name, engine, variants[name])
    with here.writing():
        return here.look_at_video() if _is_footage(config) else here.look_at_photographs()


def _is_footage(config: PredictConfig) -> bool:
    return config.source is None or is_stream(config.source) or is_video(config.source)


def _check_task(config: PredictConfig, card: Card, viewing: Viewing) -> None:
    """Refuse what the card's task can't give.

    Raises:
        MiradaError: tiles or boxes are asked of a classification, class folders of anything else.
    """
    tile_side(card, viewing)
    boxes = card.task != "classification"
    for name in config.formats:
        if name in (_OF_CLASSES if boxes else _OF_BOXES):
            wanted = "that sorts pictures into classes" if boxes else "whose pictures have boxes"
            raise MiradaError(
                f"formats={name} is for a model {wanted}, and that in {config.model_dir} does {card.task}: leave it out."
            )
    if config.show and not _is_footage(config):
        raise MiradaError("show=true is for videos, cameras and streams: leave it out, and look at pictures/.")
    if "folder" in config.formats and _is_footage(config):
        raise MiradaError("formats=folder is for photographs, and the source is a video: leave it out.")


def _note_turned(paths: Mapping[str, Path]) -> None:
    """Say which photographs a reader of labels may show otherwise than they were looked at.

    A half turn or a mirror image leaves width and height as they are, so that the readers can't tell on which image the
    boxes were drawn, and keep the pixels as they are stored.
    """
    turned = [
        name for name, path in paths.items() if not isinstance(head := read_header(path), str) and head[1] in (2, 3, 4)
    ]
    if turned:
        more = ", …" if len(turned) > 1 else ""
        print(
            f"note: {len(turned)} photographs ({turned[0]}{more}) are turned by half or mirrored by their EXIF entry, and "
            "their labels are those of the picture as displayed: save them upright before you train on them."
        )


class _Run:
    """One run: where it writes, and what it has to say."""

    def __init__(self, config: PredictConfig, card: Card, variant: str, engine: Engine, path: Path) -> None:
        self.config, self.card, self.engine, self.path = config, card, engine, path
        self.folder = Path(config.output_dir)
        self.scratch = self.folder / ".source"
        self.min_score = card.min_score if config.min_score is None else config.min_score
        self.looking = Looking(card.labels, self.min_score, config.max_detections, config.rank is not None)
        self.model = f"{card.dataset} {variant}"
        source = str(config.source) if config.camera is None else f"camera {config.camera}"
        self.source = without_password(source) if is_url(source) else source

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Tell of a disk that is full; leave nothing that was fetched or unpacked."""
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise MiradaError(
                    f"{self.folder} can't be written, the disk is full: what was written is whole; free space and go on "
                    "with resume=true."
                ) from error
            raise MiradaError(f"{self.folder} can't be written ({error}): correct that or output_dir.") from error
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _journal(self) -> Journal:
        config = self.config
        settings: dict[str, Any] = {
            "source": self.source,
            "model": sha256_of(self.path),
            "labels": list(self.card.labels),
        }
        for key in ("view", "tile", "overlap", "max_detections", "rank"):
            settings[key] = getattr(config, key)
        settings |= {"min_score": self.min_score, "scales": list(config.scales)}
        return Journal(self.folder, settings, config.resume)

    def look_at_photographs(self) -> dict[str, Finding]:
        """Look at the photographs of the source, `workers` at a time."""
        shutil.rmtree(self.scratch, ignore_errors=True)  # of a run that was killed
        photographs = list_photographs(str(self.config.source), self.scratch, self.folder)
        stems = dict(zip((p.name for p in photographs), name_outputs(p.name for p in photographs), strict=True))
        pictures = self.folder / "pictures" if self.config.pictures else None
        engines = [self.engine]
        while len(engines) < min(self.config.workers, len(photographs)):
            engines.append(Engine(self.path, self.card, self.engine.viewing, threads=self.config.threads))
        started, failures = time.perf_counter(), list[Failure]()
        with self._journal() as journal, image_progress() as progress:
            todo = [photograph for photograph in photographs if photograph.name not in journal.findings]
            bar = progress.add_task("predict", total=len(photographs), completed=len(photographs) - len(todo))

            def picture_of(name: str) -> Path | None:
                return pictures / f"{stems[name]}.jpg" if pictures else None

            with closing(look_through(todo, engines, self.looking, picture_of)) as found:
                for one in found:
                    if isinstance(one, Finding):
                        journal.add(one)
                    else:
                        failures.append(one)
                    progress.advance(bar)
        seconds = time.perf_counter() - started
        found_in = {p.name: journal.findings[p.name] for p in photographs if p.name in journal.findings}
        failures.sort(key=lambda failure: failure.file)
        self._write(list(found_in.values()), failures, {p.name: p.path for p in photographs})
        self._say(found_in, "photographs", len(todo), seconds)
        if failures:
            raise MiradaError(self._failed(failures, len(photographs)))
        return found_in

    def look_at_video(self) -> dict[str, Finding]:
        """Look at a video's frames to its end, a live one's until it stops, `seconds` are over or Ctrl-C."""
        config = self.config
        if config.source is None or is_stream(config.source):
            source: str | Path | None = config.source
        else:
            source = fetch_video(config.source, self.scratch)
        video = Video(source, config.camera)
        window = Window(video.name) if config.show else None
        started = time.perf_counter()
        with closing(video), self._journal() as journal:
            if video.live and journal.findings:
                raise MiradaError(
                    f"{video.name} is live, and resume=true has nothing to go on with: choose another output_dir."
                )
            before = len(journal.findings)
            self._follow(video, journal, window)
            looked_at = len(journal.findings) - before
        seconds = time.perf_counter() - started
        self._write(list(journal.findings.values()), failures := self._end_of(video, journal.findings), {})
        self._say(journal.findings, "frames", looked_at, seconds)
        if video.live:
            print(f"live: {video.dropped} frames came faster than they could be looked at, and were dropped")
        if failures:
            raise MiradaError(
                f"{failures[0].file} {failures[0].reason}: {failures[0].advice}; what was found "
                f"until then is in {self.folder}."
            )
        return journal.findings

    def _follow(self, video: Video, journal: Journal, window: Window | None) -> None:
        """Look at the frames, draw, show and keep them; Ctrl-C ends a live video as its end does."""
        config = self.config
        frames = choose_frames(video, every_nth=config.every_nth, max_fps=config.max_fps, seconds=config.seconds)
        looked_at = look_at_frames(frames, self.engine, self.looking, dict(journal.findings))
        fps = min(video.fps / (1 if video.live else config.every_nth), config.max_fps or video.fps)
        part, rate = self.folder / "video.part.mp4", Rate(RATE_S)
        writer: VideoWriter | None = None
        with contextlib.ExitStack() as ends, image_progress() as progress:
            bar = progress.add_task("predict", total=None if video.live else self._chosen(video))
            ends.callback(frames.close)
            ends.enter_context(contextlib.suppress(KeyboardInterrupt) if video.live else contextlib.nullcontext())
            for picture, finding, new in looked_at:
                if config.formats and new:
                    save_picture(picture, self.folder / "frames" / finding.file)
                if config.pictures or window:
                    draw_finding(picture, finding, self.card.labels)
                if config.pictures:
                    writer = writer or ends.enter_context(VideoWriter(part, picture.size, fps))
                    writer.write(picture, finding.time_s or 0.0)
                if new:
                    journal.add(finding)
                if window:
                    window.show(picture)
                progress.advance(bar)
                if (per_second := rate.count()) is not None and video.live:
                    print(f"{per_second:.1f} frames/s looked at, {video.dropped} dropped so far", flush=True)
        if writer:
            part.replace(self.folder / "video.mp4")

    def _chosen(self, video: Video) -> int | None:
        """About how many frames of a file are looked at."""
        if video.expected is None:
            return None
        share = min(1 / self.config.every_nth, (self.config.max_fps or video.fps) / video.fps)
        part = min(1.0, self.config.seconds * video.fps / video.expected) if self.config.seconds else 1.0
        return max(1, round(video.expected * share * part))

    def _end_of(self, video: Video, findings: Mapping[str, Finding]) -> list[Failure]:
        """Why a video ended before its end."""
        if video.obstacle is None:
            return []
        until = max((finding.time_s or 0.0 for finding in findings.values()), default=0.0)
        if video.live:
            return [
                Failure(video.name, f"stopped after {until:.1f} s ({video.obstacle})", "start it again and look anew")
            ]
        reason = f"ends before its end ({video.obstacle}), its last whole frame is at {until:.2f} s"
        return [Failure(video.name, reason, "get the file again if the rest matters")]

    def _write(self, findings: Sequence[Finding], failures: Sequence[Failure], paths: Mapping[str, Path]) -> None:
        """Write all files but pictures and the journal."""
        config = self.config
        about = f"What {self.model} found in {self.source}, from a score of {self.min_score:g} on"
        images = [finding.written() for finding in findings]
        labels = LabelSet(images, self.card.labels, self.model, about, config.row_scores)
        results.write_predictions(self.folder, labels)
        results.write_labels(self.folder / "labels", config.formats, labels)
        if {*config.formats}.difference(_OF_CLASSES):
            _note_turned(paths)
        if "folder" in config.formats:
            results.copy_photographs(self.folder / "labels" / "folder", labels, paths)
        if config.rank:
            results.write_ranking(self.folder, findings)
        results.write_failures(self.folder, failures)

    def _say(self, findings: Mapping[str, Finding], what: str, looked_at: int, seconds: float) -> None:
        objects = sum(len(finding.labels) for finding in findings.values())
        left_out = sum(finding.left_out for finding in findings.values())
        before = len(findings) - looked_at
        print(
            f"{self.model}: {len(findings)} {what}, {objects} {'objects' if self.card.task == 'detection' else 'labels'}"
            + (f", {left_out} more left out by max_detections" if left_out else "")
            + (f", {before} of them from the run before" if before > 0 else "")
            + f"; {looked_at / seconds:.1f} {what}/s; written to {self.folder}"
        )

    def _failed(self, failures: Sequence[Failure], of: int) -> str:
        first = f"{failures[0].file}: {failures[0].reason}"
        more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        return (
            f"{len(failures)} of {of} photographs could not be looked at ({first}{more}): {self.folder / 'failed.csv'} "
            "says what to do with each, and resume=true tries them again."
        )
