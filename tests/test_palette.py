"""Colours are told from their ground: WCAG 2.2 asks for a contrast of 4.5 for text and of 3 for lines and marks."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from mirada import palette
from mirada.palette import CLASSES, DARK, IGNORED, LIGHT, LINES, MISSED, RIGHT, SHADOW, WRONG, Scheme, rgb

WEB = Path(__file__).resolve().parents[1] / "src" / "mirada" / "service" / "web"
SCHEMES = pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
TEXT, MARK = 4.5, 3.0


def luminance(colour: str) -> float:
    """WCAG's relative luminance, 0..1."""
    parts = [part / 255 for part in rgb(colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def mixed(colour: str, ground: str, share: float) -> str:
    """The ground with so much of a colour on it."""
    parts = (share * a + (1 - share) * b for a, b in zip(rgb(colour), rgb(ground), strict=True))
    return "#" + "".join(f"{round(part):02x}" for part in parts)


def test_the_measure_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005), "WebAIM's example that just fails"
    assert mixed("#ffffff", "#000000", 0.5) == "#808080"


@SCHEMES
def test_text_is_read_on_every_ground(scheme: Scheme) -> None:
    for name in ("ink", "soft", "accent", "bad", "good"):
        for ground in (scheme.ground, scheme.card):
            assert contrast(getattr(scheme, name), ground) >= TEXT, name
    assert contrast(scheme.on_accent, scheme.accent) >= TEXT
    assert contrast(scheme.accent, scheme.tint) >= TEXT
    assert contrast(scheme.bad, scheme.bad_tint) >= TEXT and contrast(scheme.ink, scheme.bad_tint) >= TEXT
    shaded = mixed(scheme.accent, scheme.ground, palette.MOST_SHADE)
    assert contrast(scheme.ink, shaded) >= TEXT, "a number of a matrix of confusion"


@SCHEMES
def test_lines_and_marks_are_seen(scheme: Scheme) -> None:
    for colour in (*LINES, scheme.edge, scheme.warn):
        assert contrast(colour, scheme.ground) >= MARK, colour
    for colour in (scheme.edge, scheme.warn):
        assert contrast(colour, scheme.card) >= MARK, colour


def test_what_is_drawn_on_photographs_is_seen_on_its_shadow_and_read_over() -> None:
    for colour in (*CLASSES, RIGHT, WRONG, MISSED, IGNORED):
        assert contrast(colour, SHADOW) >= TEXT and contrast(colour, "#000000") >= TEXT, colour
    assert len({*CLASSES, WRONG, MISSED, IGNORED}) == len(CLASSES) + 3, "no class looks like a mistake"


def properties(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


def test_the_services_sheet_has_the_same_colours() -> None:
    sheet = (WEB / "style.css").read_text()
    for scheme, selector in ((LIGHT, ":root {"), (DARK, ':root[data-theme="dark"] {')):
        block = sheet[sheet.index(selector) :].partition("}")[0]
        assert properties(block) == properties(scheme.css())
        assert len(properties(block)) == len(asdict(scheme))


def test_the_services_drawing_has_the_same_colours() -> None:
    listed = re.search(r"const COLOURS = \[(.*?)\]", (WEB / "boxes.js").read_text())
    assert listed and tuple(re.findall(r"#[0-9a-f]{6}", listed[1])) == CLASSES
    assert f'const INK = "{SHADOW}"' in (WEB / "picture.js").read_text()


def test_no_colour_is_told_anywhere_else() -> None:
    source = WEB.parents[1]
    files = [*source.rglob("*.py"), *source.rglob("*.j2")]
    found = [path.name for path in files if re.search(r"#[0-9a-f]{6}\b|[\"' ]#[0-9a-f]{3}\b", path.read_text())]
    assert found == ["palette.py"]
