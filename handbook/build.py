"""Build the site: the pages of `docs/` and those that are made from the code, as HTML that asks nobody for anything.

`python -m handbook.build [folder]`
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from handbook.pages import write_reference

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
FOREIGN_WORKER = 'src="https://unpkg.com/iframe-worker/shim"'
SECTIONS = ("tutorials", "how-to", "reference", "explanation")


def build(folder: Path, docs: Path = PROJECT / "docs") -> Path:
    """Build the site below `folder`; gives its first page.

    Args:
        folder: is emptied; the pages as they went in lie in `pages`, the site in `site`.
        docs: the pages that people wrote.

    Raises:
        subprocess.CalledProcessError: Zensical refuses a page, or a link leads nowhere.
    """
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    shutil.copytree(docs, pages)
    write_reference(pages / "reference" / "keys")
    shutil.copy(HERE / "handbook.css", pages)
    settings = (HERE / "zensical.toml").read_text().replace('"SOURCE"', json.dumps(str(PROJECT / "src")))
    added = f'docs_dir = "pages"\nsite_dir = "site"\nnav = {_toml(_navigation(pages))}\n'
    (folder / "zensical.toml").write_text(settings.replace("[project]\n", f"[project]\n{added}", 1))
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    subprocess.run(command, cwd=folder, check=True, env=os.environ | {"NO_COLOR": "1"})
    shutil.copy(HERE / "worker.js", folder / "site" / "assets")
    for page in (folder / "site").rglob("*.html"):
        _keep_at_home(page, folder / "site")
    return folder / "site" / "index.html"


def _keep_at_home(page: Path, site: Path) -> None:
    """Let a page have our own worker: the theme would fetch one from elsewhere, for sites that are opened as files."""
    up = "../" * (len(page.relative_to(site).parts) - 1)
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace(FOREIGN_WORKER, f'src="{up}assets/worker.js"'), encoding="utf-8")


def _navigation(pages: Path) -> list[object]:
    """The tree beside the pages: the four kinds, in each all that is there, its index first."""
    return [{"Mirada": "index.md"}, *({name.capitalize(): _entries(pages / name, pages)} for name in SECTIONS)]


def _entries(folder: Path, pages: Path) -> list[object]:
    files = sorted(folder.glob("*.md"), key=lambda path: (path.stem != "index", title_of(path).lower()))
    entries: list[object] = [path.relative_to(pages).as_posix() for path in files]
    below = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    return entries + [{title_of(path / "index.md"): _entries(path, pages)} for path in below]


def title_of(page: Path) -> str:
    """The first heading of a page."""
    match = re.search(r"^# (.+)$", page.read_text(encoding="utf-8"), re.M)
    assert match, f"{page} has no heading"
    return match[1].replace("`", "")


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else json.dumps(value)


def main() -> None:
    """Build, and say where the first page lies."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else PROJECT / "outputs" / "docs"
    try:
        print(f"the site: {build(folder.absolute())}")
    except subprocess.CalledProcessError:
        sys.exit("error: the site was not built, for the reason above.")


if __name__ == "__main__":
    main()
