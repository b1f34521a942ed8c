import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from mirada.errors import MiradaError  # noqa: E402
from mirada.prediction.footage import choose_frames  # noqa: E402
from mirada.prediction.video import Frame, Newest, Video, VideoWriter  # noqa: E402


def grey(level: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    noise = np.random.default_rng(level).integers(0, 40, (size[1], size[0], 3), np.uint8)
    return Image.fromarray((noise + level).astype(np.uint8))


def write_video(path: Path, frames: int = 30, size: tuple[int, int] = (64, 48)) -> Path:
    """Ten frames a second, each five levels brighter than the one before."""
    with VideoWriter(path, size, 10) as writer:
        for number in range(frames):
            writer.write(grey(5 * number, size), number / 10)
    return path


def read(path: Path, **choice) -> tuple[list[Frame], Video]:
    video = Video(path)
    frames = list(choose_frames(video, **choice))
    video.close()
    return frames, video


def level_of(frame: Frame) -> float:
    return float(np.asarray(frame.image).mean()) - 19.5


def test_what_is_written_is_read_frame_by_frame(tmp_path):
    frames, video = read(write_video(tmp_path / "a.mp4"))
    assert [frame.number for frame in frames] == list(range(30))
    assert [round(frame.time_s, 3) for frame in frames] == [round(n / 10, 3) for n in range(30)]
    assert all(abs(level_of(frame) - 5 * frame.number) < 3 for frame in frames)
    assert (video.live, video.obstacle, frames[0].image.size) == (False, None, (64, 48))


def test_an_odd_side_loses_a_line(tmp_path):
    frames, _ = read(write_video(tmp_path / "a.mp4", 3, (65, 49)))
    assert [frame.image.size for frame in frames] == [(64, 48)] * 3


def test_frames_can_be_left_out(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    assert [frame.number for frame in read(path, every_nth=7)[0]] == [0, 7, 14, 21, 28]
    assert [frame.number for frame in read(path, max_fps=5)[0]] == list(range(0, 30, 2))
    assert [frame.number for frame in read(path, seconds=0.35)[0]] == [0, 1, 2, 3]


def test_a_video_that_was_never_ended_plays_as_far_as_it_goes(tmp_path):
    """As a kill leaves it: the fragments that were written can be read."""
    path = write_video(tmp_path / "a.mp4", 45)
    content = path.read_bytes()
    (tmp_path / "killed.mp4").write_bytes(content[: content.rfind(b"moof") - 4])
    frames, _ = read(tmp_path / "killed.mp4")
    assert 35 < len(frames) < 45  # but for the last fragment
    assert all(abs(level_of(frame) - 5 * frame.number) < 3 for frame in frames)


def test_a_truncated_video_plays_to_its_last_whole_frame(tmp_path):
    path = tmp_path / "whole.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate = 4_000_000  # or the first frame would have half of the bytes
        for number in range(30):
            container.mux(stream.encode(av.VideoFrame.from_image(grey(5 * number))))
        container.mux(stream.encode())
    assert read(path)[1].obstacle is None
    (tmp_path / "cut.mkv").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, video = read(tmp_path / "cut.mkv")
    assert 5 < len(frames) < 25
    assert all(abs(level_of(frame) - 5 * frame.number) < 5 for frame in frames)
    assert video.obstacle == "its data is cut short"


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(MiradaError, match=r"a\.mp4 can't be opened \(Invalid data"):
        Video(tmp_path / "a.mp4")
    with pytest.raises(MiradaError, match=r"camera=97 can't be opened \("):
        Video(None, 97)
    with pytest.raises(MiradaError, match=r"tcp://127\.0\.0\.1:1 can't be opened \(Connection refused"):
        Video("tcp://127.0.0.1:1")


class Live:
    """A camera that sends fifty frames, one every 10 ms, and stops."""

    live, dropped = True, 0

    def frames(self):
        for number in range(50):
            time.sleep(0.01)
            yield Frame(number, number / 100, grey(0))


def test_a_live_video_drops_frames_and_is_never_behind():
    video, seen, started = Live(), [], time.monotonic()
    for frame in Newest(video).frames():
        behind = time.monotonic() - started - frame.time_s
        seen.append((frame.number, behind))
        time.sleep(0.05)
    numbers = [number for number, _ in seen]
    assert numbers == sorted(numbers)
    assert len(numbers) + video.dropped == 50
    assert video.dropped >= 20
    assert numbers[-1] == 49
