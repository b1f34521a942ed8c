"""Whether MLflow's store is there: one sentence within 10 s, whatever is wrong with it."""

import importlib.util
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mirada.errors import MiradaError
from mirada.tracking.store import StoreAway, check, is_absence, with_driver, without_password
from tests.servers import free_port


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_is_down_is_named_with_its_uri() -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StoreAway) as caught:
        check(uri)
    assert str(caught.value) == (
        f"MLflow at {uri} does not answer (connection refused): start it, or correct the URI "
        "(tracking.enabled=false works without)."
    )


@pytest.mark.slow
def test_a_silent_server_costs_less_than_ten_seconds(silent_server: str) -> None:
    before = time.monotonic()
    with pytest.raises(StoreAway, match=rf"MLflow at {silent_server} does not answer \(timed out\)"):
        check(silent_server)
    assert time.monotonic() - before < 10


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (500, '{"message": "no database"}', r"answers with status 500 \(no database\): look at the server's log"),
        (503, "<html>", "answers with status 503: look at the server's log"),
        (404, "<html>Not Found", r"answers \(status 404\), but not as an MLflow server: correct the URI, its path too"),
        (200, "<html>Welcome", r"answers \(status 200\), but not as an MLflow server"),
    ],
)
def test_another_answer_is_told(status: int, body: str, sentence: str) -> None:
    with answering(status, body) as uri, pytest.raises(MiradaError, match=sentence):
        check(uri)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, '{"experiment": {}}'), (404, '{"error_code": "RESOURCE_DOES_NOT_EXIST"}'), (401, "who are you?")],
)
def test_a_server_that_works_passes(status: int, body: str) -> None:
    """One without the experiment, and one that wants to know who asks, too."""
    with answering(status, body) as uri:
        check(uri)


def test_a_database_that_is_down_is_named_without_its_password() -> None:
    port = free_port()
    with pytest.raises(StoreAway) as caught:
        check(f"postgresql://me:secret@127.0.0.1:{port}/runs")
    assert f"me:***@127.0.0.1:{port}/runs does not answer (connection" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MiradaError, match="needs the package psycopg2: install the extra of Mirada named postgres"):
        check("postgresql://me@host/runs")


def test_the_driver_that_is_installed_is_used() -> None:
    assert with_driver("postgresql://me@host/runs") == "postgresql+psycopg2://me@host/runs"
    assert with_driver("sqlite:///runs.db") == "sqlite:///runs.db"


def test_a_password_is_not_without_password() -> None:
    assert without_password("http://me:secret@host:5000/x") == "http://me:***@host:5000/x"
    assert without_password("http://host:5000") == "http://host:5000"
    assert without_password("sqlite:////a/b.db") == "sqlite:////a/b.db"


@pytest.mark.slow
def test_absence_is_told_from_refusal() -> None:
    from mlflow.exceptions import MlflowException, RestException
    from requests import ConnectionError as NoConnection

    away = [
        MlflowException("API request to http://x failed with exception refused"),
        RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "database"}),
        RestException({"error_code": "INTERNAL_ERROR", "message": "?"}),
        MlflowException("API request to endpoint /x failed with error code 404 != 200", error_code=3),
        NoConnection("refused"),
    ]
    refused = [
        RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "Changing param values is not allowed"}),
        RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Run not found"}),
        FileNotFoundError("model.keras"),
        TypeError("a defect"),
    ]
    assert [is_absence(error) for error in away + refused] == [True] * len(away) + [False] * len(refused)
