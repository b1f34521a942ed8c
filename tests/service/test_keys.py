"""API keys: made, rotated, revoked; what each may ask for and how often; and who asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mirada.config import KeysConfig, ServeConfig
from mirada.errors import MiradaError
from mirada.service.app import create_app
from mirada.service.keys import Access, change_keys
from mirada.service.problems import Refusal
from tests.service.conftest import running


def add(file: Path, name: str, *scopes: str, per_minute: float = 0) -> str:
    made = change_keys(KeysConfig(str(file), add=name, scopes=list(scopes), per_minute=per_minute), 0.0)[1]
    assert made is not None
    return f"Bearer {made}"


def test_a_key_may_what_its_scopes_say_and_the_audit_tells(
    serve_config: ServeConfig, square: bytes, tmp_path: Path, wait_for: Callable[[Callable[[], bool], float], None]
) -> None:
    keys, audit = tmp_path / "keys.json", tmp_path / "audit.jsonl"
    camera, boss = add(keys, "camera", "predict"), add(keys, "boss", "admin", "jobs")
    assert keys.stat().st_mode & 0o777 == 0o600 and camera.split("_")[1] not in keys.read_text()
    with running(create_app(replace(serve_config, keys=str(keys), audit=str(audit)))) as client:

        def ask(method: str, path: str, key: str | None) -> int:
            headers = {"Content-Type": "image/png"} | ({"Authorization": key} if key else {})
            return client.request(method, path, headers=headers, content=square).status_code

        assert ask("POST", "/v1/predict", None) == 401 and ask("POST", "/v1/predict", "Bearer mirada_x") == 401
        assert ask("POST", "/v1/predict", camera) == 200 and ask("POST", "/v1/predict", boss) == 403
        assert ask("GET", "/v1/jobs", camera) == 403 and ask("GET", "/v1/jobs", boss) == 503  # there is no queue
        assert ask("GET", "/metrics", camera) == 403 and ask("GET", "/metrics", boss) == 200
        assert ask("GET", "/v1/models", camera) == 200 and ask("GET", "/readyz", None) == 200
        lines = [json.loads(line) for line in audit.read_text().splitlines()]
        told = [(line["key"], line["path"], line["status"]) for line in lines]
        assert told[:4] == [
            (None, "/v1/predict", 401),
            (None, "/v1/predict", 401),
            ("camera", "/v1/predict", 200),
            ("boss", "/v1/predict", 403),
        ]
        assert {line["client"] for line in lines} == {"127.0.0.1"} and len(told) == 9
        change_keys(KeysConfig(str(keys), revoke="camera"), 0.0)
        wait_for(lambda: ask("POST", "/v1/predict", camera) == 401, 5)


def test_a_rotated_key_works_until_its_grace_is_over(tmp_path: Path) -> None:
    keys, now = tmp_path / "keys.json", 1000.0
    old = add(keys, "camera", "predict")
    left, made = change_keys(KeysConfig(str(keys), rotate="camera", grace_h=1), now)
    assert [key.ends_at for key in left] == [4600.0, None] and left[1].scopes == ("predict",)
    access = Access(keys, None, lambda: now)
    assert access.admit("/v1/predict", old) == access.admit("/v1/predict", f"Bearer {made}") == "camera"
    now = 4600.0
    with pytest.raises(Refusal, match="Send the header"):
        access.admit("/v1/predict", old)
    assert access.admit("/v1/predict", f"Bearer {made}") == "camera"
    assert len(change_keys(KeysConfig(str(keys)), now)[0]) == 1, "what has ended is dropped"


def test_a_key_is_told_to_wait_when_it_asks_too_often(tmp_path: Path) -> None:
    keys, now = tmp_path / "keys.json", 0.0
    key = add(keys, "camera", "predict", per_minute=3)
    access = Access(keys, "token", lambda: now)
    for _ in range(3):
        access.admit("/v1/predict", key)
    with pytest.raises(Refusal, match="3 requests a minute: wait 20 s") as refused:
        access.admit("/v1/predict", key)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "20"})
    assert access.admit("/v1/predict", "Bearer token") == "MIRADA_TOKEN", "the token has no rate"
    now = 20.0
    access.admit("/v1/predict", key)
    with pytest.raises(Refusal):
        access.admit("/v1/predict", key)


def test_a_clock_that_jumps_neither_locks_a_key_out_nor_lets_it_ask_without_bound(tmp_path: Path) -> None:
    keys, now = tmp_path / "keys.json", 90_000.0
    key = add(keys, "camera", "predict", per_minute=2)
    access = Access(keys, None, lambda: now)
    access.admit("/v1/predict", key)
    access.admit("/v1/predict", key)
    now = 3_600.0  # a day back
    with pytest.raises(Refusal, match="wait 30 s"):
        access.admit("/v1/predict", key)
    now = 3_630.0
    access.admit("/v1/predict", key)
    now = 90_000.0  # and ahead again: one minute's worth, no more
    access.admit("/v1/predict", key)
    access.admit("/v1/predict", key)
    with pytest.raises(Refusal, match="wait 30 s"):
        access.admit("/v1/predict", key)


def test_mistakes_are_said(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    with pytest.raises(MiradaError, match="is missing: make a key first"):
        Access(keys, None)
    add(keys, "camera", "predict")
    with pytest.raises(MiradaError, match="add=camera is taken"):
        add(keys, "camera", "predict")
    with pytest.raises(MiradaError, match="There is no key boss in .*: it has camera"):
        change_keys(KeysConfig(str(keys), revoke="boss"), 0.0)
    with pytest.raises(MiradaError, match="scopes must be of predict, jobs, admin"):
        KeysConfig(scopes=["root"])
    with pytest.raises(MiradaError, match="add and revoke can't be done at once"):
        KeysConfig(add="a", revoke="b")
