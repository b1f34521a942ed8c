"""A headless Chromium in front of the whole service."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.service.conftest import LiveService
from tests.service.web.screen import two_squares

# In the console: each refusal, which is the API's to give; that a test reads pixels.
EXPECTED = re.compile("Failed to load resource|willReadFrequently")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium on the PATH: install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, live_service: LiveService) -> Iterator[Callable[..., Page]]:
    """Open the page, in English at 1280 pixels unless told; whatever it complains of in the console fails the test."""
    complaints: list[str] = []
    contexts = []

    def note(message: Any) -> None:
        if message.type in ("error", "warning") and not EXPECTED.search(message.text):
            complaints.append(message.text)

    def open_it(path: str = "/", routes: dict[str, Any] | None = None, **settings: Any) -> Page:
        settings = {"locale": "en-GB", "viewport": {"width": 1280, "height": 800}} | settings
        context = browser.new_context(**settings)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for pattern, handler in (routes or {}).items():
            page.route(pattern, handler)
        page.goto(live_service.url + path)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture with a red and a blue square."""
    path = tmp_path / "squares.png"
    path.write_bytes(two_squares())
    return path
