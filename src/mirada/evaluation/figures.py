"""The figures of `metrics.json` besides a task's own: what a variant costs, how far it drops, and which way is better.

Limits, searches, comparisons and the page ask here.
"""

from __future__ import annotations

from dataclasses import dataclass

from mirada.boards.carried import FIGURES
from mirada.tables import ms_text


@dataclass(frozen=True)
class Cost:
    """What a variant costs in one respect; less of it is always better.

    Attributes:
        key: in `metrics.json`; it ends in or holds the unit that is stored.
        heading: over its column, with the unit that is shown.
        divisor: of the stored unit, for the shown one.
        digits: decimals shown; None: as many as a time in milliseconds needs.
        beside_reference: the page also tells it as a multiple of float32's.
    """

    key: str
    heading: str
    divisor: float = 1.0
    digits: int | None = None
    beside_reference: bool = False

    def text(self, value: float) -> str:
        """A value as it is stored, for a table."""
        return ms_text(value) if self.digits is None else f"{value / self.divisor:.{self.digits}f}"


COSTS = (
    Cost("size_bytes", "size MB", 1e6, 2, beside_reference=True),
    Cost("size_gzip_bytes", "gzip MB", 1e6, 2),
    Cost("latency_ms_p50", "1 thread: p50 ms", beside_reference=True),
    Cost("latency_ms_p95", "p95"),
    Cost("latency_ms_p50_all_threads", "all threads: p50 ms"),
    Cost("latency_ms_p95_all_threads", "p95"),
    Cost("peak_memory_mb", "memory MiB", digits=0),
    Cost("load_ms", "load ms", digits=1),
    Cost("photograph_ms", "photograph ms"),
    Cost("macs", "million MACs", 1e6, 0),
    Cost("bytes_moved", "MB moved", 1e6, 1),
    Cost("relative_time", "relative time", digits=2),
)
COST_KEYS = tuple(cost.key for cost in COSTS)
DROP = ("drop", "drop_low", "drop_high")  # of the main figure from float32, and its 95 % interval
_ERRORS = ("log_loss", "ece", "box_mse_224")  # of the tasks' own figures those that tell of mistakes


def is_better_lower(key: str) -> bool:
    """Whether less of a figure is better; of a figure that nobody knows, more is."""
    return key in (*COST_KEYS, *DROP, *_ERRORS, *FIGURES)
