"""Which training images set the ranges of int8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

import numpy as np

from mirada.data.images import decode
from mirada.data.records import Dataset
from mirada.inference.card import Card
from mirada.inference.litert import Model, predict_examples
from mirada.tasks import get_task

POOL = 4  # times as many images are looked at to find the hardest


def train_classes(dataset: Dataset) -> list[set[int]]:
    """Each training image's classes, in order: what images are chosen by. It reads the whole training split."""
    return [set(example.labels[~example.ignore].tolist()) for example in dataset.examples("train")]


def choose_random(classes: Sequence[Set[int]], count: int, seed: int) -> list[int]:
    """Indices of training images for calibration, drawn at random until every class is in.

    Args:
        classes: of `train_classes`.
        count: how many; more only where every class would not be in otherwise.
        seed: decides the draw.

    Returns:
        Sorted indices into the training split.
    """
    order = np.random.default_rng(seed).permutation(len(classes)).tolist()
    chosen: list[int] = []
    missing = set().union(*classes)
    for index in order:  # first whatever brings a class that is not in yet
        if classes[index] & missing:
            chosen.append(index)
            missing -= classes[index]
    taken = set(chosen)
    rest = [index for index in order if index not in taken]
    return sorted(chosen + rest[: max(0, count - len(chosen))])


def choose_balanced(classes: Sequence[Set[int]], count: int, seed: int) -> list[int]:
    """Indices of training images, each in turn one with an object of the class that is rarest among those drawn so far.

    Args:
        classes: of `train_classes`.
        count: how many, as far as there are.
        seed: decides the draw.

    Returns:
        Sorted indices into the training split.
    """
    rest = np.random.default_rng(seed).permutation(len(classes)).tolist()
    drawn = dict.fromkeys(sorted(set().union(*classes)), 0)
    chosen: list[int] = []
    while rest and len(chosen) < count:
        wanted = sorted(drawn, key=lambda label: (drawn[label], label))
        index = next((index for label in wanted for index in rest if label in classes[index]), rest[0])
        rest.remove(index)
        chosen.append(index)
        for label in classes[index]:
            drawn[label] += 1
    return sorted(chosen)


def choose_hardest(dataset: Dataset, pool: Sequence[int], count: int, model: Model, card: Card) -> list[int]:
    """Indices of those training images of a pool on which a model does worst.

    Args:
        dataset: its training split is looked at.
        pool: sorted indices, such as `POOL` times as many as are wanted.
        count: how many, as far as there are.
        model: the float model, whose `Task.quality` of an image counts.
        card: its card.

    Returns:
        Sorted indices into the training split; images of which the task tells no quality come last.
    """
    task = get_task(card.task)
    wanted = set(pool)
    examples = (example for index, example in enumerate(dataset.examples("train")) if index in wanted)
    truths, found = predict_examples({"float32": model}, examples)
    predictions = found["float32"]
    reference = task.evaluate(truths, predictions, card.labels)
    qualities = [task.quality(truth, said, reference) for truth, said in zip(truths, predictions, strict=True)]
    order = sorted(zip(pool, qualities, strict=True), key=lambda one: (one[1] is None, one[1] or (0.0, 0.0), one[0]))
    return sorted(index for index, _ in order[:count])


def calibration_images(dataset: Dataset, indices: list[int]) -> Iterator[np.ndarray]:
    """The chosen training images, (S, S, C) uint8."""
    wanted = set(indices)
    for index, example in enumerate(dataset.examples("train")):
        if index in wanted:
            yield decode(example.image, dataset.channels)
