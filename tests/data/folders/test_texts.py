"""Text of any encoding, and mistakes that say where they are."""

import codecs
from pathlib import Path

import pytest

from mirada.data.folders import texts
from mirada.data.folders.markup import BrokenXml, count_tags, parse_xml
from mirada.errors import MiradaError

CHINESE = "<annotation><object><name>红灯亮起来的时候请等待绿灯</name></object></annotation>"


@pytest.mark.parametrize(
    ("content", "text", "assumed"),
    [
        (b"a", "a", None),
        ("ä".encode(), "ä", None),
        (codecs.BOM_UTF8 + b"a", "a", None),
        ("ä".encode("utf-16"), "ä", None),
        ("abcdef".encode("utf-16-le"), "abcdef", "utf-16-le"),
        ("abcdef".encode("utf-16-be"), "abcdef", "utf-16-be"),
    ],
)
def test_decoding(content: bytes, text: str, assumed: str | None) -> None:
    assert texts.decode(content) == (text, assumed)


def test_what_is_declared_comes_first_and_an_unknown_name_is_told() -> None:
    assert texts.decode("é".encode("cp1252"), "cp1252") == ("é", None)
    assert texts.decode(b"a", "no-such") == ("a", "utf-8")


@pytest.mark.parametrize(
    ("text", "encoding", "assumed"),
    [
        ("fichier;espèce\na.jpg;chêne\nb.jpg;érable\nc.jpg;frêne élevé\n", "cp1252", "cp1252"),
        ("<name>собака и кошка</name>", "cp1251", "cp1251"),
        ("<name>犬と猫がいます</name>", "shift_jis", "cp932"),
        ("<name>강아지와 고양이</name>", "cp949", "cp949"),
        ("<name>红灯亮绿灯灭</name>", "gbk", "gb18030"),
    ],
)
def test_detection(text: str, encoding: str, assumed: str) -> None:
    assert texts.decode(text.encode(encoding)) == (text, assumed)


@pytest.mark.parametrize(
    "declared", ["", "<?xml version='1.0' encoding='GBK'?>\n", "<?xml version='1.0' encoding='utf-8'?>"]
)
def test_xml_in_gbk(tmp_path: Path, declared: str) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes((declared + CHINESE).encode("gbk"))
    root, mended = parse_xml(path)
    assert root.findtext("object/name") == "红灯亮起来的时候请等待绿灯"
    assert mended == [] if "GBK" in declared else mended[0].startswith("decoded_as_g")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_xml_in_unicode(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(("<?xml version='1.0'?>" + CHINESE).encode(encoding))
    assert parse_xml(path)[0].findtext("object/name") == "红灯亮起来的时候请等待绿灯"


def test_space_before_the_declaration_and_a_bare_ampersand(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("\n<?xml version='1.0' encoding='utf-8'?><a><b>salt & pepper &amp; oil &#65;</b></a>")
    root, mended = parse_xml(path)
    assert root.findtext("b") == "salt & pepper & oil A"
    assert mended == ["xml_space_before", "ampersand_bare"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("<annotation>\n  <object>\n    <name>x</nam>\n", r"^line 3, column 14: mismatched tag, there is "),
        ("<annotation>\n<object>", r"^line 2, column 9: no element found, the file ends$"),
        ("\n\n<a>\n< b></a>", r"^line 4, column 2: not well-formed .*, there is ' '$"),
    ],
)
def test_broken_xml_says_where(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(BrokenXml) as caught:
        parse_xml(tmp_path / "a.xml")
    import re

    assert caught.value.reason == "xml_broken" and re.search(where, caught.value.detail), caught.value.detail


def test_entities_are_refused_in_any_encoding(tmp_path: Path) -> None:
    bomb = '\n<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a.xml").write_bytes(bomb.encode(encoding))
        with pytest.raises(BrokenXml, match="xml_unsafe"):
            parse_xml(tmp_path / "a.xml")


def test_tags_are_counted_in_what_is_no_xml(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes("<object><objects><object >".encode("utf-16"))
    assert count_tags(tmp_path / "a.xml", "object") == 2 and count_tags(tmp_path / "gone", "object") == 0


def test_json_mistakes_say_where(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1,\n "b": }')
    with pytest.raises(
        MiradaError, match=r"a\.json is no JSON from line 2, column 7 on \(.*; there is '}'\): export it"
    ):
        texts.read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(MiradaError, match=r"a\.json nests deeper than labels do"):
        texts.read_json(tmp_path / "a.json")


def test_a_file_of_labels_that_memory_cannot_hold(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(2 << 30)  # a hole: it takes no room
    with pytest.raises(
        MiradaError, match=r"a\.json has 2\.0 GiB, more than labels that can be held .* split it into several"
    ):
        texts.read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a,"x, y",c\n1,2,3\n', [["a", "x, y", "c"], ["1", "2", "3"]]),
        ("a;b;c\n1,5;2;3\n4;5;6", [["a", "b", "c"], ["1,5", "2", "3"], ["4", "5", "6"]]),
        ("a\tb\n1\t2\n", [["a", "b"], ["1", "2"]]),
        ('a,b\n"1\n2",3\n', [["a", "b"], ["1\n2", "3"]]),
    ],
)
def test_rows_by_the_delimiter_that_fits(text: str, rows: list[list[str]]) -> None:
    assert texts.split_rows(text) == rows


def test_labels_on_one_line() -> None:
    assert texts.clean_label("  stop\n sign\u00a0 ") == "stop sign"
    assert texts.clean_label("A\u0308") == "Ä"
