"""Many images: the job, live and to its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.service.web.screen import (
    EVIL,
    choose,
    two_squares,
)
from tests.squares import draw_example

pytestmark = pytest.mark.browser


def test_a_job_of_fifty_images_runs_to_its_end(open_page, tmp_path):
    paths = [tmp_path / f"square {n}.png" for n in range(50)]
    for n, path in enumerate(paths):
        path.write_bytes(draw_example(n).image)
    page = open_page()
    choose(page, *paths)
    bar = page.locator("#job progress")
    expect(bar).to_have_attribute("max", "50")
    expect(page.locator("#job")).to_contain_text("50 of 50 done", timeout=60_000)
    expect(page.locator("#job .badge")).to_have_text("done")
    assert bar.evaluate("bar => bar.value") == 50
    assert page.locator(".tile").count() == 50
    image = page.locator(".tile img").first
    expect(image).to_be_visible()
    assert 0 < image.evaluate("image => image.naturalWidth") <= 256
    names = {"json": "JSON", "coco": "COCO JSON", "csv": "CSV", "voc": "VOC XML"}
    for name in names.values():
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download {name}", exact=True).click()
        assert Path(download.value.path()).stat().st_size > 0
    page.locator(".tile").nth(3).click()
    expect(page.locator("#viewer-image")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-title")).to_have_text("square 4.png")
    page.keyboard.press("Escape")
    expect(page.locator(".tile").nth(4)).to_be_focused()
    page.reload()  # the address holds the job
    expect(page.locator("#job")).to_contain_text("50 of 50 done")
    expect(page.locator("#jobs tbody tr").first).to_contain_text("50 of 50 done")


def test_a_job_is_followed_live_and_cancelled(open_page, tmp_path):
    states = ["done"] + ["waiting"] * 3

    def job(route: Route) -> None:
        if route.request.method == "DELETE":
            states[1:] = ["cancelled"] * 3
        route.fulfill(json=told())

    def told() -> dict[str, Any]:
        counts = {"total": 4, "done": 1, "failed": 0, "cancelled": states.count("cancelled")}
        images = [{"n": n, "name": f"{EVIL}.png", "state": s, "error": None} for n, s in enumerate(states)]
        state = "cancelled" if counts["cancelled"] else "running"
        times = {"created_at": "2026-01-02T03:04:05+00:00", "ended_at": None, "expires_at": None}
        return {
            "id": "j1",
            "state": state,
            "variant": "int8",
            "min_score": 0.25,
            "counts": counts,
            "images": images,
        } | times

    def events(route: Route) -> None:
        now = told()
        kind = "end" if now["state"] == "cancelled" else "progress"
        data = {"state": now["state"], "counts": now["counts"], "changed": now["images"]}
        route.fulfill(
            body=f": ping\r\n\r\nevent: {kind}\r\ndata: {json.dumps(data)}\r\n\r\n", content_type="text/event-stream"
        )

    page = open_page(
        "/#jobs/j1",
        {
            "**/v1/jobs": lambda route: route.fulfill(json={"jobs": [told()]}),
            "**/v1/jobs/j1": job,
            "**/v1/jobs/j1/events": events,
            "**/v1/jobs/j1/images/*": lambda route: route.fulfill(body=two_squares(), content_type="image/png"),
        },
    )
    expect(page.locator("#job")).to_contain_text("1 of 4 done")
    expect(page.locator(".tile").first).to_contain_text(EVIL)
    page.get_by_role("button", name="Cancel what has not run").click()
    expect(page.locator("#job .badge")).to_have_text("cancelled")
    expect(page.locator("#job")).to_contain_text("3 cancelled")
    expect(page.locator("#live")).to_contain_text("The job was cancelled")
    assert page.title() == "Jobs – Mirada"


def test_a_job_whose_first_try_broke_off_is_sent_again_under_the_same_key(open_page, live_service, tmp_path):
    paths = [tmp_path / f"again {n}.png" for n in range(2)]
    for n, path in enumerate(paths):
        path.write_bytes(draw_example(n).image)
    keys: list[str] = []

    def lose_the_first_answer(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        keys.append(route.request.headers["idempotency-key"])
        response = route.fetch()
        if len(keys) == 1:
            route.abort()
        else:
            route.fulfill(response=response)

    before = len(live_service.get("/v1/jobs").json()["jobs"])
    page = open_page(routes={"**/v1/jobs*": lose_the_first_answer})
    choose(page, *paths)
    expect(page.get_by_role("alert")).to_contain_text("The service broke the transfer off")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#job")).to_contain_text("Job of 2 images")
    assert len(keys) == 2 and keys[0] == keys[1]
    assert len(live_service.get("/v1/jobs").json()["jobs"]) == before + 1
