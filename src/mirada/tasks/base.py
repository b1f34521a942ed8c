"""What a task has to say of itself, so that stages, report and service can treat all tasks alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mirada.tables import Column, Table

if TYPE_CHECKING:
    from PIL.Image import Image

    from mirada.config import EvaluateConfig
    from mirada.data.records import Example


@dataclass
class Curves:
    """One line a variant over common x.

    Attributes:
        name: of the files `plots/<name>.csv` and `.png`.
        title, caption: of the figure on the page.
        x_label, y_label: of the axes, both 0..1; the CSV's first column is `x_label`.
        x: (P,); lines: variant -> (P,).
        classes: the lines of each class, for `plots/<name>_classes.csv`; None where there are none.
    """

    name: str
    title: str
    caption: str
    x_label: str
    y_label: str
    x: np.ndarray
    lines: dict[str, np.ndarray]
    classes: Table | None = None


@dataclass
class Legend:
    """What the pictures' colours mean: sentences, and (CSS colour, 'solid' or 'dashed', word) of each frame."""

    text: str
    frames: list[tuple[str, str, str]] = field(default_factory=list)


class Task(ABC):
    """One task. A prediction is what `decode_outputs` makes of an image, a result what `evaluate` makes of a split.

    A result has `figures`, those of `metrics.json`, and `confusion`, (R, R) counts, actual by predicted.

    Attributes:
        name: as in `data.task` and the card.
        main_metric: key of the figure that variants and epochs are compared by; 0..1, higher is better.
        learning_rate: of the new layers, at its peak; above it the pretrained ones have been seen to forget all.
        main_columns: the figures of each overview, the main metric first; more_columns: those of the page besides.
        counts_objects: whether an image may have any number of objects.
        classes_caption, confusion_caption, pictures_caption: sentences of the page.
    """

    name: str
    main_metric: str
    learning_rate: float
    main_columns: tuple[Column, ...]
    more_columns: tuple[Column, ...]
    counts_objects: bool = False
    classes_caption: str
    confusion_caption: str
    pictures_caption: str

    @property
    def metric_name(self) -> str:
        """What people call the main metric."""
        return self.main_columns[0].heading

    @abstractmethod
    def evaluate(
        self,
        truths: Sequence[Example],
        predictions: Sequence[Any],
        labels: Sequence[str],
        max_detections: int = 100,
    ) -> Any:
        """Measure predictions against the truth, in the same order; the result's `figures` are those of `metrics.json`.

        Args:
            truths: the images, without their pixels.
            predictions: what `prediction.decode_outputs` made of each.
            labels: class names.
            max_detections: detections an image that count, the best first; of a detection alone.

        Raises:
            ValueError: the two are not of equal length.
        """

    def choose_threshold(
        self, truths: Sequence[Example], predictions: Sequence[Any], recall: float | None = None
    ) -> float:
        """The card's threshold, chosen on validation images; 0.5 where the task has no use for it.

        Args:
            truths: the images.
            predictions: what a model says to each.
            recall: choose the highest threshold that finds this share of the second class; None: the one that is best for
                balanced accuracy.
        """
        return 0.5

    @abstractmethod
    def drop(self, reference: Any, result: Any, samples: int, seed: int) -> tuple[float, float, float]:
        """How far the main metric drops from a reference's result to another on the same images.

        Args:
            reference, result: of `evaluate`.
            samples: resamplings of the images; with 0 the interval is the drop itself.
            seed: of the resampling.

        Returns:
            Drop (positive: worse than the reference), low and high end of its 95 % interval.
        """

    @abstractmethod
    def protocol(self, config: EvaluateConfig) -> list[tuple[str, str]]:
        """Names and sentences: how the figures are measured."""

    @abstractmethod
    def curves(self, results: Mapping[str, Any]) -> Curves:
        """The task's curve, from variant -> result."""

    @abstractmethod
    def classes_table(self, labels: Sequence[str], results: Mapping[str, Any]) -> Table:
        """Each class's figures, a column a variant."""

    def confusion_labels(self, labels: Sequence[str]) -> list[str]:
        """Names of the confusion's rows and columns."""
        return list(labels)

    def confusion_title(self, variant: str, result: Any) -> str:
        """Heading of one variant's confusion."""
        return variant

    @abstractmethod
    def quality(self, truth: Example, prediction: Any, reference: Any) -> tuple[float, float] | None:
        """How well one image came out, and what decides between equals, higher being better and more worth a look.

        None where there is nothing to show. `reference` is float32's result.
        """

    @abstractmethod
    def draw_truth(self, image: np.ndarray, truth: Example, labels: Sequence[str], side: int) -> Image:
        """The truth on an image.

        Args:
            image: (S, S, 3) or (S, S, 1) uint8, the network's input.
            truth: of this image.
            labels: class names.
            side: width and height of the picture in pixels.
        """

    @abstractmethod
    def draw_prediction(
        self, image: np.ndarray, truth: Example, prediction: Any, labels: Sequence[str], side: int, reference: Any
    ) -> Image:
        """A prediction on an image, as `draw_truth`; right and wrong differ in more than colour."""

    @abstractmethod
    def caption(self, truth: Example, predictions: Mapping[str, Any], labels: Sequence[str], reference: Any) -> str:
        """A line about one image: what it holds and how each variant did, from variant -> its prediction."""

    @abstractmethod
    def legend(self, labels: Sequence[str], reference: Any) -> Legend:
        """What the pictures' colours mean."""
