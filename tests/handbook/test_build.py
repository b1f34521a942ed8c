"""The site as it is built: opened as files, it shows its pages, finds words and asks nobody else."""

import shutil
from pathlib import Path

import pytest
from handbook.build import build
from playwright.sync_api import Page, sync_playwright


@pytest.mark.browser
def test_the_site_opens_as_files_and_asks_nobody(tmp_path: Path) -> None:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium on the PATH: install Debian's package chromium")
    first = build(tmp_path / "site")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        page = browser.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(first.as_uri())
        page.get_by_role("link", name="Your own photographs in ten minutes").click()
        assert page.get_by_role("heading", level=1).inner_text().startswith("Your own photographs")
        assert "training.html?h=guard_returns" in search(page, "guard_returns")
        page.set_viewport_size({"width": 390, "height": 800})
        page.goto(first.with_name("reference").joinpath("keys", "train.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []


def search(page: Page, word: str) -> str:
    """Where the first thing leads that is found, once the index was read."""
    box = page.get_by_label("Search").and_(page.locator("input[type=text]"))
    for _ in range(60):  # the key is heard once the page's script has run, which nothing on it tells
        if box.is_visible():
            break
        page.keyboard.press("Control+k")
        page.wait_for_timeout(500)
    box.fill(word)
    found = page.locator("a", has=page.locator("mark, b, em, u, span")).filter(has_text=word).first
    found.wait_for(state="visible", timeout=10_000)
    return found.get_attribute("href") or ""
