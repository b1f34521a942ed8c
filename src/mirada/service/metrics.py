"""What the service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mirada_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "mirada_request_seconds", "Time to answer.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.predictions = Counter("mirada_predictions", "Images predicted.", ("variant",), registry=self.registry)
        self.model_seconds = Histogram(
            "mirada_model_seconds",
            "Time of the inferences of an image.",
            ("variant",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.waiting = Gauge(
            "mirada_predictions_waiting", "Predictions that wait for a thread.", registry=self.registry
        )
        self.reloads = Counter("mirada_model_reloads", "Models loaded.", ("outcome",), registry=self.registry)
        self.queue_images = Gauge(
            "mirada_queue_images", "Images of jobs that wait for a worker.", registry=self.registry
        )
        self.queue_bytes = Gauge("mirada_queue_bytes", "Bytes of images in the store.", registry=self.registry)
        self.queue_up = Gauge("mirada_queue_up", "Whether the queue answers.", registry=self.registry)
        self.drift_index = Gauge(
            "mirada_drift_index",
            "Population stability index of the latest looks against validation's: 0.1 is some, 0.25 is much.",
            ("of",),
            registry=self.registry,
        )
        self.drift_share = Gauge(
            "mirada_drift_share",
            "Share of looks up to `below`, and above the one before, of validation and of now.",
            ("of", "below", "when"),
            registry=self.registry,
        )
        self.drift_looks = Gauge(
            "mirada_drift_looks",
            "Images, or tiles of them, that the drift is told from.",
            registry=self.registry,
        )
        self.jobs = Counter("mirada_jobs", "Jobs accepted.", registry=self.registry)

    def render(self) -> bytes:
        """In the text format of Prometheus."""
        return generate_latest(self.registry)
