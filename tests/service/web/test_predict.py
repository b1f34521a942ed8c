"""One image: boxes, score, two variants, ways to send it."""

from __future__ import annotations

import io
import re
from typing import Any

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Route, expect

from tests.service.web.screen import (
    BLUE,
    EVIL,
    RED,
    answer,
    ask,
    choose,
    left_edge,
    near,
    options,
    say,
    set_score,
    two_squares,
    wait_for_result,
)

pytestmark = pytest.mark.browser


def test_boxes_of_an_uploaded_image_are_drawn_in_their_class_s_colour(open_page, live_service, photo):
    page = open_page()
    choose(page, photo)
    wait_for_result(page)
    for canvas, variant in enumerate(("float32", "int8")):
        found = ask(live_service, photo.read_bytes(), variant)["detections"]
        assert {entry["label"] for entry in found if entry["score"] >= 0.25} == {"red", "blue"}
        for entry in found:
            if entry["score"] >= 0.25:
                colour = {"red": RED, "blue": BLUE}[entry["label"]]
                assert near(page, canvas, left_edge(entry), colour)
    assert not near(page, 0, (32, 2), RED)  # nothing is drawn where nothing was found


def test_float_and_int8_stand_side_by_side_with_both_latencies(open_page, photo):
    page = open_page()
    choose(page, photo)
    wait_for_result(page)
    assert page.locator("#panes h3").all_inner_texts() == ["float32", "int8"]
    left, right = (page.locator(".pane").nth(n).bounding_box() for n in (0, 1))
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    for n in (0, 1):
        expect(page.locator(".pane").nth(n)).to_contain_text(re.compile(r"[\d.]+ ms in the model"))
    expect(page.locator("#result-summary")).to_contain_text(re.compile(r"took [\d.]+ ms"))
    page.select_option("#against", "")
    wait_for_result(page, canvases=1)
    assert page.locator("#panes h3").all_inner_texts() == ["int8"]


def test_differences_of_two_variants_are_counted_listed_and_marked(open_page, photo):
    left = [("red", 0.9, [4, 4, 20, 20]), ("red", 0.8, [40, 4, 60, 24]), ("red", 0.6, [4, 40, 24, 60])]
    left += [("blue", 0.5, [40, 40, 60, 60])]
    right = [("red", 0.9, [4, 4, 20, 20]), ("red", 0.7, [44, 4, 64, 24]), ("blue", 0.6, [4, 40, 24, 60])]
    right += [("blue", 0.1, [40, 40, 60, 60])]
    answers = {"float32": answer("float32", left, 12.0), "int8": answer("int8", right)}
    page = open_page(routes={"**/v1/predict*": say(answers)})
    choose(page, photo)
    wait_for_result(page)
    summary = page.locator("#result-summary")
    for words in ("3 differences", "1 only in float32", "1 moved", "1 with another label", "1 the same"):
        expect(summary).to_contain_text(words)
    expect(summary).to_contain_text("int8 took 4.0 ms, float32 12 ms: 3.0 times as long")
    assert "only here; int8 has it at 0.10" in options(page, 0).nth(3).inner_text()
    assert "they share 67 %" in options(page, 1).nth(1).inner_text()
    assert "float32 says red" in options(page, 1).nth(2).inner_text()
    assert near(page, 0, (60, 60), (255, 255, 255))  # the sign
    assert near(page, 1, (40, 50), (255, 255, 255))  # where the other sees one: dashes
    set_score(page, 0.05)
    expect(summary).to_contain_text("2 differences")
    set_score(page, 0.85)
    expect(summary).to_contain_text("No difference at this score.")


def test_the_slider_filters_at_once_and_asks_nothing_again(open_page, photo):
    asked: list[str] = []
    found = [("red", 0.9, [4, 4, 20, 20]), ("blue", 0.5, [40, 40, 60, 60]), ("blue", 0.1, [4, 40, 20, 60])]
    answers = {name: answer(name, found) for name in ("float32", "int8")}
    page = open_page(routes={"**/v1/predict*": say(answers, asked)})
    choose(page, photo)
    wait_for_result(page)
    expect(options(page, 0)).to_have_count(2)
    assert near(page, 0, (40, 50), BLUE) and not near(page, 0, (4, 50), BLUE)
    set_score(page, 0.6)
    expect(options(page, 0)).to_have_count(1)
    expect(page.locator(".pane").first).to_contain_text("1 object · 2 below the score")
    assert near(page, 0, (4, 12), RED) and not near(page, 0, (40, 50), BLUE)
    set_score(page, 0.05)
    expect(options(page, 1)).to_have_count(3)
    assert asked == ["float32", "int8"]


def test_a_label_that_looks_like_markup_is_shown_as_text(open_page, photo):
    answers = {name: answer(name, [(EVIL, 0.9, [4, 4, 20, 20])]) for name in ("float32", "int8")}
    page = open_page(routes={"**/v1/predict*": say(answers)})
    page.set_input_files("#files", {"name": EVIL, "mimeType": "image/png", "buffer": photo.read_bytes()})
    wait_for_result(page)
    assert EVIL in options(page, 0).first.inner_text()
    expect(page.locator("#result-title")).to_have_text(EVIL)
    assert page.locator("main img[src=x]").count() == 0
    assert page.title() == "Images – Mirada"


def test_a_photograph_that_lies_on_its_side_has_its_boxes_where_they_are_seen(open_page, live_service, tmp_path):
    upright = Image.open(io.BytesIO(two_squares())).convert("RGB").resize((64, 64))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise, when it is looked at
    lying = tmp_path / "lying.jpg"
    upright.rotate(90).save(lying, exif=exif, quality=95)
    page = open_page()
    choose(page, lying)
    wait_for_result(page)
    found = ask(live_service, lying.read_bytes(), "float32")["detections"]
    plain = ask(live_service, two_squares(), "float32")["detections"]
    for turned, straight in zip(found[:2], plain[:2], strict=True):
        assert turned["label"] == straight["label"]
        assert turned["box"] == pytest.approx(straight["box"], abs=4)
        assert near(page, 0, left_edge(turned), {"red": RED, "blue": BLUE}[turned["label"]])
        x1, y1, x2, y2 = turned["box"]
        centre = ((x1 + x2) / 2, (y1 + y2) / 2)
        assert near(page, 0, centre, {"red": (250, 10, 10), "blue": (10, 10, 250)}[turned["label"]])


@pytest.mark.parametrize("task", ["classification", "localization"])
def test_probabilities_are_shown_as_bars(open_page, live_service, photo, task):
    box = [4, 4, 40, 40] if task == "localization" else None

    def told(variant: str, share: float) -> dict[str, Any]:
        label = "red" if share > 0.5 else "blue"
        both = [{"label": "red", "score": share}, {"label": "blue", "score": 1 - share}]
        found = [{"label": label, "score": max(share, 1 - share), "box": box}]
        return answer(variant, []) | {"task": task, "detections": found, "probabilities": both}

    card = httpx.get(f"{live_service.url}/v1/models").json()
    card["models"][0]["task"] = task
    answers = {"float32": told("float32", 0.75), "int8": told("int8", 0.4)}
    page = open_page(routes={"**/v1/predict*": say(answers), "**/v1/models": lambda route: route.fulfill(json=card)})
    choose(page, photo)
    wait_for_result(page)
    expect(page.locator("#result-summary")).to_contain_text("They disagree: float32 says red, int8 says blue.")
    bars = page.locator(".bars")
    assert bars.nth(0).locator("li").all_inner_texts() == ["red\n75.0 % (+35.0)", "blue\n25.0 % (−35.0)"]
    expect(page.locator("#score-control")).to_be_hidden()
    fill, track = (page.locator(f".{name}").first.bounding_box()["width"] for name in ("fill", "track"))
    assert fill / track == pytest.approx(0.75, abs=0.01)
    assert near(page, 0, (4, 22), RED) == (task == "localization")


def test_images_are_dropped_and_pasted(open_page, photo):
    give = """([kind, bytes]) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(bytes)], "image.png", {type: "image/png"}));
        const target = kind === "paste" ? document.body : document.querySelector("#view-images");
        const event = kind === "paste"
            ? new ClipboardEvent("paste", {clipboardData: files, bubbles: true, cancelable: true})
            : new DragEvent(kind, {dataTransfer: files, bubbles: true, cancelable: true});
        target.dispatchEvent(event);
    }"""
    page = open_page()
    page.evaluate(give, ["dragover", list(photo.read_bytes())])
    expect(page.locator("body")).to_have_class("dragging")
    page.evaluate(give, ["drop", list(photo.read_bytes())])
    wait_for_result(page)
    expect(page.locator("#result-title")).to_have_text("image.png")
    page.evaluate(give, ["paste", list(photo.read_bytes())])
    expect(page.locator("#result-title")).to_have_text("pasted image.png")
    wait_for_result(page)


def test_a_picture_of_a_kind_that_the_browser_cannot_show_comes_from_the_service(open_page, live_service, tmp_path):
    tiff = tmp_path / "squares.tif"
    Image.open(io.BytesIO(two_squares())).convert("RGB").save(tiff)
    page = open_page()
    choose(page, tiff)
    wait_for_result(page)
    expect(page.locator("#result-note")).to_be_hidden()
    x1, y1, x2, y2 = next(
        f["box"] for f in ask(live_service, tiff.read_bytes(), "int8")["detections"] if f["label"] == "blue"
    )
    assert near(page, 1, ((x1 + x2) / 2, (y1 + y2) / 2), (10, 10, 250))


def test_an_image_that_comes_before_the_model_s_card_waits_for_it(open_page, photo):
    held: list[Route] = []
    page = open_page(routes={"**/v1/models": lambda route: held.append(route)})
    choose(page, photo)
    expect(page.locator("#result-title")).to_contain_text("The model is looking at squares.png")
    held[0].continue_()
    wait_for_result(page)
    assert page.locator("#panes h3").all_inner_texts() == ["float32", "int8"]
