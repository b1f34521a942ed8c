"""How float32 and each rung did on val images, kept beside the ladder, and pooled over the folds of a data set.

Each image is val in one fold, so the folds together judge a drop by all images that are not test, each of them looked at by
models that were not trained on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mirada.errors import MiradaError
from mirada.files import written_aside
from mirada.inference.variants import REFERENCE
from mirada.quantization.verdict import CANNOT_TELL, answer_of, more_images
from mirada.tasks.outcomes import Outcomes, pool_outcomes, read_outcomes

OUTCOMES_FILE = "val_outcomes.npz"
BEST = "best"
_FORMAT = 1
_RESAMPLINGS = 1000


@dataclass
class ValOutcomes:
    """What one quantization saw of its val images.

    Attributes:
        metric: the task's main metric. max_drop: the budget. best: the rung that was chosen.
        labels: class names. images: ids of the photographs.
        outcomes: 'float32' and each rung -> how it did.
    """

    metric: str
    max_drop: float
    best: str
    labels: list[str]
    images: list[str]
    outcomes: dict[str, Outcomes]


@dataclass
class Pooled:
    """A rung over all folds.

    Attributes:
        metric: the main metric. rung: its name, or `best`: whichever rung each fold chose.
        folds, images: how many.
        reference, value: float32's and the rung's main metric over all images together.
        drop, drop_low, drop_high: how far the second lies below the first, and its 95 % interval over all images, as of
            `Outcomes.drop_to`.
        answer, more_images: as of `budget.Rung`.
        max_drop: the budget.
        fold_references, fold_values: float32's and the rung's main metric of each fold by itself.
    """

    metric: str
    rung: str
    folds: int
    images: int
    reference: float
    value: float
    drop: float
    drop_low: float
    drop_high: float
    answer: str
    more_images: int | None
    max_drop: float
    fold_references: list[float]
    fold_values: list[float]


def write_val_outcomes(path: Path, seen: ValOutcomes) -> None:
    """Write it; equal outcomes give equal bytes."""
    about = {"format": _FORMAT, "metric": seen.metric, "max_drop": seen.max_drop, "best": seen.best}
    about |= {"labels": seen.labels, "images": seen.images, "rungs": list(seen.outcomes)}
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about, ensure_ascii=False))}
    for rung, kept in seen.outcomes.items():
        arrays |= {f"{rung}/{key}": array for key, array in kept.arrays().items()}
    with written_aside(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_val_outcomes(path: Path) -> ValOutcomes:
    """What `write_val_outcomes` wrote.

    Raises:
        MiradaError: there is no such file, or it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file.items())
        about = json.loads(str(arrays.pop("about")))
        outcomes = {}
        for rung in about["rungs"]:
            own = {key.rpartition("/")[2]: array for key, array in arrays.items() if key.rpartition("/")[0] == rung}
            outcomes[rung] = read_outcomes(own)
        known = {key: about[key] for key in ("metric", "max_drop", "best", "labels", "images")}
        return ValOutcomes(**known, outcomes=outcomes)
    except FileNotFoundError as error:
        raise MiradaError(f"{path} is missing: quantize again with a max_drop.") from error
    except Exception as error:  # numpy and zipfile raise what they like for a damaged file
        raise MiradaError(f"{path} is corrupt ({error!r}): quantize again.") from error


def pool_folds(folds: Sequence[ValOutcomes], samples: int = _RESAMPLINGS, seed: int = 0) -> list[Pooled]:
    """Judge the rungs that every fold has climbed, and `best`, by the val images of all folds together.

    Args:
        folds: one or more, of one data set.
        samples, seed: of the bootstrap.

    Raises:
        MiradaError: the folds differ in classes, metric or budget, or an image is val in two of them.
    """
    first = folds[0]
    for what, of in (("classes", "labels"), ("metric", "metric"), ("budget", "max_drop")):
        if any(getattr(fold, of) != getattr(first, of) for fold in folds):
            raise MiradaError(f"These folds differ in {what}: they are not pooled.")
    images = [image for fold in folds for image in fold.images]
    if len(set(images)) < len(images):
        raise MiradaError("An image is val in two of these folds: they are no folds of one data set, and not pooled.")
    shared = [rung for rung in first.outcomes if rung != REFERENCE and all(rung in fold.outcomes for fold in folds)]
    return [_pool(folds, rung, samples, seed) for rung in (*shared, BEST)]


def _pool(folds: Sequence[ValOutcomes], rung: str, samples: int, seed: int) -> Pooled:
    references = [fold.outcomes[REFERENCE] for fold in folds]
    results = [fold.outcomes[fold.best if rung == BEST else rung] for fold in folds]
    reference, result = pool_outcomes(references), pool_outcomes(results)
    drop, low, high = reference.drop_to(result, samples, seed)
    budget, images = folds[0].max_drop, sum(len(fold.images) for fold in folds)
    answer, more = answer_of(low, high, budget), None
    if answer == CANNOT_TELL:
        more = more_images(drop, low, high, budget, images, reference.unseen_in)
    return Pooled(
        metric=folds[0].metric,
        rung=rung,
        folds=len(folds),
        images=images,
        reference=reference.value,
        value=result.value,
        drop=drop,
        drop_low=low,
        drop_high=high,
        answer=answer,
        more_images=more,
        max_drop=budget,
        fold_references=[part.value for part in references],
        fold_values=[part.value for part in results],
    )


def pooled_figures(pooled: Sequence[Pooled]) -> Mapping[str, float]:
    """The figures for the tracking: `pooled/<rung>/<figure>`."""
    keys = ("images", "reference", "value", "drop", "drop_low", "drop_high")
    return {f"pooled/{rung.rung}/{key}": float(getattr(rung, key)) for rung in pooled for key in keys}
