"""A part of a photograph: wheel, drag, pinch and keys, in both panes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from mirada.data.images import encode
from tests.service.web.screen import RED, answer, choose, options, say, wait_for_result

pytestmark = pytest.mark.browser
WIDTH, HEIGHT = 1200, 900
GREEN, GREY = (10, 200, 10), (90, 90, 90)
SMALL = [700.0, 500.0, 740.0, 540.0]  # a box around a green patch


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """Grey, with a green patch of 40 pixels."""
    pixels = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    pixels[500:540, 700:740] = GREEN
    path = tmp_path / "photograph.png"
    path.write_bytes(encode(pixels, "png"))
    return path


def told(variant: str, **more: Any) -> dict[str, Any]:
    found = [("red", 0.9, SMALL), ("red", 0.8, [10.0, 10.0, 60.0, 60.0])]
    return answer(variant, found) | {"image": {"width": WIDTH, "height": HEIGHT}} | more


@pytest.fixture
def page(open_page, photograph: Path) -> Page:
    page: Page = open_page(routes={"**/v1/predict*": say({name: told(name) for name in ("float32", "int8")})})
    choose(page, photograph)
    wait_for_result(page)
    return page


def pixel(page: Page, pane: int, u: float, v: float) -> list[int]:
    """The colour at a point of a canvas, in shares of its sides, when all that was done is drawn."""
    return list(
        page.evaluate(
            """async ([n, u, v]) => {
                for (let i = 0; i < 3; i += 1) await new Promise(requestAnimationFrame);
                const canvas = document.querySelectorAll("#panes canvas")[n];
                const at = [Math.floor(u * canvas.width), Math.floor(v * canvas.height)];
                return Array.from(canvas.getContext("2d").getImageData(...at, 1, 1).data).slice(0, 3);
            }""",
            [pane, u, v],
        )
    )


def move_to(page: Page, u: float, v: float) -> None:
    canvas = page.locator("#panes canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    move_to(page, *start)
    page.mouse.down()
    move_to(page, *end)
    page.mouse.up()


def expect_zoom(page: Page, percent: str) -> None:
    expect(page.locator("#zoom-level")).to_have_text(f"{percent} %")


def is_near(colour: list[int], wanted: tuple[int, int, int]) -> bool:
    return max(abs(a - b) for a, b in zip(colour, wanted, strict=True)) <= 12


def test_the_wheel_enlarges_what_is_under_it_in_both_panes(page: Page) -> None:
    middle = (720 / WIDTH, 520 / HEIGHT)
    assert is_near(pixel(page, 0, *middle), GREEN)
    beside = (middle[0] + 0.03, middle[1])  # 36 pixels to the right, 16 off the patch
    assert is_near(pixel(page, 1, *beside), GREY)
    move_to(page, *middle)
    for _ in range(4):
        page.mouse.wheel(0, -200)
    page.mouse.move(0, 0)
    expect(page.locator("#zoom-level")).not_to_have_text("100 %")
    for pane in (0, 1):
        assert is_near(pixel(page, pane, *middle), GREEN), "what was under the pointer still is"
        assert is_near(pixel(page, pane, *beside), GREEN), "and all about it is larger"


def test_lines_keep_their_width_and_lie_on_their_box_at_any_zoom(page: Page) -> None:
    frame = page.locator(".frame").first
    frame.focus()
    for _ in range(12):
        frame.press("+")
    page.locator(".objects").first.focus()
    page.keyboard.press("ArrowDown")  # enlarged as far as it goes, the object is brought into the middle
    page.evaluate("document.activeElement.blur()")  # else the others are dimmed
    row = page.evaluate(
        """async () => {
            for (let i = 0; i < 3; i += 1) await new Promise(requestAnimationFrame);
            const canvas = document.querySelector("#panes canvas");
            const y = Math.floor(canvas.height / 2);
            return Array.from(canvas.getContext("2d").getImageData(0, y, canvas.width, 1).data);
        }"""
    )
    pixels = [row[i : i + 3] for i in range(0, len(row), 4)]
    blue = [at for at, colour in enumerate(pixels) if is_near(colour, RED)]
    green = [at for at, colour in enumerate(pixels) if is_near(colour, GREEN)]
    assert 2 <= len(blue) <= 8, "two lines of a few pixels, however large the object is"
    assert len(green) > 200
    assert min(blue) <= min(green) + 3 and max(blue) >= max(green) - 3


def test_dragging_moves_both_and_stops_at_the_border(page: Page) -> None:
    page.locator("#zoom-in").click()
    page.locator("#zoom-in").click()
    expect_zoom(page, "225")
    drag(page, (0.9, 0.9), (0.1, 0.1))  # beyond the lower right border, which stays at the canvas's
    x, y = (1 - (1 - 720 / WIDTH) * 2.25, 1 - (1 - 520 / HEIGHT) * 2.25)
    assert is_near(pixel(page, 0, x, y), GREEN) and is_near(pixel(page, 1, x, y), GREEN)
    drag(page, (0.5, 0.5), (0.7, 0.6))
    assert is_near(pixel(page, 0, x + 0.2, y + 0.1), GREEN) and is_near(pixel(page, 1, x + 0.2, y + 0.1), GREEN)


def test_keys_enlarge_move_and_show_the_whole_again(page: Page) -> None:
    frame = page.locator(".frame").nth(1)
    assert frame.get_attribute("aria-label") == "photograph.png, int8"
    hint = page.locator(f"#{frame.get_attribute('aria-describedby')}")
    expect(hint).to_contain_text("+ − 0 and the arrow keys")
    frame.focus()
    frame.press("+")
    frame.press("+")
    expect_zoom(page, "225")
    for _ in range(20):
        frame.press("ArrowRight")
        frame.press("ArrowDown")
    at = (1 - (1 - 720 / WIDTH) * 2.25, 1 - (1 - 520 / HEIGHT) * 2.25)
    assert is_near(pixel(page, 0, *at), GREEN) and is_near(pixel(page, 1, *at), GREEN)
    frame.press("-")
    expect_zoom(page, "150")
    frame.press("0")
    expect_zoom(page, "100")
    expect(page.get_by_role("button", name="Make smaller")).to_be_disabled()
    assert is_near(pixel(page, 1, 720 / WIDTH, 520 / HEIGHT), GREEN)


def test_an_object_under_the_pointer_is_found_in_an_enlarged_picture(page: Page) -> None:
    middle = (720 / WIDTH, 520 / HEIGHT)
    move_to(page, *middle)
    page.mouse.wheel(0, -600)
    expect(page.locator("#zoom-level")).not_to_have_text("100 %")
    move_to(page, middle[0] + 0.05, middle[1])  # 60 pixels off, but for the zoom
    expect(options(page, 0).first).to_have_attribute("aria-selected", "true")
    expect(options(page, 1).first).to_have_attribute("aria-selected", "true")


def test_two_fingers_enlarge_and_one_moves(open_page, photograph: Path) -> None:
    page = open_page(
        routes={"**/v1/predict*": say({name: told(name) for name in ("float32", "int8")})},
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
    )
    choose(page, photograph)
    wait_for_result(page)
    canvas = page.locator("#panes canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    x, y = box["x"] + box["width"] * 720 / WIDTH, box["y"] + box["height"] * 520 / HEIGHT
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": px, "y": py, "id": number} for number, (px, py) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    scrolled = page.evaluate("[scrollY, visualViewport.scale]")
    touch("touchStart", (x - 20, y))
    touch("touchStart", (x - 20, y), (x + 20, y))
    for apart in range(24, 64, 4):
        touch("touchMove", (x - apart, y), (x + apart, y))
    touch("touchEnd")
    expect_zoom(page, "300")
    for pane in (0, 1):
        assert is_near(pixel(page, pane, 720 / WIDTH, 520 / HEIGHT), GREEN)
    touch("touchStart", (x, y))
    for step in range(1, 11):
        touch("touchMove", (x - 6 * step, y))
    touch("touchEnd")
    assert is_near(pixel(page, 0, 720 / WIDTH - 60 / box["width"], 520 / HEIGHT), GREEN)
    assert page.evaluate("[scrollY, visualViewport.scale]") == scrolled, "the page itself stays where it is"


def test_the_answer_says_how_it_was_looked_at_and_what_was_left_out(open_page, photograph: Path) -> None:
    spent = {"decode": 30.0, "prepare": 12.0, "inference": 400.0, "merge": 8.0, "total": 450.0}
    tiles = {"view": "tiles", "tiles": 54, "left_out": 1234, "timings_ms": spent}
    page = open_page(routes={"**/v1/predict*": say({"float32": told("float32"), "int8": told("int8", **tiles)})})
    choose(page, photograph)
    wait_for_result(page)
    times = page.locator(".times")
    expect(times.first).to_have_text("Looked at as a whole. 5.2 ms in all: decoding 1.0, inference 4.0, merging 0.20.")
    expect(times.last).to_have_text(
        "Looked at in 54 tiles. 450 ms in all: decoding 30, cutting tiles 12, inference 400, merging 8.0. "
        "1,234 more, which score less, were left out."
    )
