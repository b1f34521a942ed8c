"""The store of stages' outputs: the same files for the same key, none of them changed by who uses them."""

import os
import threading
from pathlib import Path

import pytest

from mirada.sweeps.stage_store import StageStore, unlink_shared

OUTPUTS = ("raw", "raw.json")


@pytest.fixture
def store(tmp_path: Path) -> StageStore:
    return StageStore(tmp_path / "store")


def make_job(folder: Path, text: str = "a") -> Path:
    (folder / "raw" / "checkpoints").mkdir(parents=True)
    (folder / "raw" / "x.txt").write_text(text)
    (folder / "raw" / "checkpoints" / "y (1).txt").write_text("y")
    (folder / "raw.json").write_text("{}")
    return folder


def stored(tmp_path: Path, name: str) -> Path:
    return tmp_path / "store" / "fetch" / "k" / "files" / name


def test_a_job_gets_the_files_of_another_one_without_space_of_their_own(store: StageStore, tmp_path: Path) -> None:
    first, second = make_job(tmp_path / "1"), tmp_path / "2"
    store.publish("fetch", "k", first, [*OUTPUTS, "absent"], {"job": "1"})
    assert store.take("fetch", "k", second) == {"job": "1"}
    for name in ("raw/x.txt", "raw/checkpoints/y (1).txt", "raw.json"):
        assert (second / name).samefile(first / name)
    assert store.take("fetch", "other", second) is None
    assert store.take("preprocess", "k", second) is None


def test_files_are_copied_where_there_are_no_links(
    store: StageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    store.publish("fetch", "k", make_job(tmp_path / "1"), OUTPUTS, {})
    assert store.take("fetch", "k", tmp_path / "2") == {}
    assert (tmp_path / "2/raw/x.txt").read_text() == "a"
    assert not (tmp_path / "2/raw/x.txt").samefile(tmp_path / "1/raw/x.txt")


def test_what_a_former_run_left_is_replaced(store: StageStore, tmp_path: Path) -> None:
    store.publish("fetch", "k", make_job(tmp_path / "1"), OUTPUTS, {})
    second = make_job(tmp_path / "2", "old")
    (second / "raw/stale.txt").write_text("old")
    store.take("fetch", "k", second)
    assert (second / "raw/x.txt").read_text() == "a"
    assert not (second / "raw/stale.txt").exists()


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "listing", "no listing"])
def test_a_damaged_entry_is_none_and_can_be_made_anew(store: StageStore, tmp_path: Path, damage: str) -> None:
    store.publish("fetch", "k", make_job(tmp_path / "1"), OUTPUTS, {})
    file, listing = stored(tmp_path, "raw/x.txt"), tmp_path / "store/fetch/k/entry.json"
    {
        "changed": lambda: file.write_text("b"),
        "cut": lambda: file.write_text(""),
        "gone": file.unlink,
        "listing": lambda: listing.write_text("[]"),
        "no listing": listing.unlink,
    }[damage]()
    assert store.take("fetch", "k", tmp_path / "2") is None
    store.publish("fetch", "k", make_job(tmp_path / "3", "c"), OUTPUTS, {"job": "3"})
    assert store.take("fetch", "k", tmp_path / "2") == {"job": "3"}
    assert (tmp_path / "2/raw/x.txt").read_text() == "c"


def test_an_interrupted_publication_is_no_entry(
    store: StageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path / "1")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.publish("fetch", "k", job, OUTPUTS, {})
    assert store.take("fetch", "k", tmp_path / "2") is None
    store.publish("fetch", "k", job, OUTPUTS, {"again": True})
    assert store.take("fetch", "k", tmp_path / "2") == {"again": True}
    assert sorted(path.name for path in (tmp_path / "store/fetch").iterdir()) == ["k"]


def test_a_stage_that_writes_in_place_does_not_reach_the_store(store: StageStore, tmp_path: Path) -> None:
    store.publish("fetch", "k", make_job(tmp_path / "1"), OUTPUTS, {})
    second = tmp_path / "2"
    store.take("fetch", "k", second)
    (second / "raw/own.txt").write_text("own")
    unlink_shared(second, OUTPUTS)
    assert [path.name for path in second.rglob("*.*")] == ["own.txt"]
    (second / "raw/x.txt").write_text("other")
    assert stored(tmp_path, "raw/x.txt").read_text() == "a"


def test_a_second_job_waits_for_the_first(store: StageStore, tmp_path: Path) -> None:
    waiting, order = threading.Event(), []

    def second() -> None:
        with StageStore(tmp_path / "store").locked("fetch", "k", waiting.set):
            order.append(store.take("fetch", "k", tmp_path / "2"))

    with store.locked("fetch", "k", lambda: pytest.fail("nobody holds it")):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        with store.locked("fetch", "other", lambda: pytest.fail("another key is not held")):
            pass
        store.publish("fetch", "k", make_job(tmp_path / "1"), OUTPUTS, {"job": "1"})
        assert order == []
    thread.join(10)
    assert order == [{"job": "1"}]
