"""Which settings shape a result, and which only say where it goes and how the work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

# Without a say in any result, as are all folders: what lies in them counts, not where they are.
_NO_SAY = ("tracking", "resume", "force", "peer_wait_s")
# Without a say in the weights: a resumed training may have others.
NOT_IN_WEIGHTS = ("workers", "input", "compare_epochs")


def shapes_result(key: str) -> bool:
    """Whether a setting, 'a' or 'a.b', has a say in what comes out."""
    name = key.partition(".")[0]
    return name not in _NO_SAY and not name.endswith("_dir")


def shaping_settings(config: Any, apart: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of a stage that shape its result.

    Args:
        config: its checked configuration, a dataclass.
        apart: keys to leave out besides.
    """
    return {key: value for key, value in asdict(config).items() if shapes_result(key) and key not in apart}
