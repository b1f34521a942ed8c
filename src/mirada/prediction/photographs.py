"""Photographs through engines, several at a time; one that can't be read stops none of the others."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mirada.data.images import open_image
from mirada.errors import MiradaError
from mirada.files import written_aside
from mirada.inference.engine import Engine
from mirada.inference.engine import Photograph as Pixels
from mirada.inference.prediction import Decoding
from mirada.prediction.findings import DOUBT_FLOOR, Finding, draw_finding, finding_of
from mirada.prediction.results import Failure
from mirada.prediction.sources import Photograph


@dataclass(frozen=True)
class Looking:
    """What is kept of what an engine finds.

    Attributes:
        labels: class names of the card.
        min_score: of the detections that are kept.
        most: how many of a photograph are; None: all.
        ranked: whether to say how unsure the model was.
    """

    labels: Sequence[str]
    min_score: float
    most: int | None = None
    ranked: bool = False

    @property
    def decoding(self) -> Decoding:
        """What the engine has to find for it; a lower floor changes nothing above it."""
        floor = min(self.min_score, DOUBT_FLOOR) if self.ranked else self.min_score
        return Decoding(score_floor=floor, max_detections=None)

    def look(self, engine: Engine, name: str, photograph: Pixels) -> Finding:
        """What an engine finds in a photograph.

        Raises:
            MiradaError: it can't be decoded.
        """
        answer = engine.predict(photograph, self.decoding)
        return finding_of(name, answer, self.labels, self.min_score, self.most, self.ranked)


def look_through(
    photographs: Iterable[Photograph],
    engines: Sequence[Engine],
    looking: Looking,
    picture_of: Callable[[str], Path | None],
) -> Generator[Finding | Failure, None, None]:
    """Look at photographs with as many threads as there are engines, and draw what is found.

    Args:
        photographs: to look at; they are asked for as they are needed.
        engines: one a thread.
        looking: what is kept.
        picture_of: name -> the JPEG to draw; None: none.

    Returns:
        What was found or why not, in the order in which it is known.

    Raises:
        OSError: a picture can't be written.
    """
    idle: queue.SimpleQueue[Engine] = queue.SimpleQueue()
    for engine in engines:
        idle.put(engine)

    def one(photograph: Photograph) -> Finding | Failure:
        engine = idle.get()
        try:
            finding = looking.look(engine, photograph.name, photograph.path)
            if (target := picture_of(photograph.name)) is not None:
                picture = open_image(photograph.path, True, depth_range=engine.card.depth_range)
                draw_finding(picture, finding, looking.labels)
                save_picture(picture, target)
            return finding
        except MiradaError as error:
            return Failure(photograph.name, *_reason(error, photograph))
        finally:
            idle.put(engine)

    with ThreadPoolExecutor(len(engines)) as pool:
        waiting: set[Future[Finding | Failure]] = set()
        for photograph in photographs:
            waiting.add(pool.submit(one, photograph))
            if len(waiting) > 2 * len(engines):
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        for future in waiting:
            yield future.result()


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a JPEG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as part:
        picture.save(part, "JPEG", quality=90)


def _reason(error: MiradaError, photograph: Photograph) -> tuple[str, str]:
    """Why a photograph could not be looked at, and what to do, from the sentence that says both."""
    sentence = str(error).removeprefix(f"{photograph.path} ").rstrip(".")
    reason, _, advice = sentence.rpartition(": ")
    return (reason, advice) if reason else (sentence, "save the picture again or remove it")
