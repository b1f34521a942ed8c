"""How far the images of use have moved from those of validation."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from mirada.inference.usual import Histogram, stability_index
from mirada.service.metrics import Metrics

_WINDOW = 1000  # images, the latest


class Drift:
    """The latest images by the parts of validation's histograms.

    Args:
        usual: trait -> histogram; empty where validation was not looked at: then there is nothing to tell.
    """

    def __init__(self, usual: Mapping[str, Histogram]) -> None:
        self._usual = dict(usual)
        self._latest: deque[dict[str, int]] = deque(maxlen=_WINDOW)  # of one end, appended to by several threads

    def note(self, traits: Mapping[str, float]) -> None:
        """An image was looked at."""
        if self._usual:
            self._latest.append({name: counted.part(traits[name]) for name, counted in self._usual.items()})

    def tell(self, metrics: Metrics) -> None:
        """Set the gauges."""
        latest = self._latest.copy()
        metrics.drift_images.set(len(latest))
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
