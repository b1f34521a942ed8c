"""The examples of the documentation, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mirada.data.images import decode, encode
from tests.service.conftest import PROJECT, LiveService
from tests.squares import draw_example

PAGES = ("README.md", "docs/how-to/service.md", "docs/tutorials/server.md")
BLOCKS = [
    (page, language, text)
    for page in PAGES
    for language, text in re.findall(r"^```(sh|python)\n(.*?)^```$", (PROJECT / page).read_text(), re.M | re.S)
    if "http://127.0.0.1:8000" in text
]


@pytest.mark.parametrize(
    ("page", "language", "text"), BLOCKS, ids=[f"{page}-{n}" for n, (page, *_) in enumerate(BLOCKS)]
)
def test_examples_run(page: str, language: str, text: str, live_service: LiveService, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(("photo.jpg", "other.jpg", "photos/1.jpg", "photos/2.jpg")):
        (tmp_path / name).write_bytes(encode(decode(draw_example(3 + 4 * number).image), "jpeg"))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(tmp_path / "photo.jpg", "photo.jpg")
    text = text.replace("http://127.0.0.1:8000", live_service.url)
    text = text.replace("monday", tmp_path.name).replace("tuesday", tmp_path.name)
    # curl's --fail: an example that is refused must fail here.
    text = text.replace("curl ", "curl --fail-with-body ") if language == "sh" else text
    command = ["bash", "-euo", "pipefail", "-c", text] if language == "sh" else [sys.executable, "-c", text]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    if language == "python" and "/v1/jobs" not in text:
        assert re.search(r"^\w+ 0\.\d+ \[\d", done.stdout, re.M)
    elif language == "python":
        assert "done {'total': 2, 'done': 2, 'failed': 0, 'cancelled': 0}" in done.stdout
    elif "$job" in text:
        assert (tmp_path / "found.csv").read_text().startswith("n,name,state") and "event: end" in done.stdout
    else:
        assert '"detections": [{"label"' in done.stdout


def test_there_are_examples() -> None:
    both = {(page, language) for page in PAGES[1:] for language in ("sh", "python")}
    assert {block[:2] for block in BLOCKS} == both | {("README.md", "sh")}
