"""A video through an engine: its frames one after the other, a live one's as they come."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing

from PIL import Image

from mirada.inference.engine import Engine
from mirada.prediction.findings import Finding
from mirada.prediction.photographs import Looking
from mirada.prediction.video import Frame, Newest, Video


def choose_frames(
    video: Video, *, every_nth: int = 1, max_fps: float | None = None, seconds: float | None = None
) -> Generator[Frame, None, None]:
    """The frames to look at; of a live video each time the newest, whatever `every_nth` says.

    Args:
        video: to be read.
        every_nth: one frame in so many.
        max_fps: at most so many of a second of the video.
        seconds: so much of the video; None: to its end.
    """
    newest = Newest(video) if video.live else None
    frames = newest.frames() if newest else video.frames()
    due = 0.0
    try:
        with closing(frames):
            for frame in frames:
                if seconds is not None and frame.time_s >= seconds:
                    return
                if (newest is None and frame.number % every_nth) or (max_fps and frame.time_s < due - 1e-6):
                    continue
                due = max(due + 1 / max_fps, frame.time_s) if max_fps else 0.0
                yield frame
    finally:
        if newest:
            newest.stop()


def frame_name(number: int) -> str:
    """The name of a frame's picture."""
    return f"frame-{number:06d}.jpg"


def look_at_frames(
    frames: Iterator[Frame], engine: Engine, looking: Looking, known: Mapping[str, Finding]
) -> Iterator[tuple[Image.Image, Finding, bool]]:
    """Look at frames.

    Args:
        frames: of `choose_frames`.
        engine: to look with.
        looking: what is kept.
        known: file -> what an earlier run found; these frames are not looked at again.

    Returns:
        A frame's pixels, what was found, and whether that is new.
    """
    for frame in frames:
        name = frame_name(frame.number)
        if name in known:
            yield frame.image, known[name], False
            continue
        found = looking.look(engine, name, frame.image)
        about = vars(found) | {"frame": frame.number, "time_s": round(frame.time_s, 4)}
        yield frame.image, Finding(**about), True


class Rate:
    """Counts what was done since the last report, and says when the next one is due."""

    def __init__(self, every_s: float) -> None:
        """Begin to count; a report is due every so many seconds."""
        self._every_s, self._since, self._count = every_s, time.monotonic(), 0

    def count(self) -> float | None:
        """One more is done: its rate a second where a report is due."""
        self._count += 1
        spent = time.monotonic() - self._since
        if spent < self._every_s:
            return None
        rate, self._since, self._count = self._count / spent, time.monotonic(), 0
        return rate
