import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from mirada.errors import MiradaError
from mirada.prediction.sources import is_stream, is_video, list_photographs

NAMES = ["a.jpg", "b.PNG", "below/c.tif"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    (folder / "notes.md").write_text("no picture")
    (folder / ".hidden.jpg").write_bytes(b"")
    return folder


def names_of(source: object, tmp_path: Path, leave_out: str = "out") -> list[str]:
    found = list_photographs(str(source), tmp_path / "scratch", tmp_path / leave_out)
    for photograph in found:
        with Image.open(photograph.path) as image:
            assert image.size == (4, 4)
    return [photograph.name for photograph in found]


def test_a_folder_a_file_and_a_glob(photos, tmp_path):
    assert names_of(photos, tmp_path) == NAMES
    assert names_of(photos / "a.jpg", tmp_path) == ["a.jpg"]
    assert names_of(photos / "*.jpg", tmp_path) == ["a.jpg"]
    assert names_of(photos / "**" / "*", tmp_path) == NAMES
    assert not (tmp_path / "scratch").exists()


def test_what_is_written_is_not_looked_at_again(photos, tmp_path):
    assert names_of(photos, tmp_path, "photos/below") == NAMES[:2]


def test_a_list_names_pictures_below_it_by_their_path_and_others_apart(photos, tmp_path):
    twin = tmp_path / "elsewhere" / "a.jpg"
    twin.parent.mkdir()
    Image.new("RGB", (4, 4)).save(twin)
    (photos / "list.txt").write_text(f"below/c.tif\n# not this\n\na.jpg\n{twin}\na.jpg\n")
    full = "/".join(twin.parts[1:])
    assert names_of(photos / "list.txt", tmp_path) == ["below/c.tif", "/".join((photos / "a.jpg").parts[1:]), full]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_is_unpacked_into_the_scratch_folder(photos, tmp_path, kind):
    archive = tmp_path / f"photos.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for name in NAMES:
                packed.write(photos / name, name)
    else:
        with tarfile.open(archive, "w:gz" if kind.endswith("gz") else "w") as tar:
            for name in NAMES:
                tar.add(photos / name, name)
    assert names_of(archive, tmp_path) == NAMES


def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path):
    archive = tmp_path / "bad.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("../a.jpg"), io.BytesIO())
    with pytest.raises(MiradaError, match="would land outside"):
        names_of(archive, tmp_path)


def test_a_url_of_a_folder_of_an_archive_and_of_a_file(photos, tmp_path):
    import fsspec

    store = fsspec.filesystem("memory")
    for name in NAMES:
        store.pipe_file(f"/predict/{name}", (photos / name).read_bytes())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.write(photos / "a.jpg", "inside.jpg")
    store.pipe_file("/predict-packed/photos.zip", buffer.getvalue())
    try:
        assert names_of("memory://predict", tmp_path / "1") == NAMES
        assert names_of("memory://predict/a.jpg", tmp_path / "2") == ["a.jpg"]
        assert names_of("memory://predict-packed/photos.zip", tmp_path / "3") == ["inside.jpg"]
        with pytest.raises(MiradaError, match="memory://nothing"):
            names_of("memory://nothing", tmp_path / "4")
    finally:
        store.rm("/predict", recursive=True)
        store.rm("/predict-packed", recursive=True)


def test_a_source_without_pictures_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MiradaError, match=r"empty holds no picture \(\.jpg"):
        names_of(tmp_path / "empty", tmp_path)
    with pytest.raises(MiradaError, match="nowhere does not exist: give a file"):
        names_of(tmp_path / "nowhere", tmp_path)
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MiradaError, match="list.txt is no text"):
        names_of(tmp_path / "list.txt", tmp_path)


@pytest.mark.parametrize(
    ("source", "stream", "video"),
    [
        ("rtsp://user:word@camera/1", True, False),
        ("https://host/live/index.m3u8?token=1", True, False),
        ("http://host/a.mp4", True, True),
        ("https://host/photos", False, False),
        ("s3://bucket/a.mp4", False, True),
        ("clips/A.MOV", False, True),
        ("clips", False, False),
    ],
)
def test_which_sources_have_frames(source, stream, video):
    assert (is_stream(source), is_video(source)) == (stream, video)
