"""The stage `fetch`: everything or nothing, and only when something has changed."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from mirada.config import DataConfig, FetchConfig, SourceConfig
from mirada.data import sources
from mirada.data.formats.voc import list_voc
from mirada.errors import MiradaError
from mirada.stages import fetch

SRC = Path(__file__).parents[2] / "src"


@pytest.fixture
def photos(tmp_path):
    """A user's folder: files that fetch has no need to open."""
    folder = tmp_path / "photos"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "a.jpg").write_bytes(b"photo a")
    (folder / "train" / "a.xml").write_bytes(b"<annotation/>")
    return folder


def config(tmp_path, path=None, force=False, name="mine", **source):
    source = {"kind": "path"} if path is not None else {"kind": "generated", "images": 3, "size": 32, **source}
    data = DataConfig(name=name, source=SourceConfig(**source), path=None if path is None else str(path))
    return FetchConfig(data=data, output_dir=str(tmp_path / "raw" / name), force=force)


def snapshot(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leftovers(tmp_path):
    """What lies beside the output folder; glob finds hidden names too."""
    return sorted(path.name for path in tmp_path.glob("raw/*") if path.name != "mine")


def test_shapes_and_what_source_json_says(tmp_path, capsys):
    fetch.run(config(tmp_path))
    folder = tmp_path / "raw" / "mine"
    pairs, rejected = list_voc(folder)
    assert len(pairs) == 3 and rejected == []
    about = json.loads((folder / "SOURCE.json").read_text())
    files = snapshot(folder)
    del files["SOURCE.json"]
    assert about["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert about["settings"] == {"images": 3, "classes": 3, "objects": 4, "size": 32, "seed": 0}
    assert (about["name"], about["kind"], about["count"]) == ("mine", "generated", 6)
    assert about["bytes"] == sum(map(len, files.values()))
    assert "6 files" in capsys.readouterr().out and leftovers(tmp_path) == []


def test_equal_settings_give_equal_bytes_and_are_not_fetched_again(tmp_path, capsys):
    fetch.run(config(tmp_path))
    before, inode = snapshot(tmp_path / "raw"), (tmp_path / "raw" / "mine").stat().st_ino
    capsys.readouterr()
    fetch.run(config(tmp_path))
    assert "up to date" in capsys.readouterr().out
    assert (tmp_path / "raw" / "mine").stat().st_ino == inode
    fetch.run(config(tmp_path, force=True))
    assert (tmp_path / "raw" / "mine").stat().st_ino != inode
    assert snapshot(tmp_path / "raw") == before


@pytest.mark.parametrize("damage", ["gone", "extra", "changed", "source"])
def test_a_damaged_folder_is_fetched_again(tmp_path, damage):
    fetch.run(config(tmp_path))
    folder = tmp_path / "raw" / "mine"
    before = snapshot(folder)
    image = folder / "shapes-000001.jpg"
    if damage == "gone":
        image.unlink()
    elif damage == "changed":
        image.write_bytes(image.read_bytes()[::-1])  # of the same size
    else:
        (folder / ("SOURCE.json" if damage == "source" else "extra.jpg")).write_text("{")
    fetch.run(config(tmp_path))
    assert snapshot(folder) == before


def test_other_settings_replace_the_folder(tmp_path):
    fetch.run(config(tmp_path, images=4))
    fetch.run(config(tmp_path, images=3))
    assert len(snapshot(tmp_path / "raw" / "mine")) == 7


def test_of_a_big_data_set_only_the_digest_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fetch, "LISTED_FILES", 5)
    fetch.run(config(tmp_path))
    about = json.loads((tmp_path / "raw" / "mine" / "SOURCE.json").read_text())
    assert "files" not in about and len(about["digest"]) == 64
    fetch.run(config(tmp_path))
    assert "up to date" in capsys.readouterr().out


def test_a_folder_of_the_user(tmp_path, photos, capsys):
    fetch.run(config(tmp_path, photos))
    copied = snapshot(tmp_path / "raw" / "mine")
    assert str(tmp_path) not in copied.pop("SOURCE.json").decode()  # no folder of this machine
    assert copied == snapshot(photos)
    fetch.run(config(tmp_path, photos))
    assert "up to date" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["new", "edited", "removed"])
def test_a_change_in_the_users_folder_is_seen(tmp_path, photos, change):
    (photos / "b.jpg").write_bytes(b"photo b")
    fetch.run(config(tmp_path, photos))
    if change == "new":
        (photos / "c.jpg").write_bytes(b"photo c")
    elif change == "edited":
        (photos / "b.jpg").write_bytes(b"photo B")
        os.utime(photos / "b.jpg", ns=(1, 1))
    else:
        (photos / "b.jpg").unlink()
    fetch.run(config(tmp_path, photos))
    copied = snapshot(tmp_path / "raw" / "mine")
    del copied["SOURCE.json"]
    assert copied == snapshot(photos)


def test_an_archive_and_its_next_version(tmp_path, photos, capsys):
    archive = tmp_path / "photos.tar.gz"
    for number in range(2):
        (photos / "b.jpg").write_bytes(b"photo b" * number)
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(photos, "photos")
        fetch.run(config(tmp_path, archive))
        copied = snapshot(tmp_path / "raw" / "mine" / "photos")
        assert copied == snapshot(photos)
    capsys.readouterr()
    fetch.run(config(tmp_path, archive))
    assert "up to date" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere", None, r"nowhere does not exist: give a folder or an archive"),
        ("photos.rar", b"x", r"photos.rar is of an unknown kind: give a folder or one of .tar, .tar.gz, .tgz, .zip"),
        ("photos.zip", b"x", r"photos.zip is corrupt or cut short"),
        ("photos.tar", bytes(10240), r"The source of mine holds no image"),
        ("empty/notes.txt", b"x", r"empty holds no image \(.jpg, .png, .webp and whatever else Pillow opens\)"),
    ],
)
def test_mistakes_leave_nothing_behind(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(MiradaError, match=message):
        fetch.run(config(tmp_path, path.parent if path.parent != tmp_path else path))
    assert not (tmp_path / "raw" / "mine").exists() and leftovers(tmp_path) == []


def test_a_failure_keeps_the_old_folder(tmp_path):
    fetch.run(config(tmp_path))
    before = snapshot(tmp_path / "raw")
    (tmp_path / "photos.zip").write_bytes(b"x")
    with pytest.raises(MiradaError, match=r"photos.zip is corrupt"):
        fetch.run(config(tmp_path, tmp_path / "photos.zip"))
    assert snapshot(tmp_path / "raw") == before and leftovers(tmp_path) == []


def test_a_full_disk_is_told_in_one_sentence(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sources, "draw_images", full)
    with pytest.raises(MiradaError, match=r"^fetch of mine failed \(.*No space left on device\): mend that and run it"):
        fetch.run(config(tmp_path))
    assert leftovers(tmp_path) == []


def test_a_folder_that_is_not_ours_is_never_replaced(tmp_path):
    mine = tmp_path / "raw" / "mine"
    mine.mkdir(parents=True)
    fetch.run(config(tmp_path))  # an empty folder may be filled
    shutil.rmtree(mine)
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(MiradaError, match=r"mine was not made by fetch: choose another output_dir"):
        fetch.run(config(tmp_path, force=True))
    assert (mine / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("inside", [True, False])
def test_source_and_output_must_not_lie_in_each_other(tmp_path, photos, inside):
    settings = config(tmp_path, photos)
    settings.output_dir = str(photos / "raw" if inside else photos.parent)
    if not inside:
        (photos.parent / "SOURCE.json").write_text("{}")
    before = snapshot(photos)
    with pytest.raises(MiradaError, match=r"lie in each other: choose another data.name"):
        fetch.run(settings)
    assert snapshot(photos) == before


SLOW = """
import sys, time
from mirada.data import sources
from mirada.config import DataConfig, FetchConfig, SourceConfig
from mirada.stages import fetch
drawn = sources.draw_images
def slowly(source, folder, report):
    drawn(source, folder, report)
    print("drawing", flush=True)
    time.sleep(60)
sources.draw_images = slowly
source = SourceConfig(kind="generated", images=5, size=32)
fetch.run(FetchConfig(DataConfig(name="mine", source=source), output_dir=sys.argv[1]))
"""


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_leaves_the_old_folder_and_the_next_run_clears_up(tmp_path, signal_number):
    fetch.run(config(tmp_path))
    before = snapshot(tmp_path / "raw" / "mine")
    command = [sys.executable, "-c", SLOW, str(tmp_path / "raw" / "mine")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(SRC)}
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"drawing\n"
        process.send_signal(signal_number)
        process.wait(30)
    assert snapshot(tmp_path / "raw" / "mine") == before
    assert len(leftovers(tmp_path)) == (1 if signal_number == signal.SIGKILL else 0)
    fetch.run(config(tmp_path))
    assert leftovers(tmp_path) == [] and snapshot(tmp_path / "raw" / "mine") == before


def test_a_run_killed_while_it_swapped_folders_is_undone(tmp_path, capsys):
    fetch.run(config(tmp_path))
    before = snapshot(tmp_path / "raw" / "mine")
    staging = tmp_path / "raw" / ".mine.fetching-x"
    (staging / "new").mkdir(parents=True)
    (tmp_path / "raw" / "mine").rename(staging / "old")
    fetch.run(config(tmp_path))
    assert "up to date" in capsys.readouterr().out
    assert leftovers(tmp_path) == [] and snapshot(tmp_path / "raw" / "mine") == before


def test_two_fetches_of_one_folder_take_turns(tmp_path):
    code = SLOW.replace("time.sleep(60)", "time.sleep(0.5)")
    command = [sys.executable, "-c", code, str(tmp_path / "raw" / "mine")]
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    started = time.perf_counter()
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    outputs = sorted(run.communicate(timeout=60)[0].count("drawing") for run in runs)
    assert [run.returncode for run in runs] == [0, 0] and time.perf_counter() - started < 60
    assert outputs == [0, 1]  # the second found the work of the first
    assert leftovers(tmp_path) == []
