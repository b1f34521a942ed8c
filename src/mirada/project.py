"""The project: where it lies, its commit, and the environment of its processes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
SOURCES = PACKAGE.parent  # where an import finds it
PROJECT = SOURCES.parent


def git_state() -> tuple[str | None, bool | None]:
    """The commit of the code and whether tracked files differ from it; (None, None) outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit, bool(_git("status", "--porcelain", "--untracked-files=no", "--", "src", "conf"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(PROJECT), *arguments], check=True, capture_output=True, text=True, timeout=20
    ).stdout.strip()


def project_root() -> Path:
    """The project's folder. Of an experiment from DVC's queue, which runs in a copy that DVC deletes, the real project's."""
    copies = next((folder for folder in PROJECT.parents if folder.parts[-3:] == (".dvc", "tmp", "exps")), None)
    return copies.parents[2] if copies else PROJECT


def own_environment() -> dict[str, str]:
    """This process' environment, for Python processes that find Mirada where this one did."""
    paths = [str(SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
