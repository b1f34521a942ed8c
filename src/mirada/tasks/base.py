"""What a task has to say of itself, so that stages, report and service can treat all tasks alike.

A task is one object of four parts, by who asks: the names of its `Figures` for everyone, then `Learning`, `Evaluation` and
`Showing`. Its two types are those of its predictions, what `decode_outputs` makes of an image, and of its results, what
`evaluate` makes of a split.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from mirada.tables import Column, Table
from mirada.tasks.judging import PLAINLY, Judging
from mirada.tasks.outcomes import Outcomes

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


class Result(Protocol):
    """What every task's result has besides its own.

    Attributes:
        confusion: (R, R) counts, actual by predicted.
    """

    confusion: np.ndarray

    @property
    def figures(self) -> dict[str, float]:
        """The figures of `metrics.json`."""


PredictionT = TypeVar("PredictionT")
ResultT = TypeVar("ResultT", bound=Result)


class Figures:
    """The names of a task's figures.

    Attributes:
        main_metric: key of the figure that variants and epochs are compared by; 0..1, higher is better.
        main_columns: the figures of each overview, the main metric first; more_columns: those of the page besides.
    """

    main_metric: str
    main_columns: tuple[Column, ...]
    more_columns: tuple[Column, ...]

    @property
    def metric_name(self) -> str:
        """What people call the main metric."""
        return self.main_columns[0].heading


class Learning(Figures, Generic[PredictionT]):
    """What training and tuning ask of a task.

    Attributes:
        learning_rate: of the new layers, at its peak; above it the pretrained ones have been seen to forget all.
    """

    learning_rate: float

    def choose_threshold(
        self, truths: Sequence[Example], predictions: Sequence[PredictionT], goal: str, share: float
    ) -> float | None:
        """The card's threshold, chosen on validation images; 0.5 where the task has no use for it, None out of reach.

        Args:
            truths: the images.
            predictions: what a model says to each.
            goal: 'balanced_accuracy', the best of it; 'recall', the highest threshold that finds a share of the second
                class; 'precision', the lowest at which a share of what is called the second class is right.
            share: of recall or precision that is wanted.
        """
        return 0.5

    def choose_min_score(
        self,
        truths: Sequence[Example],
        predictions: Sequence[PredictionT],
        labels: Sequence[str],
        goal: str,
        share: float,
    ) -> float | None:
        """The card's `min_score`, chosen on validation images; None where the goal is out of reach or the task has no use.

        Args:
            truths: the images.
            predictions: what a model says to each.
            labels: class names.
            goal: 'f1', 'precision' or 'recall'.
            share: of precision or recall that is wanted.
        """
        return None


class Evaluation(Figures, ABC, Generic[PredictionT, ResultT]):
    """How a task's predictions are measured, and its results told in tables and curves.

    Attributes:
        counts_objects: whether an image may have any number of objects.
        classes_caption, confusion_caption: sentences of the page.
        least_certainty: below this certainty the calibration does not look.
        certainty_caption: what is sure of what, as a sentence of the page.
    """

    counts_objects: bool = False
    least_certainty: float = 0.0
    certainty_caption: str
    classes_caption: str
    confusion_caption: str

    @abstractmethod
    def evaluate(
        self,
        truths: Sequence[Example],
        predictions: Sequence[PredictionT],
        labels: Sequence[str],
        judging: Judging = PLAINLY,
    ) -> ResultT:
        """Measure predictions against the truth, in the same order; the result's `figures` are those of `metrics.json`.

        Args:
            truths: the images, without their pixels.
            predictions: what the model says of each, in the same pixels as the truth.
            labels: class names.
            judging: of detections.

        Raises:
            ValueError: the two are not of equal length.
        """

    @abstractmethod
    def outcomes(self, result: ResultT) -> Outcomes:
        """What a drop is judged by: how each image came out."""

    def drop(self, reference: ResultT, result: ResultT, samples: int, seed: int) -> tuple[float, float, float]:
        """How far the main metric drops from a reference's result to another on the same images.

        Args:
            reference, result: of `evaluate`.
            samples: resamplings of the images; with 0 the interval is the drop itself.
            seed: of the resampling.

        Returns:
            Drop (positive: worse than the reference), low and high end of its 95 % interval.
        """
        return self.outcomes(reference).drop_to(self.outcomes(result), samples, seed)

    @abstractmethod
    def certainty(
        self, truths: Sequence[Example], predictions: Sequence[PredictionT], result: ResultT
    ) -> tuple[np.ndarray, np.ndarray]:
        """How sure a model was each time, (N,) 0..1, and whether it was right, (N,) bool.

        Args:
            truths, predictions: what `evaluate` compared.
            result: that it gave.
        """

    @abstractmethod
    def class_figures(self, result: ResultT) -> dict[str, dict[str, float]]:
        """Label -> figures of that class, of the classes that the truth has."""

    @abstractmethod
    def protocol(self, config: EvaluateConfig) -> list[tuple[str, str]]:
        """Names and sentences: how the figures are measured."""

    @abstractmethod
    def curves(self, results: Mapping[str, ResultT]) -> Curves:
        """The task's curve, from variant -> result."""

    @abstractmethod
    def classes_table(self, labels: Sequence[str], results: Mapping[str, ResultT]) -> Table:
        """Each class's figures, a column a variant."""

    def confusion_labels(self, labels: Sequence[str]) -> list[str]:
        """Names of the confusion's rows and columns."""
        return list(labels)

    def confusion_title(self, variant: str, result: ResultT) -> str:
        """Heading of one variant's confusion."""
        return variant


class Showing(ABC, Generic[PredictionT, ResultT]):
    """Which of a task's predictions are shown, and how they are drawn.

    Attributes:
        pictures_caption: sentence of the page.
    """

    pictures_caption: str

    @abstractmethod
    def quality(self, truth: Example, prediction: PredictionT, reference: ResultT) -> tuple[float, float] | None:
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
        self,
        image: np.ndarray,
        truth: Example,
        prediction: PredictionT,
        labels: Sequence[str],
        side: int,
        reference: ResultT,
    ) -> Image:
        """A prediction on an image, as `draw_truth`; right and wrong differ in more than colour."""

    @abstractmethod
    def caption(
        self, truth: Example, predictions: Mapping[str, PredictionT], labels: Sequence[str], reference: ResultT
    ) -> str:
        """A line about one image: what it holds and how each variant did, from variant -> its prediction."""

    @abstractmethod
    def legend(self, labels: Sequence[str], reference: ResultT) -> Legend:
        """What the pictures' colours mean."""


class Task(Learning[PredictionT], Evaluation[PredictionT, ResultT], Showing[PredictionT, ResultT]):
    """One task, all of it.

    Attributes:
        name: as in `data.task` and the card.
    """

    name: str
