"""What a task has to say of itself, so that stages, report and service can treat all tasks alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from mirada.card import Card
    from mirada.config import EvaluateConfig
    from mirada.records import Example


class Task(ABC):
    """One task. A prediction is what `decode` makes of one image, a result what `evaluate` makes of a split.

    Attributes:
        name: as in `data.task` and the card.
        main_metric: key of the figure that variants and epochs are compared by; higher is better.
    """

    name: str
    main_metric: str

    @abstractmethod
    def check_outputs(self, card: Card) -> None:
        """Raise ValueError or KeyError where the card's labels, strides and outputs do not fit the task."""

    @abstractmethod
    def decode(self, outputs: Mapping[str, np.ndarray], card: Card, config: EvaluateConfig | None = None) -> Any:
        """One image's prediction.

        Args:
            outputs: output name -> (1, ...) float array, the names of `card.outputs`.
            card: the model's card.
            config: settings of the decoding; None: their defaults.
        """

    @abstractmethod
    def evaluate(
        self,
        truths: Sequence[Example],
        predictions: Sequence[Any],
        labels: Sequence[str],
        config: EvaluateConfig | None = None,
    ) -> Any:
        """Measure predictions against the truth, in the same order; the result's `figures` are those of `metrics.json`.

        Raises:
            ValueError: the two are not of equal length.
        """

    def choose_threshold(self, truths: Sequence[Example], predictions: Sequence[Any]) -> float:
        """The card's threshold, chosen on validation images; 0.5 where the task has no use for it."""
        return 0.5
