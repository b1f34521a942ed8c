"""Do all links lead somewhere? Those between pages and headings, and names of pages in code; nothing outside is asked for.

`python -m handbook.links`
"""

from __future__ import annotations

import difflib
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from markdown.extensions.toc import slugify

from handbook.pages import write_reference

PROJECT = Path(__file__).resolve().parents[1]
KEYS = Path("docs/reference/keys")  # made while the site is built
OUTSIDE = re.compile(r"[a-z]+:|//")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s>]*)>?(?:\s+\"[^\"]*\")?\)")
NAMED = re.compile(r"\bdocs/[\w./-]+\.md\b")
EXAMPLES = "tests/handbook/test_links.py"  # names pages that are not there on purpose
CODE = ("src", "conf", "tests", "benchmarks", "handbook", ".ci")
FILES = ("Makefile", "dvc.yaml", "params.yaml", "pyproject.toml")


def pages_of(project: Path, generated: Path | None = None) -> dict[str, str]:
    """Name below the project -> text, of each page: those of `docs/`, those that are made, those at the root."""
    paths = [*sorted(project.glob("*.md")), *sorted((project / "docs").rglob("*.md"))]
    pages = {path.relative_to(project).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    made = sorted(generated.glob("*.md")) if generated else []
    return pages | {(KEYS / path.name).as_posix(): path.read_text(encoding="utf-8") for path in made}


def anchors_of(text: str) -> set[str]:
    """What a `#…` may name in a page: its headings, and ids that stand in it."""
    prose, found = without_code(text, inline=False), set()
    for title in re.findall(r"^#{1,6} +(.+?) *#*$", prose, re.M):
        slug = slugify(re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title), "-")
        number = 0
        while (name := f"{slug}_{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found | set(re.findall(r'\bid="([^"]+)"', text))


def without_code(text: str, *, inline: bool = True) -> str:
    """A page without its blocks of code, whose lines stay as empty ones; `inline` code goes, too."""
    text = re.sub(r"^(```|~~~).*?^\1$", lambda match: "\n" * match[0].count("\n"), text, flags=re.M | re.S)
    text = re.sub(r"(?:(?<=\n\n)|\A)(?: {4}.*\n|\n(?= {4}))+", lambda match: "\n" * match[0].count("\n"), text)
    return re.sub(r"`[^`\n]*`", "", text) if inline else text


def broken(pages: dict[str, str], project: Path) -> Iterator[str]:
    """A sentence for each link that leads nowhere."""
    anchors = {name: anchors_of(text) for name, text in pages.items()}
    for name, text in pages.items():
        prose = without_code(text)
        for match in LINK.finditer(prose):
            if OUTSIDE.match(match[1]):
                continue
            where = f"{name}:{prose[: match.start()].count(chr(10)) + 1}"
            if reason := _refusal(name, match[1], anchors, project):
                yield f"{where}: {match[1]} {reason}"


def _refusal(page: str, link: str, anchors: dict[str, set[str]], project: Path) -> str:
    path, _, anchor = link.partition("#")
    target = _below(Path(page).parent / path) if path else page
    if page.startswith("docs/") and not target.startswith("docs/"):
        return "leads out of the site: name a page of docs/."
    if target not in anchors:
        return "" if (project / target).exists() and not anchor else f"is no page{_meant(page, path, anchors)}."
    if anchor and anchor not in anchors[target]:
        close = difflib.get_close_matches(anchor, anchors[target], n=1)
        return f"is no heading there{f': did you mean #{close[0]}?' if close else '.'}"
    return ""


def _below(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        parts = parts[:-1] if part == ".." and parts else [*parts, part]
    return "/".join(parts)


def _meant(page: str, path: str, anchors: dict[str, set[str]]) -> str:
    same = [name for name in anchors if Path(name).name == Path(path).name and name.startswith("docs/")]
    if not same:
        return ""
    start = Path(page).parent.parts
    return f", did you mean {'../' * len(start)}{same[0]}" if not start else f": it lies at {same[0]}"


def unnamed(pages: dict[str, str]) -> Iterator[str]:
    """A sentence for each page of the site that no other page links to."""
    linked = set()
    for name, text in pages.items():
        links = [match[1].partition("#")[0] for match in LINK.finditer(without_code(text))]
        linked |= {_below(Path(name).parent / link) for link in links if link and not OUTSIDE.match(link)}
    for name in sorted(set(pages) - linked):
        if name.startswith("docs/") and name != "docs/index.md":
            yield f"{name}: no page links to it; docs/index.md lists them all."


def lost(project: Path, pages: dict[str, str]) -> Iterator[str]:
    """A sentence for each `docs/….md` that code or a page names and that is not there."""
    code = [path for folder in CODE for path in sorted((project / folder).rglob("*"))]
    files = [
        path for path in code if path.suffix in {".py", ".yaml", ".sh", ".js", ".html", ".j2", ""} and path.is_file()
    ]
    texts = {path.relative_to(project).as_posix(): path for path in [*files, *(project / name for name in FILES)]}
    read = {name: path.read_text(encoding="utf-8", errors="ignore") for name, path in texts.items() if path.is_file()}
    for name, text in {**read, **pages}.items():
        if name == EXAMPLES:
            continue
        for word in sorted(set(NAMED.findall(text)) - set(pages)):
            yield f"{name}: {word} is no page{_meant('', word, {page: set() for page in pages})}."


def main() -> None:
    """Print what is broken, and exit with 1 where anything is."""
    with tempfile.TemporaryDirectory() as folder:
        write_reference(Path(folder))
        pages = pages_of(PROJECT, Path(folder))
    found = [*broken(pages, PROJECT), *unnamed(pages), *lost(PROJECT, pages)]
    print("\n".join(found) or f"links: {len(pages)} pages, each link leads somewhere")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
