"""What the tests of the page do and look at: uploads, canvases, answers that the small model can't be made to give."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, Route, expect

from tests.service.conftest import LiveService
from tests.squares import draw_example

RED, BLUE = (46, 163, 242), (255, 176, 0)  # the colours of the first two classes
EVIL = "<img src=x onerror=\"document.title='broken in'\">"


def two_squares() -> bytes:
    """Of the drawn examples the first with a square of each colour, and no more."""
    return next(e.image for e in map(draw_example, range(2, 99, 4)) if sorted(e.labels.tolist()) == [0, 1])


def choose(page: Page, *paths: Path) -> None:
    page.set_input_files("#files", list(paths))


def wait_for_result(page: Page, canvases: int = 2) -> None:
    expect(page.locator("#result")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#panes canvas")).to_have_count(canvases)


def near(page: Page, canvas: int, point: tuple[float, float], colour: tuple[int, int, int]) -> bool:
    """Whether a canvas shows a colour within three pixels of a point, in pixels of the image."""
    found = page.evaluate(
        """([n, x, y, width]) => {
            const canvas = document.querySelectorAll("#panes canvas")[n];
            const scale = canvas.width / width;
            const {data} = canvas.getContext("2d").getImageData(x * scale - 3, y * scale - 3, 7, 7);
            return Array.from(data);
        }""",
        [canvas, *point, 64],
    )
    pixels = [found[i : i + 3] for i in range(0, len(found), 4)]
    return any(max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) <= 12 for pixel in pixels)


def left_edge(found: dict[str, Any]) -> tuple[float, float]:
    x1, y1, _, y2 = found["box"]
    return x1, (y1 + y2) / 2


def ask(service: LiveService, image: bytes, variant: str) -> dict[str, Any]:
    """What the API says of an image, from the page's least score on."""
    answer = httpx.post(f"{service.url}/v1/predict?variant={variant}&min_score=0.05", files={"image": image})
    return dict(answer.raise_for_status().json())


def answer(variant: str, detections: list[tuple[str, float, list[float]]], ms: float = 4.0) -> dict[str, Any]:
    """An answer as the API gives it, for what the small model can't be made to say."""
    return {
        "task": "detection",
        "model": {"name": "squares", "digest": "0" * 64},
        "variant": variant,
        "labels": ["red", "blue", EVIL],
        "image": {"width": 64, "height": 64},
        "detections": [{"label": label, "score": score, "box": box} for label, score, box in detections],
        "view": "whole",
        "tiles": 0,
        "left_out": 0,
        "timings_ms": {"decode": 1.0, "prepare": 0.0, "inference": ms, "merge": 0.2, "total": ms + 1.2},
    }


def say(answers: dict[str, dict[str, Any]], asked: list[str] | None = None) -> Callable[[Route], None]:
    """A route that answers with one of `answers`, by the variant asked for."""

    def reply(route: Route) -> None:
        found = re.search(r"variant=(\w+)", route.request.url)
        assert found
        if asked is not None:
            asked.append(found[1])
        route.fulfill(json=answers[found[1]])

    return reply


def refuse(status: int, detail: str, headers: dict[str, str] | None = None) -> Callable[[Route], None]:
    content = {"type": "about:blank", "title": "x", "status": status, "detail": detail, "request_id": "abc"}

    def reply(route: Route) -> None:
        route.fulfill(
            status=status, body=json.dumps(content), content_type="application/problem+json", headers=headers or {}
        )

    return reply


def set_score(page: Page, value: float) -> None:
    page.locator("#score").fill(str(value))


def options(page: Page, pane: int) -> Locator:
    return page.locator(".objects").nth(pane).locator("[role=option]:not([aria-disabled])")
