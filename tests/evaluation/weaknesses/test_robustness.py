"""Models that fail in conditions that are known, so that every drop is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mirada.data.images import decode, encode
from mirada.data.records import Example
from mirada.evaluation.weaknesses.corruptions import corrupt
from mirada.evaluation.weaknesses.robustness import (
    CONDITIONS,
    Robustness,
    measure_robustness,
    pick_examples,
    plot_robustness,
    robustness_table,
)
from mirada.evaluation.weaknesses.scenes import Scene
from mirada.inference.prediction import STANDARD, Classification
from mirada.tasks import get_task

TASK = get_task("classification")
IMAGES = 4


def draw(number: int) -> np.ndarray:
    return np.full((8, 8, 3), 40 * number + 20, np.uint8)


EXAMPLES = [
    Example(f"{n}", encode(draw(n), "png"), np.array([[0, 0, 8, 8]]), np.array([1]), np.array([False]), f"{n}")
    for n in range(IMAGES)
]


class Failing:
    """Right on all images, but for the first `wrong` of them in the given conditions."""

    def __init__(self, conditions: set[int], wrong: int = IMAGES) -> None:
        self.card = SimpleNamespace(channels=3, labels=["a", "b"])
        self.conditions, self.wrong, self.seen = conditions, wrong, []

    def find(self, image: np.ndarray, decoding: Any) -> Classification:
        condition, number = divmod(len(self.seen), IMAGES)
        self.seen.append(image)
        label = int(not (condition in self.conditions and number < self.wrong))
        return Classification(np.array([1.0 - label, label]), label)


def measure(samples: int = 200, **models: Failing) -> Robustness:
    scenes = [Scene(decode(example.image), "none", 8) for example in EXAMPLES]
    found = measure_robustness([models], EXAMPLES, scenes, TASK, STANDARD, samples, 0)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_each_variant_drops_against_itself_and_the_difference_is_paired() -> None:
    # conditions 1 to 3 are noise; 4 to 6 blur, where both fail
    found = measure(float32=Failing({4, 5, 6}), int8=Failing({1, 2, 3, 4, 5, 6}))
    assert found.clean == {"float32": 1, "int8": 1}
    assert found.metrics["noise", 0] == {"float32": 1, "int8": 0}
    assert found.mean_drop == pytest.approx({"float32": 0.2, "int8": 0.4})
    assert found.extra["noise", 2] == (1, 1, 1)
    assert found.extra["blur", 1] == (0, 0, 0)
    assert found.mean_extra == pytest.approx((0.2, 0.2, 0.2))
    assert found.sentence("accuracy") == (
        "Over 15 kinds of corruption, 4 images each, accuracy drops by: float32 0.200, int8 0.400. int8 suffers more than "
        "float32, by +0.200, with a 95 % interval from +0.200 to +0.200."
    )
    assert robustness_table(found).rows[1] == [
        "noise, weak",
        "1.000",
        "0.000",
        "0.000",
        "+1.000",
        "+1.000 [+1.000, +1.000]",
    ]
    assert plot_robustness(found, "accuracy").startswith(b"\x89PNG")


def test_what_was_lost_already_clean_is_not_counted_again() -> None:
    found = measure(float32=Failing({1}), int8=Failing(set(range(16))))  # always wrong: it has nothing to lose
    assert found.mean_drop == pytest.approx({"float32": 1 / 15, "int8": 0})
    assert found.mean_extra == pytest.approx((-1 / 15, -1 / 15, -1 / 15))
    assert "int8 suffers less than float32: −0.067" in found.sentence("accuracy")


def test_too_few_images_cannot_tell() -> None:
    found = measure(float32=Failing(set()), int8=Failing({1}, wrong=1))
    assert found.mean_extra is not None
    assert found.mean_extra[0] == pytest.approx(1 / 4 / 15)
    assert found.mean_extra[1] == 0
    assert "Whether int8 suffers more than float32 these images can’t tell: +0.017" in found.sentence("accuracy")


def test_both_see_the_same_corrupted_pixels() -> None:
    models = {"float32": Failing(set()), "int8": Failing(set())}
    found = measure(samples=0, **models)
    for seen, same in zip(models["float32"].seen, models["int8"].seen, strict=True):
        assert (seen == same).all()
    assert len(models["int8"].seen) == IMAGES * (1 + len(CONDITIONS))
    assert (models["int8"].seen[0] == draw(0)).all()
    assert (models["int8"].seen[IMAGES + 2] == corrupt(draw(2), "noise", 0, 2)).all()
    assert found.extra["noise", 0] == (0, 0, 0)


def test_alone_float32_has_nothing_beside_it() -> None:
    found = measure(float32=Failing({1}))
    assert (found.beside, found.extra, found.mean_extra) == (None, {}, None)
    assert found.sentence("accuracy").endswith("accuracy drops by: float32 0.067.")
    assert len(robustness_table(found).head) == 3


def test_examples_are_spread_over_the_split() -> None:
    dataset: Any = SimpleNamespace(
        splits={"test": {"images": IMAGES}}, examples=lambda split: iter(EXAMPLES if split == "test" else [])
    )
    assert [e.image_id for e in pick_examples(dataset, "test", 2)] == ["0", "3"]
    assert len(pick_examples(dataset, "test", 40)) == IMAGES
