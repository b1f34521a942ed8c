"""One layout for all pages: what a page is given stands in it, escaped, and nothing is fetched from elsewhere."""

import base64
import re
from pathlib import Path

import jinja2
import pytest

from mirada.pages import data_url, render
from mirada.palette import DARK, LIGHT
from mirada.tables import Table

TEMPLATE = """\
{% extends "page.html.j2" %}
{% from "page.html.j2" import picture, table %}
{% block title %}{{ name }}{% endblock %}
{% block style %}h1 { color: red; }{% endblock %}
{% block content %}<h1>{{ name }}</h1>{{ table(figures) }}{{ picture(plot, name) }}{% endblock %}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "own.html.j2"
    path.write_text(TEMPLATE)
    return path


def test_a_page_fills_the_layout(template: Path) -> None:
    plot = {"light": data_url(b"day"), "dark": data_url(b"night", "webp")}
    page = render(template, name="a < b", figures=Table(["what", "x"], [["<int8>", "1"]]), plot=plot)
    assert page.startswith("<!doctype html>") and page.endswith("</html>")
    assert "<title>a &lt; b</title>" in page and "<h1>a &lt; b</h1>" in page
    assert re.search(r"<th>what</th><th>x</th>.*<td>&lt;int8&gt;</td><td>1</td>", page, re.DOTALL)
    assert f'srcset="data:image/webp;base64,{base64.b64encode(b"night").decode()}"' in page
    assert f'src="data:image/png;base64,{base64.b64encode(b"day").decode()}"' in page
    assert "http" not in page and "<script" not in page


def test_a_pages_own_style_comes_after_the_common_one_in_both_schemes(template: Path) -> None:
    page = render(template, name="", figures=Table([], []), plot={"light": "", "dark": ""})
    places = [page.index(text) for text in (LIGHT.css(), "(prefers-color-scheme: dark)", DARK.css(), "h1 { color: red")]
    assert places == sorted(places)


def test_what_a_page_is_not_given_is_an_error(template: Path) -> None:
    with pytest.raises(jinja2.UndefinedError, match="'name' is undefined"):
        render(template, figures=Table([], []), plot={"light": "", "dark": ""})
