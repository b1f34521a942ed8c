"""Text of params.yaml on its way past DVC, the shell and Hydra's grammar."""

from pathlib import Path

import pytest

from mirada.config.composition.params import param
from mirada.errors import MiradaError


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("0123", "0123"),  # YAML would make a number of it
        ("no", "no"),
        ("1e3", "1e3"),
        ("/a (b)/é, c = $x/`y` # a comment", "/a (b)/é, c = $x/`y`"),
        ("'/it''s #1'", "/it's #1"),
        ('"null"', "null"),
        ("null", ""),
        ("~", ""),
        ("", ""),
    ],
)
def test_a_value_is_the_text_that_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(f"fetch:\n  path: {written}\n", encoding="utf-8")
    assert param("fetch.path") == text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("fetch: {data: voc}", "params.yaml holds no fetch.path: add it."),
        ("fetch:", "params.yaml holds no fetch.path: add it."),
        ("fetch: {path: [a]}", "fetch.path in params.yaml must be one text: put it in quotes."),
        ("fetch: {path: it's #1", "params.yaml can't be read"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(content)
    with pytest.raises(MiradaError, match=sentence):
        param("fetch.path")
