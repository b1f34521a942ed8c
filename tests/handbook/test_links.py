"""Links that lead nowhere are told, with where and what was meant; those that do are not."""

from pathlib import Path

import pytest

from handbook import links

PAGES = {
    "README.md": "[all](docs/index.md) and `[code](nowhere.md)`\n",
    "docs/index.md": "# Mirada\n\n[one](how-to/one.md#two-words)\n\n    [code](nowhere.md)\n",
    "docs/how-to/one.md": "# One\n\n## Two `words`\n\n## Two words\n\n[up](../index.md) [here](#two-words_1) [out](https://a.b)\n",
}


def test_what_leads_somewhere_is_not_told(tmp_path: Path) -> None:
    assert [*links.broken(PAGES, tmp_path), *links.unnamed(PAGES), *links.lost(tmp_path, PAGES)] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\n[a\nb](one.md)", "docs/index.md:2: one.md is no page: it lies at docs/how-to/one.md"),
        ("[a](how-to/two.md)", "docs/index.md:1: how-to/two.md is no page."),
        ("[a](how-to/one.md#two-wrds)", "#two-wrds is no heading there: did you mean #two-words?"),
        ("[a](#nowhere)", "#nowhere is no heading there."),
        ("[a](../README.md)", "../README.md leads out of the site: name a page of docs/."),
    ],
)
def test_what_leads_nowhere_is_told_with_its_place(text: str, told: str, tmp_path: Path) -> None:
    found = list(links.broken(PAGES | {"docs/index.md": text}, tmp_path))
    assert len(found) == 1
    assert told in found[0]


def test_a_page_that_nobody_names_is_told(tmp_path: Path) -> None:
    found = list(links.unnamed(PAGES | {"docs/how-to/alone.md": "# Alone\n"}))
    assert found == ["docs/how-to/alone.md: no page links to it; docs/index.md lists them all."]


def test_code_that_names_a_page_which_moved_is_told(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text('"""See docs/one.md and docs/how-to/one.md."""\n')
    assert list(links.lost(tmp_path, PAGES)) == ["src/a.py: docs/one.md is no page, did you mean docs/how-to/one.md."]
