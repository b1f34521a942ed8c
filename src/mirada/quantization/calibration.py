"""Which training images set the ranges of int8."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mirada.data.images import decode
from mirada.data.records import Dataset
from mirada.inference.card import Card
from mirada.inference.litert import Model, predict_examples
from mirada.tasks import get_task

POOL = 4  # times as many images are looked at to find the hardest


def choose_random(dataset: Dataset, count: int, seed: int) -> list[int]:
    """Indices of training images for calibration, drawn at random until every class is in.

    Args:
        dataset: its training split is drawn from.
        count: how many; more only where every class would not be in otherwise.
        seed: decides the draw.

    Returns:
        Sorted indices into the training split.
    """
    labels = _labels(dataset)
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen: list[int] = []
    missing = set().union(*labels)
    for index in order:  # first whatever brings a class that is not in yet
        if labels[index] & missing:
            chosen.append(int(index))
            missing -= labels[index]
    taken = set(chosen)
    rest = [int(index) for index in order if int(index) not in taken]
    return sorted(chosen + rest[: max(0, count - len(chosen))])


def choose_balanced(dataset: Dataset, count: int, seed: int) -> list[int]:
    """Indices of training images, each in turn one with an object of the class that is rarest among those drawn so far.

    Args:
        dataset: its training split is drawn from.
        count: how many, as far as there are.
        seed: decides the draw.

    Returns:
        Sorted indices into the training split.
    """
    labels = _labels(dataset)
    rest = [int(index) for index in np.random.default_rng(seed).permutation(len(labels))]
    drawn = dict.fromkeys(sorted(set().union(*labels)), 0)
    chosen: list[int] = []
    while rest and len(chosen) < count:
        wanted = sorted(drawn, key=lambda label: (drawn[label], label))
        index = next((i for label in wanted for i in rest if label in labels[i]), rest[0])
        rest.remove(index)
        chosen.append(index)
        for label in labels[index]:
            drawn[label] += 1
    return sorted(chosen)


def choose_hardest(dataset: Dataset, count: int, seed: int, model: Model, card: Card) -> list[int]:
    """Indices of the training images on which a model does worst, of `POOL` times as many drawn with `choose_balanced`.

    Args:
        dataset: its training split is drawn from.
        count: how many, as far as there are.
        seed: decides the draw.
        model: the float model, whose `Task.quality` of an image counts.
        card: its card.

    Returns:
        Sorted indices into the training split; images of which the task tells no quality come last.
    """
    task = get_task(card.task)
    pool = choose_balanced(dataset, POOL * count, seed)
    wanted = set(pool)
    examples = (example for index, example in enumerate(dataset.examples("train")) if index in wanted)
    truths, found = predict_examples({"float32": model}, examples)
    predictions = found["float32"]
    reference = task.evaluate(truths, predictions, card.labels)
    qualities = [task.quality(truth, said, reference) for truth, said in zip(truths, predictions, strict=True)]
    order = sorted(range(len(pool)), key=lambda i: (qualities[i] is None, qualities[i] or (0.0, 0.0), i))
    return sorted(pool[i] for i in order[:count])


def calibration_images(dataset: Dataset, indices: list[int]) -> Iterator[np.ndarray]:
    """The chosen training images, (S, S, C) uint8."""
    wanted = set(indices)
    for index, example in enumerate(dataset.examples("train")):
        if index in wanted:
            yield decode(example.image, dataset.channels)


def _labels(dataset: Dataset) -> list[set[int]]:
    """Each training image's classes."""
    return [set(example.labels[~example.ignore].tolist()) for example in dataset.examples("train")]
