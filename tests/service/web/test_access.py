"""Dark and light, phone, keyboard, languages, names and contrast."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.service.web.screen import (
    choose,
    options,
    wait_for_result,
)

pytestmark = pytest.mark.browser


def test_dark_follows_the_system_and_the_switch_which_is_kept(open_page):
    ground = "getComputedStyle(document.body).backgroundColor"
    page = open_page(color_scheme="dark")
    assert page.evaluate(ground) == "rgb(20, 23, 27)"
    switch = page.get_by_role("button", name="Dark colours")
    expect(switch).to_have_attribute("aria-pressed", "true")
    switch.click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.reload()
    expect(switch).to_have_attribute("aria-pressed", "false")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_nothing_scrolls_sideways_at_the_width_of_a_phone(open_page, photo):
    page = open_page(viewport={"width": 360, "height": 700}, locale="es-ES")
    choose(page, photo)
    wait_for_result(page)
    for view in ("images", "jobs", "model"):
        page.locator(f"nav a[href='#{view}']").click()
        expect(page.locator(f"#view-{view}")).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        wide = page.evaluate(
            """() => [...document.querySelectorAll("main *")].filter((e) => !e.closest(".scroll, .unseen")
               && e.getBoundingClientRect().right > innerWidth).map((e) => e.outerHTML.slice(0, 80))"""
        )
        assert wide == []


def test_the_keyboard_alone_does_it_all(open_page, photo):
    page = open_page()
    page.on("filechooser", lambda chooser: None)  # Playwright begins to look for one some time after it is told to
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "choose":
            break
    expect(page.locator("#choose")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(photo)
    wait_for_result(page)
    page.locator("#score").focus()
    before = float(page.locator("#score").input_value())
    page.keyboard.press("ArrowRight")
    assert float(page.locator("#score").input_value()) == pytest.approx(before + 0.01)
    box = page.locator(".objects").first
    plain = page.locator("#panes canvas").first.evaluate("canvas => canvas.toDataURL()")
    box.focus()
    page.keyboard.press("ArrowDown")
    expect(options(page, 0).first).to_have_attribute("aria-selected", "true")
    assert box.get_attribute("aria-activedescendant") == options(page, 0).first.get_attribute("id")
    assert page.locator("#panes canvas").first.evaluate("canvas => canvas.toDataURL()") != plain


def test_spanish_follows_the_browser_and_the_switch(open_page, photo):
    page = open_page(locale="es-AR")
    expect(page.get_by_role("heading", name="Lo que ve el modelo")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "es"
    choose(page, photo)
    wait_for_result(page)
    expect(page.locator("#result-summary")).to_contain_text("con esta puntuación")
    expect(page.locator("#score-value")).to_have_text("0,25")
    page.get_by_label("Idioma").select_option("en")
    expect(page.locator("#result-summary")).to_contain_text("at this score")
    page.reload()
    expect(page.get_by_role("heading", name="What the model sees")).to_be_visible()


def test_both_languages_say_the_same_things(open_page):
    page = open_page()
    strings = page.evaluate("import('/static/strings.js').then((module) => module.STRINGS)")
    assert list(strings["en"]) == list(strings["es"])

    def values(text: str | dict[str, str]) -> list[set[str]]:
        forms = text.values() if isinstance(text, dict) else [text]
        return [set(re.findall(r"\{(\w+)\}", form)) for form in forms]

    assert {key: values(text) for key, text in strings["en"].items()} == {
        key: values(text) for key, text in strings["es"].items()
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_enough_contrast(open_page, photo, scheme):
    page = open_page(color_scheme=scheme)
    choose(page, photo)
    wait_for_result(page)
    for view in ("images", "jobs", "model"):
        page.locator(f"nav a[href='#{view}']").click()
        page.wait_for_load_state("networkidle")
        assert page.evaluate(WITHOUT_NAME) == []
        assert page.evaluate(TOO_PALE) == []


WITHOUT_NAME = """() => [...document.querySelectorAll("button, a, input, select, canvas, progress, [role=listbox]")]
    .filter((e) => e.checkVisibility() && !(e.ariaLabel || e.labels?.length || e.textContent.trim()
        || e.getAttribute("aria-labelledby"))).map((e) => e.outerHTML.slice(0, 80))"""
# WCAG's contrast of each text with the first ground behind it.
TOO_PALE = """() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => {
        const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = parts(colour).map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (e) => {
        for (; e; e = e.parentElement) {
            const colour = getComputedStyle(e).backgroundColor;
            if ((parts(colour)[3] ?? 1) === 1) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const pale = [];
    while (texts.nextNode()) {
        const e = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !e.checkVisibility() || e.matches("script, noscript, :disabled")) continue;
        const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) pale.push(`${e.className || e.tagName}: ${contrast.toFixed(2)}`);
    }
    return pale;
}"""
