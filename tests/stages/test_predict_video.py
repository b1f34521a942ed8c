import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirada.errors import MiradaError
from mirada.prediction.video import Video
from mirada.stages import predict
from tests.squares import COLOURS
from tests.stages.test_predict import content_of, make_config, rows_of


@pytest.fixture
def model(squares_folder) -> Path:
    return squares_folder / "model"


def write_clip(path: Path, frames: int = 12) -> Path:
    """A second and more of 128 x 128 pixels, ten frames a second, with a red square from frame 4 on."""
    from mirada.prediction.video import VideoWriter

    pixels = np.zeros((128, 128, 3), np.uint8)
    with VideoWriter(path, (128, 128), 10) as writer:
        for number in range(frames):
            if number == 4:
                pixels[32:80, 32:80] = COLOURS[0]
            writer.write(Image.fromarray(pixels), number / 10)
    return path


def test_a_video_becomes_a_video_a_data_set_and_frames_to_label(model, tmp_path, capsys):
    clip = write_clip(tmp_path / "clip.mp4")
    found = predict.run(make_config(model, clip, tmp_path / "out", every_nth=2, formats=["yolo"]))
    names = [f"frame-{number:06d}.jpg" for number in range(0, 12, 2)]
    assert list(found) == names
    assert [len(one.labels) for one in found.values()] == [0, 0, 1, 1, 1, 1]
    images = content_of(tmp_path / "out")["images"]
    assert [(image["frame"], image["time_s"]) for image in images] == [(n, n / 10) for n in range(0, 12, 2)]
    assert sorted(path.name for path in (tmp_path / "out" / "frames").iterdir()) == names
    assert (tmp_path / "out" / "labels" / "yolo" / "frame-000004.txt").read_text().startswith("0 0.43")
    assert "6 frames, 4 objects" in capsys.readouterr().out
    drawn = [np.asarray(frame.image) for frame in Video(tmp_path / "out" / "video.mp4").frames()]
    assert [bool((image[..., 1] > 100).any()) for image in drawn] == [False, False, True, True, True, True]


def test_a_truncated_video_says_so_and_keeps_what_was_found(model, tmp_path):
    import av

    clip = tmp_path / "clip.mkv"
    with av.open(str(clip), "w") as container, av.open(str(write_clip(tmp_path / "whole.mp4", 30))) as whole:
        stream = container.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    (tmp_path / "cut.mkv").write_bytes(clip.read_bytes()[: round(clip.stat().st_size * 0.8)])
    with pytest.raises(
        MiradaError, match=r"cut\.mkv ends before its end \(its data is cut short\), its last whole frame"
    ):
        predict.run(make_config(model, tmp_path / "cut.mkv", tmp_path / "out"))
    images = content_of(tmp_path / "out")["images"]
    assert 0 < len(images) < 30
    assert [row["file"] for row in rows_of(tmp_path / "out" / "failed.csv")] == [str(tmp_path / "cut.mkv")]
    assert len(list(Video(tmp_path / "out" / "video.mp4").frames())) == len(images)


def test_a_video_goes_on_where_it_stopped(model, tmp_path, capsys):
    clip, out = write_clip(tmp_path / "clip.mp4"), tmp_path / "out"
    before = predict.run(make_config(model, clip, out))
    journal = out / "done.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:6]))
    (out / "video.mp4").unlink()
    assert predict.run(make_config(model, clip, out, resume=True)) == before
    assert "12 frames, 8 objects, 5 of them from the run before" in capsys.readouterr().out
    assert len(list(Video(out / "video.mp4").frames())) == 12


def test_a_camera_that_is_not_there_and_a_missing_package_are_one_sentence(model, tmp_path, monkeypatch):
    with pytest.raises(
        MiradaError, match=r"camera=97 can't be opened \(.*\): it is not there, or another program has it"
    ):
        predict.run(make_config(model, None, tmp_path / "out", source=None, camera=97))
    assert not (tmp_path / "out").exists()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MiradaError, match=r"need the package PyAV: pip install 'mirada\[video\]'"):
        predict.run(make_config(model, None, tmp_path / "out", source=None, camera=97))


def test_a_stream_that_stops_leaves_whole_what_was_found(model, tmp_path, capsys):
    """A sender hangs up after a second of frames; they come in MPEG-TS, as cameras send them, which knows no length."""
    import av

    packed = tmp_path / "clip.ts"
    with av.open(str(packed), "w", format="mpegts") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((128, 128, 3), 20 * number, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=send, args=(server, packed.read_bytes()))
        thread.start()
        source = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(MiradaError, match=rf"{source} stopped after .* s \(.*\): start it again .* is in .*out\."):
            predict.run(make_config(model, source, tmp_path / "out"))
        thread.join()
    said = capsys.readouterr().out
    looked_at, dropped = int(said.split(": ")[1].split()[0]), int(said.split("live: ")[1].split()[0])
    assert looked_at + dropped == 12
    assert len(content_of(tmp_path / "out")["images"]) == looked_at >= 1
    assert len(list(Video(tmp_path / "out" / "video.mp4").frames())) == looked_at


def send(server: socket.socket, content: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(content)
