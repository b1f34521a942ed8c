"""Kaggle's real client against a stand-in server on this machine."""

import io
import json
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kagglesdk import kaggle_env
from PIL import Image

from mirada.config import DataConfig, FetchConfig, SourceConfig
from mirada.errors import MiradaError
from mirada.stages import fetch

HANDLE = "someone/x-rays"


def photo(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), shade).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {
    "xrays/train/NORMAL/1.png": photo(1),
    "xrays/xrays/train/NORMAL/1.png": photo(1),
    "xrays/__MACOSX/train/NORMAL/._1.png": b"resource fork",
    "xrays/train/.DS_Store": b"",
}


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


class Kaggle(BaseHTTPRequestHandler):
    """Answers GetDataset and DownloadDataset; what it says is on the server."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told: Any = self.server
        told.seen.append((self.path, self.headers.get("Authorization")))
        if told.status != 200:
            self._answer(told.status, b'{"message": "no"}', "application/json", None)
        elif self.path.endswith("/GetDataset"):
            answer = {"ref": HANDLE, "currentVersionNumber": 3, "ownerRef": "someone"}
            self._answer(200, json.dumps(answer).encode(), "application/json", None)
        else:
            self._answer(200, told.archive, "application/zip", told.length)

    def _answer(self, status: int, body: bytes, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Kaggle)
    server.archive, server.status, server.length, server.seen = archive(FILES), 200, None, []
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, endpoint)
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home" / ".kaggle"))
    for key in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def config(tmp_path: Path, path: str | None = None) -> FetchConfig:
    source = SourceConfig(kind="kaggle", handle=HANDLE, licence="CC BY 4.0")
    data = DataConfig(name="xrays", task="classification", format="folder", path=path, source=source)
    return FetchConfig(data=data, output_dir=str(tmp_path / "raw" / "xrays"))


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "raw").iterdir())


def test_a_data_set_arrives_whole_and_without_hidden_files(
    tmp_path: Path, server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch.run(config(tmp_path))
    raw = tmp_path / "raw" / "xrays"
    names = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file())
    assert names == ["SOURCE.json", "xrays/train/NORMAL/1.png", "xrays/xrays/train/NORMAL/1.png"]
    about = json.loads((raw / "SOURCE.json").read_text())
    assert (about["kind"], about["settings"], about["licence"]) == ("kaggle", {"handle": HANDLE}, "CC BY 4.0")
    assert left(tmp_path) == ["xrays"]
    assert "licence: CC BY 4.0" in capsys.readouterr().out
    asked = len(server.seen)
    fetch.run(config(tmp_path))
    assert len(server.seen) == asked, "what is there is not fetched again"


def test_the_token_of_the_home_folder_is_sent(tmp_path: Path, server: Any) -> None:
    (tmp_path / "home" / ".kaggle").mkdir()
    (tmp_path / "home" / ".kaggle" / "access_token").write_text("open-sesame\n")
    fetch.run(config(tmp_path))
    assert {authorization for _, authorization in server.seen} == {"Bearer open-sesame"}


def test_an_own_copy_comes_before_kaggle(tmp_path: Path, server: Any) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "1.png").write_bytes(photo(2))
    fetch.run(config(tmp_path, str(tmp_path / "mine")))
    assert server.seen == []
    assert json.loads((tmp_path / "raw" / "xrays" / "SOURCE.json").read_text())["kind"] == "path"


@pytest.mark.parametrize(
    ("status", "token", "message"),
    [
        (
            401,
            None,
            r"^Kaggle wants to know who asks for someone/x-rays: make an API token at https://.*KAGGLE_API_TOKEN",
        ),
        (403, None, r"^Kaggle wants to know who asks .* data\.path="),
        (403, "x", r"^Kaggle refuses someone/x-rays to your account \(403\): .* accept the terms"),
        (404, "x", r"^Kaggle has no data set someone/x-rays, .* correct data\.source\.handle"),
        (500, "x", r"^Kaggle failed on someone/x-rays \(HTTP 500\)"),
    ],
)
def test_a_refusal_says_what_to_do_and_leaves_nothing(
    tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch, status: int, token: str | None, message: str
) -> None:
    server.status = status
    if token:
        monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    with pytest.raises(MiradaError, match=message):
        fetch.run(config(tmp_path))
    assert left(tmp_path) == []


@pytest.mark.slow
def test_a_download_cut_short_leaves_the_old_folder(tmp_path: Path, server: Any) -> None:
    fetch.run(config(tmp_path))
    server.length = len(server.archive) + 1000
    again = config(tmp_path)
    again.force = True
    with pytest.raises(MiradaError, match=r"^Kaggle.* someone/x-rays \("):
        fetch.run(again)
    assert left(tmp_path) == ["xrays"]
    assert (tmp_path / "raw" / "xrays" / "xrays" / "train" / "NORMAL" / "1.png").read_bytes() == photo(1)


def test_what_is_no_archive_is_told(tmp_path: Path, server: Any) -> None:
    server.archive = b"<html>sign in</html>"
    with pytest.raises(MiradaError, match=r"^Kaggle's client failed on someone/x-rays \(Unsupported archive type"):
        fetch.run(config(tmp_path))
    assert left(tmp_path) == []


def test_no_server_is_told(tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, "http://127.0.0.1:9")
    with pytest.raises(MiradaError, match=r"^Kaggle can't be reached for someone/x-rays \(ConnectionError\)"):
        fetch.run(config(tmp_path))
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        (None, r"^data=unnamed names no data set of Kaggle: add data\.path="),
        ("x-rays", r"^data\.source\.handle must be <owner>/<data set>, got 'x-rays'"),
    ],
)
def test_a_handle_is_checked_before_any_work(handle: str | None, message: str) -> None:
    with pytest.raises(MiradaError, match=message):
        DataConfig(source=SourceConfig(kind="kaggle", handle=handle))
