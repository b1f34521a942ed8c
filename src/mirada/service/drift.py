"""How far the images of use have moved from those of validation."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from mirada.inference.usual import Histogram, stability_index
from mirada.service.metrics import Metrics

_WINDOW = 5000  # looks, the latest


class Drift:
    """The latest looks by the parts of validation's histograms.

    Args:
        usual: trait -> histogram; empty where validation was not looked at: then there is nothing to tell.
    """

    def __init__(self, usual: Mapping[str, Histogram]) -> None:
        self._usual = dict(usual)
        self._latest: deque[dict[str, int]] = deque(maxlen=_WINDOW)  # of one end, appended to by several threads

    def note(self, looks: Sequence[Mapping[str, float]]) -> None:
        """An image was looked at, at once or in tiles."""
        if self._usual:
            self._latest.extend({name: part.part(look[name]) for name, part in self._usual.items()} for look in looks)

    def tell(self, metrics: Metrics) -> None:
        """Set the gauges."""
        latest = self._latest.copy()
        metrics.drift_looks.set(len(latest))
        metrics.drift_index.clear()
        metrics.drift_share.clear()
        for name, counted in self._usual.items():
            parts = Counter(entry[name] for entry in latest)
            now = [parts[part] for part in range(len(counted.counts))]
            if latest:
                metrics.drift_index.labels(name).set(stability_index(counted.counts, now))
            for when, counts in (("validation", counted.counts), ("now", now)):
                for below, count in zip([*(f"{edge:.6g}" for edge in counted.edges), "+Inf"], counts, strict=True):
                    metrics.drift_share.labels(name, below, when).set(count / max(1, sum(counts)))
