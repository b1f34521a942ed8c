"""What the guard lets pass: whose requests, how slow they may be, and what every answer carries."""

from __future__ import annotations

import re
import socket
import time

import httpx
import pytest

from mirada.config import ServeConfig
from mirada.service.app import create_app
from tests.service.conftest import running
from tests.service.test_app import predict


def test_requests_carry_an_id_and_every_answer_is_guarded(client: httpx.Client) -> None:
    given = client.get("/healthz", headers={"X-Request-ID": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    bad = client.get("/nothing", headers={"X-Request-ID": "a b\u00e9".encode("latin-1")})
    assert (
        re.fullmatch("[0-9a-f]{32}", bad.headers["x-request-id"])
        and bad.json()["request_id"] == bad.headers["x-request-id"]
    )
    for path in ("/", "/v1/models", "/nothing", "/static/style.css", "/metrics", "/docs"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY", path
        assert (
            "script-src 'self'" in headers["content-security-policy"]
            and "unsafe" not in headers["content-security-policy"]
        )
    assert (
        "access-control-allow-origin" not in client.get("/v1/models", headers={"Origin": "http://evil.example"}).headers
    )


def test_a_token_is_needed_where_there_is_one(serve_config: ServeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRADA_TOKEN", "secret")
    with running(create_app(serve_config)) as client:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic secret"},
            {"Authorization": "secret"},
        ):
            answer = client.get("/v1/models", headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        right = {"Authorization": "Bearer secret"}
        assert client.get("/v1/models", headers=right).status_code == 200
        assert client.get("/metrics").status_code == 401
        assert {client.get(path).status_code for path in ("/", "/healthz", "/readyz", "/openapi.json")} == {200}
        assert client.post("/v1/models/reload", headers=right).status_code == 200


def test_other_origins_and_names_are_turned_away(client: httpx.Client) -> None:
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert predict(client, **headers).status_code == 403, headers
    own = str(client.base_url).rstrip("/")
    assert predict(client, Origin=own, **{"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_a_slow_client_is_not_waited_for(serve_config: ServeConfig) -> None:
    serve_config.limits.body_s = 0.3
    with running(create_app(serve_config)) as client:
        host, port = client.base_url.host, client.base_url.port
        with socket.create_connection((host, int(port or 0)), 10) as raw:
            raw.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\nabc"
            )
            started = time.monotonic()
            raw.settimeout(20)
            assert raw.recv(20).startswith(b"HTTP/1.1 408")
            assert time.monotonic() - started < 15
