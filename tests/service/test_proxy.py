"""The service behind Debian's nginx with `deploy/nginx/mirada.conf`: TLS and HTTP/2, at a host name and below a path."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from mirada.config import ServeConfig
from mirada.service.app import create_app
from tests.servers import free_ports, until
from tests.service.conftest import PROJECT, running

NEEDED = ("nginx", "openssl", "curl")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(
    not (NGINX and all(map(shutil.which, NEEDED[1:]))), reason="no nginx, openssl or curl: install Debian's nginx-light"
)


@contextmanager
def nginx(folder: Path, service_port: int, prefix: str, body: str) -> Iterator[int]:
    """nginx with the file of `deploy/`, its names and ports exchanged; gives the port of its TLS."""
    plain, secure = free_ports(2)
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    about = ["-subj", "/CN=mirada.example", "-addext", "subjectAltName=DNS:mirada.example", "-days", "2"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run(["openssl", "req", "-x509", "-nodes", *curve, *files, *about], check=True, capture_output=True)
    conf = (PROJECT / "deploy/nginx/mirada.conf").read_text()
    for old, new in (
        ("127.0.0.1:8000;", f"127.0.0.1:{service_port};"),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ", f"listen 127.0.0.1:{secure} "),
        ("/etc/ssl/mirada/", f"{folder}/"),
        ("260m;", f"{body};"),
        ("    location / {", f"    location {prefix}/ {{"),
    ):
        assert old in conf
        conf = conf.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{conf} }}\n"
    )
    process = subprocess.Popen(
        [str(NGINX), "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(folder / "nginx.conf")]
    )
    try:
        until(lambda: (folder / "pid").exists() and httpx.get(f"http://127.0.0.1:{plain}").status_code == 308, 10)
        yield secure
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("root_path", ["", "/mirada"])
def test_page_and_api_work_behind_nginx(
    serve_config: ServeConfig, square: bytes, tmp_path: Path, root_path: str
) -> None:
    config = replace(serve_config, root_path=root_path, origins=["https://mirada.example"])
    with running(create_app(config)) as direct, nginx(tmp_path, direct.base_url.port or 0, root_path, "1m") as port:
        trust = ssl.create_default_context(cafile=str(tmp_path / "fullchain.pem"))
        trust.set_alpn_protocols(["h2", "http/1.1"])
        with httpx.Client(
            base_url=f"https://127.0.0.1:{port}{root_path}/", headers={"Host": "mirada.example"}, verify=trust
        ) as client:

            def get(path: str) -> httpx.Response:
                return client.get(path, extensions={"sni_hostname": "mirada.example"})

            page, reference = get(""), get("docs")
            links = re.findall(r'(?:href|src)="([^"#]+)"', page.text + reference.text)
            assert {"static/app.js", "static/reference.css", "docs", "openapi.json", "./"} <= set(links)
            assert {link: get(link).status_code for link in links} == dict.fromkeys(links, 200)
            assert get("static/style.css").headers["content-type"].startswith("text/css")
            shown = get("openapi.json").json().get("servers", [])
            assert shown == ([{"url": root_path}] if root_path else [])

        def send(data: bytes, origin: str) -> list[str]:
            (tmp_path / "photo.png").write_bytes(data)
            address = f"https://mirada.example:{port}{root_path}/v1/predict"
            told = subprocess.run(
                ["curl", "-s", "--http2", "--cacert", tmp_path / "fullchain.pem", "-H", f"Origin: {origin}",
                 "--resolve", f"mirada.example:{port}:127.0.0.1", "-w", "\n%{http_version} %{http_code}",
                 "-F", f"image=@{tmp_path}/photo.png", address], capture_output=True, text=True, check=True,
            )  # fmt: skip
            return told.stdout.splitlines()[-1].split()

        assert send(square, "https://mirada.example") == ["2", "200"]
        assert send(square, "https://evil.example") == ["2", "403"]
        assert send(bytes(1_200_000), "https://mirada.example") == ["2", "413"]


@pytest.mark.parametrize("taken_away", [True, False], ids=["stripped", "whole"])
def test_a_proxy_may_take_the_path_away_or_leave_it(serve_config: ServeConfig, square: bytes, taken_away: bool) -> None:
    """And one that hands on no Host is believed by its address in `origins`, whatever it forwards."""
    with running(create_app(replace(serve_config, root_path="/a/b", origins=["https://mirada.example"]))) as client:
        prefix = "" if taken_away else "/a/b"
        for path in ("/", "/static/style.css", "/docs", "/v1/models", "/metrics"):
            assert client.get(prefix + path).status_code == 200, path
        headers = {"Origin": "https://mirada.example", "Content-Type": "image/png"}
        assert client.post(f"{prefix}/v1/predict", content=square, headers=headers).status_code == 200
        forged = headers | {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"}
        answer = client.post(f"{prefix}/v1/predict", content=square, headers=forged)
        assert answer.status_code == 403 and "origins=[…]" in answer.json()["detail"]
        assert client.get(f"{prefix}/healthz", headers={"Host": "10.2.3.4"}).status_code == 200
