"""`labels.txt`: a label a line, as readers of TFLite Metadata and people's own programs read it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from mirada.errors import MiradaError


def labels_text(labels: Sequence[str]) -> str:
    """The labels, one a line.

    Raises:
        MiradaError: a label would not be read again as what it is: it breaks the line, begins or ends with a blank, is empty
            or holds characters that no file keeps.
    """
    for label in labels:
        if odd := _oddity(label):
            raise MiradaError(
                f"the label {label!r} {odd}, which labels.txt can't keep: rename it (data.rename) and train again."
            )
    return "".join(f"{label}\n" for label in labels)


def _oddity(label: str) -> str:
    if not label:
        return "is empty"
    if label != label.strip():
        return "begins or ends with a blank"
    if len(label.splitlines()) > 1 or any(unicodedata.category(letter) == "Cc" for letter in label):
        return "holds a line break or a control character"
    if any(unicodedata.category(letter) == "Cs" for letter in label):
        return "holds half a letter (a surrogate)"
    return ""
