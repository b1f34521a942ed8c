"""What has been looked at, a line each, written the moment it is known: a run that was killed goes on from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from mirada.errors import MiradaError
from mirada.prediction.findings import Finding

FILE = "done.jsonl"


class Journal:
    """`done.jsonl` of a folder: the settings on its first line, then a finding a line.

    Attributes:
        findings: file -> what was found, of this run and of the one that it goes on with.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], resume: bool) -> None:
        """Begin one, or go on with one.

        Args:
            folder: that is written into; made where it is absent.
            settings: what decides what is found.
            resume: go on where there is one.

        Raises:
            MiradaError: there is one and `resume` is off, or other settings made it.
        """
        self.path = folder / FILE
        self.findings: dict[str, Finding] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.is_file() and self.path.read_bytes().count(b"\n") > 1:  # more than the settings
            if not resume:
                raise MiradaError(
                    f"{folder} holds what an earlier run found: go on with resume=true, or choose another output_dir."
                )
            self._read(settings)
            self._file = self.path.open("a", encoding="utf-8")
            return
        self._file = self.path.open("w", encoding="utf-8")
        self._write(settings)

    def _read(self, settings: Mapping[str, Any]) -> None:
        """Take up what is there; a last line that was cut off goes."""
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with self.path.open("r+b") as file:
                file.truncate(whole)
        try:
            head, *lines = [json.loads(line) for line in content[:whole].splitlines()]
            self.findings = {line["file"]: Finding(**line) for line in lines}
        except (ValueError, TypeError, KeyError) as error:
            raise MiradaError(f"{self.path} is corrupt ({error!r}): choose another output_dir.") from error
        other = [key for key in settings if head.get(key) != settings[key]]
        if other:
            raise MiradaError(
                f"{self.path} was begun with {other[0]}={head.get(other[0])}, now it is {settings[other[0]]}: resume=true "
                "goes on with the same settings; choose another output_dir for others."
            )

    def add(self, finding: Finding) -> None:
        """Keep what was found; it is in the file when this returns."""
        self._write(asdict(finding))
        self.findings[finding.file] = finding

    def _write(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self._file.flush()

    def __enter__(self) -> Journal:
        """The journal itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file; a disk that is full has been told before."""
        try:
            self._file.close()
        except OSError:
            if error is None:
                raise
