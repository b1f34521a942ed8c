"""Frames of a video file, a camera or a stream, and a video of frames with what was found drawn on them (PyAV, FFmpeg)."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from mirada.errors import MiradaError
from mirada.storage import without_password

_SILENCE_S = 10.0  # a stream that says nothing for so long has stopped
_TICKS = 90_000  # of the written video's clock to a second
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}


@dataclass(frozen=True)
class Frame:
    """A frame: its number, from 0, its time in seconds, and its pixels, RGB and upright."""

    number: int
    time_s: float
    image: Image.Image


def _import_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MiradaError("Videos and cameras need the package PyAV: pip install 'mirada[video]'.") from error
    av.logging.set_level(None)  # what FFmpeg has to say is told by the errors
    return av


class Video:
    """A video that frames are read from, once.

    Attributes:
        name: as it is shown.
        live: whether frames come in their own time and don't wait.
        fps: frames a second, as the video says; 25 where it doesn't.
        expected: frames, as the video says; None where it doesn't.
        dropped: frames of a live video that nobody took in time.
        obstacle: after the frames why there were no more of them; None where the video ended.
    """

    def __init__(self, source: str | Path | None, camera: int | None = None) -> None:
        """Open it.

        Args:
            source: a file or the URL of a stream; None: a camera.
            camera: its number.

        Raises:
            MiradaError: PyAV is not installed, or there is no such video.
        """
        self._av = _import_av()
        if camera is not None:
            kind, device = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
            self.name, where, options = f"camera={camera}", device.format(camera), {"format": kind}
        else:
            self.name, where, options = without_password(str(source)), str(source), {}
        local = isinstance(source, Path)
        try:
            self._container = self._av.open(where, timeout=None if local else _SILENCE_S, **options)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            advice = "it is not there, or another program has it" if camera is not None else "check the source"
            raise MiradaError(f"{self.name} can't be opened ({_words(error)}): {advice}.") from error
        if not self._container.streams.video:
            raise MiradaError(f"{self.name} holds no video: give another source.")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        duration = self._container.duration
        self.live = not local and (camera is not None or not duration or duration < 0)
        self.fps = float(self._stream.average_rate or 25)
        seconds = duration / 1e6 if duration and duration > 0 and not self.live else 0.0
        self.expected: int | None = self._stream.frames or round(seconds * self.fps) or None
        self.obstacle: str | None = None
        self.dropped = 0

    def frames(self) -> Generator[Frame, None, None]:
        """The frames to the last whole one; `obstacle` tells then whether it was the last that there should be."""
        number, start = 0, None
        for frame in self._decode():
            # What the decoder held back knows no time base of its own.
            time_s = number / self.fps if frame.pts is None else float(frame.pts * self._stream.time_base)
            start = time_s if start is None else start
            yield Frame(number, max(0.0, time_s - start), _upright(frame))
            number += 1
        if self.live:
            self.obstacle = self.obstacle or "it sent no more"
        elif self.obstacle is None and self.expected is not None and number < self.expected - max(2, self.fps / 4):
            self.obstacle = "its data is cut short"

    def _decode(self) -> Iterator[Any]:
        """The whole frames of the whole packets, and what the decoder holds back of them."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is not None and packet.is_corrupt:
                    packet, self.obstacle = None, "its data is cut short"
                frames = packet.decode() if packet is not None else self._stream.decode(None)
            except self._av.error.EOFError:
                return
            except (self._av.error.FFmpegError, OSError) as error:
                self.obstacle = _words(error)
                with contextlib.suppress(self._av.error.FFmpegError):
                    yield from self._whole(self._stream.decode(None))
                return
            yield from self._whole(frames)
            if packet is None:
                return

    @staticmethod
    def _whole(frames: Iterable[Any]) -> Iterator[Any]:
        return (frame for frame in frames if not frame.is_corrupt)

    def close(self) -> None:
        """Let the file or the camera go."""
        self._container.close()


class Newest:
    """The newest frame of a live video: frames that nobody takes in time are dropped, not kept waiting."""

    def __init__(self, video: Video) -> None:
        """Begin to read."""
        self._video, self._slot, self._ended, self._stopped = video, list[Frame](), False, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for frame in self._video.frames():
                with self._changed:
                    self._video.dropped += len(self._slot)
                    self._slot[:] = [frame]
                    self._changed.notify()
                    if self._stopped:
                        return
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

    def frames(self) -> Generator[Frame, None, None]:
        """Each time the newest, until there are no more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._slot or self._ended)
                if not self._slot:
                    return
                frame = self._slot.pop()
            yield frame

    def stop(self) -> None:
        """Read no more, so that the video can be closed."""
        with self._changed:
            self._stopped = True
        self._thread.join(_SILENCE_S)


class VideoWriter:
    """An mp4 (H.264) that can be played as far as it was written, even where nobody could end it.

    Frames keep their times; one that is odd in width or height loses a line of pixels, as the format wants it.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        """Begin.

        Args:
            path: of the file.
            size: width and height of all frames in pixels.
            fps: about how many frames a second there will be.
        """
        av = _import_av()
        self.path, self._size = path, (max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2))
        self._av, self._last = av, -1
        path.parent.mkdir(parents=True, exist_ok=True)
        # Fragments: the index comes with each of them, not at the end.
        flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
        self._container = av.open(str(path), "w", format="mp4", options=flags)
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        self._stream = self._container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream.codec_context.gop_size = max(1, round(2 * fps))
        if codec == "libx264":
            self._stream.options = {"preset": "veryfast", "crf": "20"}

    def write(self, image: Image.Image, time_s: float) -> None:
        """Add a frame at its time in seconds; times grow."""
        if image.size != self._size:
            image = image.crop((0, 0, *self._size))
        frame = self._av.VideoFrame.from_image(image)
        self._last = max(self._last + 1, round(time_s * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> VideoWriter:
        """The writer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Write what the encoder holds back, and close; after an error as far as that goes."""
        try:
            self._container.mux(self._stream.encode())
            self._container.close()
        except (self._av.error.FFmpegError, OSError):
            if error is None:
                raise


def _upright(frame: Any) -> Image.Image:
    """The frame's pixels as they are shown: a telephone held upright says by how much to turn them."""
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    array = frame.to_ndarray(format="rgb24")
    return Image.fromarray(np.ascontiguousarray(np.rot90(array, turns)) if turns else array)


def _words(error: Exception) -> str:
    """What FFmpeg says, without its numbers and paths."""
    return str(getattr(error, "strerror", None) or error).split(":")[0].strip() or type(error).__name__
