"""What a stage may record in its MLflow run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirada.tracking.clock import now_ms
from mirada.tracking.delivery import Delivery

if TYPE_CHECKING:  # NumPy and protobuf come with it, which `--help` has no use for
    from mirada.data.records import Dataset


class Run:
    """A run of MLflow; without a delivery it forgets everything (tracking is off).

    Attributes:
        id: of MLflow; None of one that forgets.
        uri: of its store, without a password.
        status: MLflow's word for how it stands.
    """

    def __init__(self, delivery: Delivery | None = None) -> None:
        self._delivery = delivery
        self.id = delivery.run_id if delivery else None
        self.uri = delivery.uri if delivery else None
        self.status = "RUNNING"

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Settings, flat."""
        if params:
            self._record("params", params={key: str(value)[:6000] for key, value in params.items()})

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Figures, with the epoch where there is one; those that are None are left out."""
        known = {key: float(value) for key, value in metrics.items() if value is not None}
        if known:
            self._record("metrics", metrics=known, step=step or 0, time_ms=now_ms())

    def log_artifacts(self, path: Path, folder: str) -> None:
        """A file, or everything in a folder, into a folder of the run."""
        self._record("artifacts", path=str(path), folder=folder)

    def log_text(self, text: str, name: str) -> None:
        """A text as an artifact."""
        self._record("text", text=text, name=name)

    def log_dataset(self, dataset: Dataset) -> None:
        """The processed data set as the run's input."""
        if self._delivery is None:
            return
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset

        source = CodeDatasetSource({"dataset.json": str(dataset.folder / "dataset.json")})
        meta = MetaDataset(source, name=dataset.name, digest=dataset.digest[:32])  # type: ignore[abstract]
        self._record("dataset", dataset=meta.to_dict(), context="training")

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Labels of the run."""
        if tags:
            self._record("tags", tags={key: str(value) for key, value in tags.items()})

    @property
    def delivered(self) -> bool:
        """Whether there is a store and it has all that was recorded."""
        return self._delivery is not None and self._delivery.done()

    def send_earlier(self) -> None:
        """What an earlier stage had to keep goes first."""
        if self._delivery:
            self._delivery.flush()

    def end(self, status: str, wait_s: float = 0) -> None:
        """The last entry; waits for a store that is away at most so long."""
        self.status = status
        self._record("end", status=status, time_ms=now_ms())
        if self._delivery:
            self._delivery.close(wait_s)

    def _record(self, op: str, **content: Any) -> None:
        if self._delivery:
            self._delivery.record({"op": op, **content})
