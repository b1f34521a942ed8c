"""How each image of a split came out: what a drop is judged by, kept in a file and put together over folds."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mirada.tasks.accuracy import paired_drop, unseen_share
from mirada.tasks.resampling import Matches, bootstrap_drop, map50_of_samples, telling_units


class Outcomes(ABC):
    """What one model makes of a split, as far as its main metric needs it."""

    @property
    @abstractmethod
    def units(self) -> int:
        """How many units `resampled` weighs: images, or blocks of them."""

    @abstractmethod
    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """The main metric of resampled images.

        Args:
            weights: (S, units) how often each unit is in each of S samples.

        Returns:
            (S,) 0..1; NaN where a sample has nothing to find.
        """

    @property
    def value(self) -> float:
        """The main metric; 0 where there is nothing to find."""
        if self.units == 0:
            return 0.0
        return float(np.nan_to_num(self.resampled(np.ones((1, self.units), np.int64)))[0])

    @abstractmethod
    def drop_to(self, other: Outcomes, samples: int, seed: int) -> tuple[float, float, float]:
        """How far the main metric drops from this model to another on the same images.

        Args:
            other: of the same kind.
            samples: resamplings of the images; with 0 the interval is the drop itself.
            seed: of the resampling.

        Returns:
            Drop (positive: the other is worse), low and high end of its 95 % interval.
        """

    @abstractmethod
    def unseen_in(self, half: float) -> float:
        """How much of an end's distance from the drop, as `drop_to` gives it, stands for what no unit has shown.

        Args:
            half: that distance.

        Returns:
            `unseen_share` of the units, or 0: it shrinks with the number of images, all else with its root.
        """

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, for `read_outcomes`."""


@dataclass
class RightImages(Outcomes):
    """One label an image: (N,) bool, whether the image came out right."""

    right: np.ndarray

    @property
    def units(self) -> int:
        """The images."""
        return len(self.right)

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """The share of images that came out right."""
        return np.asarray(weights @ self.right / weights.sum(axis=1))

    def drop_to(self, other: Outcomes, samples: int, seed: int) -> tuple[float, float, float]:
        """Of that share."""
        assert isinstance(other, RightImages)
        return paired_drop(self.right, other.right, samples, seed)

    def unseen_in(self, half: float) -> float:
        """The exact intervals of shares have it in them, always."""
        return min(half, unseen_share(self.units))

    def arrays(self) -> dict[str, np.ndarray]:
        """One array."""
        return {"right": self.right}


@dataclass
class FoundObjects(Outcomes):
    """Detections matched with the truth, one entry a class."""

    matches: list[Matches]

    @property
    def units(self) -> int:
        """Images, or blocks of them."""
        return len(self.matches[0].truths)

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """MAP50."""
        return map50_of_samples(self.matches, weights)

    def drop_to(self, other: Outcomes, samples: int, seed: int) -> tuple[float, float, float]:
        """Of mAP50."""
        assert isinstance(other, FoundObjects)
        return bootstrap_drop(self.matches, other.matches, samples, seed)

    def unseen_in(self, half: float) -> float:
        """All of it, where that is what it is; else nothing, as a bootstrap with spread has none."""
        unseen = unseen_share(telling_units(self.matches))
        return half if unseen < 1 and math.isclose(half, unseen) else 0.0

    def arrays(self) -> dict[str, np.ndarray]:
        """The classes one after the other; `label` (D,) says which a detection is of, `truths` is (classes, units)."""
        return {
            "label": np.repeat(np.arange(len(self.matches)), [len(match.scores) for match in self.matches]),
            "scores": np.concatenate([match.scores for match in self.matches]),
            "images": np.concatenate([match.images for match in self.matches]).astype(np.int32),
            "correct": np.concatenate([match.correct for match in self.matches]),
            "ignored": np.concatenate([match.ignored for match in self.matches]),
            "truths": np.stack([match.truths for match in self.matches]),
        }


def read_outcomes(arrays: Mapping[str, np.ndarray]) -> Outcomes:
    """What `arrays` gave.

    Raises:
        KeyError: an array is absent.
    """
    if "right" in arrays:
        return RightImages(arrays["right"].astype(bool))
    columns = [arrays[name] for name in ("scores", "images", "correct", "ignored")]
    matches = []
    for label, truths in enumerate(arrays["truths"]):
        own = arrays["label"] == label
        scores, images, correct, ignored = (column[own] for column in columns)
        matches.append(Matches(scores, images.astype(np.int64), correct, ignored, truths))
    return FoundObjects(matches)


def pool_outcomes(parts: Sequence[Outcomes]) -> Outcomes:
    """Several splits as one, in their order; of detections the scores of all are ranked together.

    Args:
        parts: at least one, all of one kind and with the same classes.
    """
    if all(isinstance(part, RightImages) for part in parts):
        return RightImages(np.concatenate([part.right for part in parts if isinstance(part, RightImages)]))
    found = [part.matches for part in parts if isinstance(part, FoundObjects)]
    starts = np.cumsum([0, *(len(matches[0].truths) for matches in found)])
    return FoundObjects([_join(classes, starts) for classes in zip(*found, strict=True)])


def _join(matches: Sequence[Matches], starts: np.ndarray) -> Matches:
    """One class over several splits, best score first."""
    scores = np.concatenate([match.scores for match in matches])
    order = np.argsort(-scores, kind="stable")
    images = np.concatenate([match.images + start for match, start in zip(matches, starts, strict=False)])
    return Matches(
        scores[order],
        images[order],
        np.concatenate([match.correct for match in matches])[order],
        np.concatenate([match.ignored for match in matches])[order],
        np.concatenate([match.truths for match in matches]),
    )
