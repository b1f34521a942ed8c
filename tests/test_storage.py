"""Stores that fsspec knows: S3 on a server of its own, and the cheap ones."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from mirada.config import DataConfig, FetchConfig, PreprocessConfig, SourceConfig, SplitConfig
from mirada.data.shapes import draw_shapes, write_voc
from mirada.data.stored_data import open_dataset, publish_dataset
from mirada.errors import MiradaError
from mirada.stages import fetch, preprocess
from mirada.storage import Store, is_url, without_password

ROOT = Path(__file__).parents[1]
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A client of an empty bucket `photos`; Mirada finds it by the environment alone."""
    for key, value in KEYS.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no_config"))
    monkeypatch.setenv("MIRADA_CACHE", str(tmp_path / "cache"))
    client = boto3.client("s3", **{"endpoint_url": endpoint})
    client.create_bucket(Bucket="photos")
    for entry in client.list_objects_v2(Bucket="photos").get("Contents", []):
        client.delete_object(Bucket="photos", Key=entry["Key"])
    return client


def keys(client: Any, prefix: str = "") -> list[str]:
    return [entry["Key"] for entry in client.list_objects_v2(Bucket="photos", Prefix=prefix).get("Contents", [])]


def draw(folder: Path, count: int = 15) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        image, boxes = draw_shapes(index, 2, 3, 64, seed=0)
        image.save(folder / f"{index:03d} (1).png")  # names as people give them
        write_voc(folder / f"{index:03d} (1).png", 64, 64, boxes)
    return folder


def upload(client: Any, folder: Path, prefix: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "photos", f"{prefix}/{path.relative_to(folder).as_posix()}")


def fetch_config(tmp_path: Path, path: str, **keys: Any) -> FetchConfig:
    data = DataConfig(name="mine", source=SourceConfig(kind="path"), path=path)
    return FetchConfig(data=data, output_dir=str(tmp_path / "raw" / "mine"), **keys)


def preprocess_config(raw_dir: str | Path, output_dir: str | Path) -> PreprocessConfig:
    split = SplitConfig(kind="ratio", val=0.2, test=0.2)
    data = DataConfig(name="mine", split=split)
    return PreprocessConfig(
        data=data, raw_dir=str(raw_dir), output_dir=str(output_dir), input_size=64, workers=1, shard_images=4
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- reading raw files -------------------------------------------------------------------------------------------------


def test_a_folder_of_a_bucket(s3: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = draw(tmp_path / "photos")
    upload(s3, photos, "trip/2024")
    s3.put_object(Bucket="photos", Key="trip/2024/", Body=b"")  # the mark that consoles leave for a folder
    s3.put_object(Bucket="photos", Key="trip/2024/.hidden/x.jpg", Body=b"x")
    s3.put_object(Bucket="photos", Key="trip/20245.jpg", Body=b"a neighbour")
    fetch.run(fetch_config(tmp_path, "s3://photos/trip/2024/"))
    found = contents(tmp_path / "raw" / "mine")
    about = json.loads(found.pop("SOURCE.json"))
    assert found == contents(photos)
    assert about["settings"]["url"] == "s3://photos/trip/2024" and about["count"] == 30
    fetch.run(fetch_config(tmp_path, "s3://photos/trip/2024"))
    assert "is up to date" in capsys.readouterr().out
    s3.put_object(Bucket="photos", Key="trip/2024/000 (1).xml", Body=(photos / "000 (1).xml").read_bytes()[::-1])
    fetch.run(fetch_config(tmp_path, "s3://photos/trip/2024"))  # of the same size and yet another file
    assert contents(tmp_path / "raw" / "mine") != found
    assert "30 files" in capsys.readouterr().out


def test_an_archive_of_a_bucket(s3: Any, tmp_path: Path) -> None:
    photos = draw(tmp_path / "photos", 3)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in contents(photos).items():
            archive.writestr(name, content)
    s3.put_object(Bucket="photos", Key="packed/all.zip", Body=packed.getvalue())
    fetch.run(fetch_config(tmp_path, "s3://photos/packed/all.zip"))
    found = contents(tmp_path / "raw" / "mine")
    del found["SOURCE.json"]
    assert found == contents(photos)
    assert not list((tmp_path / "raw").glob(".*"))


def test_other_stores(tmp_path: Path) -> None:
    import fsspec

    photos = draw(tmp_path / "photos", 3)
    memory = fsspec.filesystem("memory")
    memory.put(str(photos), "/album", recursive=True)
    for url in (f"file://{photos}", "memory://album"):
        fetch.run(fetch_config(tmp_path, url))
        found = contents(tmp_path / "raw" / "mine")
        assert json.loads(found.pop("SOURCE.json"))["settings"]["url"] == url
        assert found == contents(photos)
    memory.rm("/album", recursive=True)


def test_a_name_that_would_land_outside(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.store["/evil/../../x.jpg"] = memory.open("/evil/x.jpg", "wb")
    try:
        with pytest.raises(
            MiradaError, match=r"^memory://evil holds '../../x.jpg', which would land outside its folder"
        ):
            Store("memory://evil").list()
    finally:
        memory.store.clear()


# -- writing and reading data sets -------------------------------------------------------------------------------------


def test_there_and_back(s3: Any, tmp_path: Path) -> None:
    raw = draw(tmp_path / "raw")
    upload(s3, raw, "raw")
    preprocess.run(preprocess_config(raw, tmp_path / "here"))
    preprocess.run(preprocess_config("s3://photos/raw", "s3://photos/made/processed"))
    expected = contents(tmp_path / "here")
    assert keys(s3, "made/") == sorted([f"made/processed/{name}" for name in expected] + ["made/processed.timing.json"])
    for name, content in expected.items():
        assert s3.get_object(Bucket="photos", Key=f"made/processed/{name}")["Body"].read() == content
    dataset = open_dataset("s3://photos/made/processed/", verify=True)
    assert dataset.digest == open_dataset(tmp_path / "here").digest
    assert len(list(dataset.examples("train"))) == dataset.splits["train"]["images"]
    assert json.loads(Path(f"{dataset.folder}.timing.json").read_text())["images"] == 15
    assert not list((tmp_path / "cache" / "outgoing").glob(".*"))


def test_the_copy_is_read_again_and_mended(s3: Any, tmp_path: Path) -> None:
    preprocess.run(preprocess_config(draw(tmp_path / "raw"), "s3://photos/processed"))
    first = open_dataset("s3://photos/processed")
    shard = first.shards("train")[0]
    before = shard.stat().st_mtime_ns
    assert open_dataset("s3://photos/processed", verify=True).folder == first.folder
    assert shard.stat().st_mtime_ns == before
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"?")
    open_dataset("s3://photos/processed", verify=True)
    assert shard.read_bytes() == content
    shard.unlink()
    open_dataset("s3://photos/processed")
    assert shard.read_bytes() == content


def test_another_data_set_replaces_the_old_one(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="photos", Key="processed/notes.txt", Body=b"mine")
    preprocess.run(preprocess_config(draw(tmp_path / "raw"), "s3://photos/processed"))
    old = open_dataset("s3://photos/processed")
    preprocess.run(preprocess_config(draw(tmp_path / "few", 8), "s3://photos/processed"))
    new = open_dataset("s3://photos/processed", verify=True)
    assert new.digest != old.digest and new.folder != old.folder
    assert list(old.examples("test")), "a reader of the old copy is not disturbed"
    shards = {f"processed/{path.name}" for split in new.splits for path in new.shards(split)}
    shards |= {f"processed/photographs-{split}-00000-of-00001.tfrecord" for split in ("val", "test")}
    others = {f"processed/{name}" for name in ("dataset.json", "rejected.csv", "notes.txt")}
    assert set(keys(s3, "processed/")) == shards | others


def test_an_interrupted_upload_is_no_data_set(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess.run(preprocess_config(draw(tmp_path / "raw"), "s3://photos/processed"))
    preprocess.run(preprocess_config(tmp_path / "raw", tmp_path / "here"))
    store = Store("s3://photos/processed")
    put = Store.put

    def put_one(self: Store, files: Any) -> None:
        put(self, list(files)[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "put", put_one)
    with pytest.raises(KeyboardInterrupt):
        publish_dataset(tmp_path / "here", store)
    monkeypatch.undo()
    for key, value in {**KEYS, "AWS_ENDPOINT_URL": s3.meta.endpoint_url, "MIRADA_CACHE": str(tmp_path)}.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(MiradaError, match=r"^s3://photos/processed/dataset\.json is missing: run the preprocess stage"):
        open_dataset("s3://photos/processed")


def test_a_shard_that_is_not_the_one_named(s3: Any, tmp_path: Path) -> None:
    preprocess.run(preprocess_config(draw(tmp_path / "raw"), "s3://photos/processed"))
    name = next(key for key in keys(s3) if key.endswith(".tfrecord"))
    s3.put_object(Bucket="photos", Key=name, Body=b"another")
    with pytest.raises(
        MiradaError, match=rf"^s3://photos/{name} is not the one that dataset.json names: run the prepro"
    ):
        open_dataset("s3://photos/processed")


def test_a_dataset_json_that_names_a_file_elsewhere(s3: Any, tmp_path: Path) -> None:
    for content in (
        b"{",
        b"[]",
        json.dumps({"splits": {"train": {"shards": [{"file": "../x", "sha256": ""}]}}}).encode(),
    ):
        s3.put_object(Bucket="photos", Key="processed/dataset.json", Body=content)
        with pytest.raises(MiradaError, match=r"^s3://photos/processed/dataset\.json is corrupt: run the"):
            open_dataset("s3://photos/processed")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("s3://nowhere/photos", r"^s3://nowhere/photos can't be read \(.*\): correct the bucket or the path\.$"),
        ("s3://photos/nothing", r"^s3://photos/nothing can't be read \(.*\): correct the bucket or the path\.$"),
        ("s3://photos/texts", r"^data\.path=s3://photos/texts holds no image \(\.jpg, .*\): give another folder\.$"),
        ("s3://photos/texts/a.txt", r"^data\.path=s3://photos/texts/a.txt is of an unknown kind: give a folder or one"),
        (
            "nosuch://photos/a",
            r"^nosuch://photos/a can't be reached \(.*\): use a scheme that fsspec knows, such as s3://",
        ),
    ],
)
def test_wrong_places_are_told(s3: Any, tmp_path: Path, path: str, message: str) -> None:
    s3.put_object(Bucket="photos", Key="texts/a.txt", Body=b"text")
    with pytest.raises(MiradaError, match=message):
        fetch.run(fetch_config(tmp_path, path))
    assert not (tmp_path / "raw").exists() or not list((tmp_path / "raw").iterdir())


def test_a_target_is_tried_before_the_work(s3: Any, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(
        MiradaError, match=r"^s3://nowhere/made can't be written \(.*\): correct the bucket or the path\.$"
    ):
        preprocess.run(preprocess_config(draw(tmp_path / "raw", 3), "s3://nowhere/made"))
    assert time.monotonic() - started < 10
    assert "nowhere" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def run_script(tmp_path: Path, script: str, *arguments: str, **changed: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **KEYS, "MIRADA_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path), **changed}
    environment = {key: value for key, value in environment.items() if value}
    command = [sys.executable, str(ROOT / "src" / script), *arguments, f"hydra.run.dir={tmp_path / 'hydra'}"]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            r"check the network, and the address of the store \(AWS_ENDPOINT_URL",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            r"give credentials \(AWS_ACCESS_KEY_ID and AWS_SECRET",
        ),
    ],
)
def test_a_store_that_lets_nobody_in(endpoint: str, tmp_path: Path, changed: dict[str, str], message: str) -> None:
    started = time.monotonic()
    result = run_script(
        tmp_path, "fetch.py", "data=voc", "data.path=s3://photos/trip", **{"AWS_ENDPOINT_URL": endpoint} | changed
    )
    assert time.monotonic() - started < 12
    assert result.returncode == 1
    assert re.fullmatch(rf"error: s3://photos/trip [^\n]*{message}[^\n]*\n", result.stderr), result.stderr


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec  # noqa: F401

    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(
        MiradaError, match=r"^s3://photos needs a package that is not installed: pip install 'mirada\[s3\]'"
    ):
        Store("s3://photos")


def test_only_some_folders_may_be_urls(tmp_path: Path) -> None:
    result = run_script(tmp_path, "fetch.py", "data=shapes", "output_dir=s3://photos/raw")
    assert result.returncode == 1
    assert result.stderr.startswith("error: output_dir=s3://photos/raw: only a folder of this machine"), result.stderr
    assert not (tmp_path / "s3:").exists()


def test_passwords_are_not_shown() -> None:
    assert without_password("ftp://me:secret@host/photos/") == "ftp://host/photos"
    assert is_url("s3://bucket/a") and not is_url("C:\\photos") and not is_url("photos/a") and not is_url(None)


@pytest.mark.slow
def test_commands_from_bucket_to_bucket_to_model(s3: Any, endpoint: str, tmp_path: Path) -> None:
    upload(s3, draw(tmp_path / "photos", 24), "photos")
    shutil.rmtree(tmp_path / "photos")

    def run(script: str, *arguments: str) -> str:
        result = run_script(tmp_path, script, *arguments, AWS_ENDPOINT_URL=endpoint)
        assert result.returncode == 0, result.stderr
        assert "botocore" not in result.stdout + result.stderr
        return result.stdout

    data = ("data=voc", "data.path=s3://photos/photos")
    run("fetch.py", *data, f"output_dir={tmp_path / 'raw'}")
    run("preprocess.py", *data, f"raw_dir={tmp_path / 'raw'}", "output_dir=s3://photos/processed", "input_size=64")
    settings = ("model=tiny", "epochs=1", "batch_size=4", "tracking.enabled=false", f"output_dir={tmp_path / 'model'}")
    out = run("train.py", "data_dir=s3://photos/processed", *settings)
    assert "epoch" in out and (tmp_path / "model" / "model.json").is_file()
