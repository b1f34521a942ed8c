"""XML of annotations, from strangers: no entities, any encoding, and a mistake that says where it is; and for them."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, indent, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from mirada.data.folders.texts import decode

_MAX_XML_BYTES = 256 * 1024 * 1024
_DECLARATION = re.compile(r"""^<\?xml[^>]*?(?:encoding\s*=\s*["']([\w.:-]+)["'])?[^>]*\?>""")
_BARE_AMPERSAND = re.compile(r"&(?!(?:#\d+|#x[0-9a-fA-F]+|[A-Za-z_][\w.-]*);)")


class BrokenXml(Exception):
    """Why an XML can't be read: a reason code of `annotations.ADVICE`, and where it breaks."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def parse_xml(path: Path, max_bytes: int = _MAX_XML_BYTES) -> tuple[Element, list[str]]:
    """The root of an XML file, and what had to be mended to read it.

    Text is decoded as the file declares, else by detection (`decoded_as_<encoding>`); space before the declaration is
    taken away (`xml_space_before`), a bare ampersand is escaped (`ampersand_bare`).

    Raises:
        BrokenXml: the file is empty, defines entities or is no XML.
    """
    try:
        if path.stat().st_size > max_bytes:
            raise BrokenXml("xml_broken", f"it has more than {max_bytes >> 20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise BrokenXml("xml_broken", str(error.strerror)) from error
    if not content.strip():
        raise BrokenXml("xml_empty")
    try:
        return fromstring(content), []
    except DefusedXmlException as error:
        raise BrokenXml("xml_unsafe") from error
    except (ParseError, ValueError, LookupError):
        return _parse_mended(content)


def _parse_mended(content: bytes) -> tuple[Element, list[str]]:
    declared = re.match(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""", content.lstrip(b"\xef\xbb\xbf"))
    text, assumed = decode(content, declared[1].decode() if declared else None)
    repairs = [f"decoded_as_{assumed}"] if assumed else []
    stripped = text.lstrip("\ufeff \t\r\n\0")
    if stripped != text.lstrip("\ufeff"):
        repairs.append("xml_space_before")
    # The text is decoded: what it declares is past. Lines stay where they were.
    body = _DECLARATION.sub("", stripped, count=1)
    escaped = _BARE_AMPERSAND.sub("&amp;", body)
    repairs += ["ampersand_bare"] * (escaped != body)
    try:
        return fromstring(escaped), repairs
    except DefusedXmlException as error:
        raise BrokenXml("xml_unsafe") from error
    except ParseError as error:
        line, column = error.position
        lines = escaped.split("\n")
        before = text[: len(text) - len(stripped)].count("\n")
        found = lines[line - 1][column : column + 1] if line <= len(lines) else ""
        what = f"there is {found!r}" if found else "the file ends"
        reason = str(error).partition(":")[0]
        raise BrokenXml("xml_broken", f"line {line + before}, column {column + 1}: {reason}, {what}") from error
    except ValueError as error:
        raise BrokenXml("xml_broken", str(error)) from error


def element_text(root: Element) -> str:
    """An element as indented text."""
    indent(root)
    return str(tostring(root, encoding="unicode")) + "\n"


def count_tags(path: str | Path, tag: str) -> int:
    """How many elements of a name a file seems to open, also where it is no XML that can be read."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return 0
    return len(re.findall(rf"<{tag}[\s>]", decode(content)[0]))
