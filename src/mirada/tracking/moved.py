"""The links of the project's own MLflow database, which are absolute paths, when its folder was moved or copied."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

_LINKS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)


def follow_folder(database: Path) -> None:
    """Let links into the folder where the database once lay lead into the one where it lies; others stay.

    A database that is absent, empty or can't be written stays as it is: what opens it next says so.
    """
    folder = database.parent.resolve()
    if not database.is_file():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as store, store:
        places = [place for (place,) in store.execute("SELECT artifact_location FROM experiments")]
        pattern = re.compile(rf"(?P<folder>.*/{re.escape(folder.name)})/(artifacts|\d+)")  # as made beside it
        for old in {match["folder"] for place in places if (match := pattern.fullmatch(place or ""))}:
            new = folder.as_uri() if old.startswith("file:") else str(folder)
            for table, column in _LINKS if old != new else ():
                store.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (new, len(old) + 1, len(old) + 1, f"{old}/"),
                )
