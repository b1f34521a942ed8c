from dataclasses import replace

import numpy as np
import pytest

from mirada.config import TASKS as CONFIGURED
from mirada.data.records import Example
from mirada.errors import MiradaError
from mirada.inference.prediction import Classification, Localization
from mirada.tasks import TASKS, get_task


def example(label: int, box=(0, 0, 32, 32)) -> Example:
    return Example("x", b"", np.array([box], np.float32), np.array([label]), np.array([False]), "x")


def located(label: int, box, input_size: int = 32) -> Localization:
    return Localization(np.eye(2)[label] * 0.8 + 0.1, label, np.array(box, np.float32), input_size)


def test_every_task_that_can_be_configured_is_there():
    assert list(TASKS) == list(CONFIGURED)
    assert all(get_task(name).name == name for name in CONFIGURED)
    with pytest.raises(MiradaError, match="must be one of detection, localization, classification, got 'guessing'"):
        get_task("guessing")


def test_localization_by_hand():
    truths = [example(0, (0, 0, 10, 10)), example(1, (0, 0, 10, 10)), example(1, (10, 10, 30, 30))]
    found = [located(0, (0, 0, 10, 20)), located(0, (0, 0, 10, 10)), located(1, (30, 30, 10, 10))]
    figures = get_task("localization").evaluate(truths, found, ["cat", "dog"]).figures
    assert figures["loc_accuracy"] == pytest.approx(
        1 / 3
    )  # IoU 0.5 is enough; a wrong label isn't, nor swapped corners
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["mean_iou"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert figures["iou_50"] == pytest.approx(2 / 3)
    assert figures["box_mse_224"] == pytest.approx((10**2 + 4 * 20**2) / 12 * (224 / 32) ** 2)


def test_the_drop_of_localization_counts_images_that_lose_their_label_or_box():
    task, truths = get_task("localization"), [example(0, (0, 0, 10, 10)) for _ in range(4)]
    good, bad = located(0, (0, 0, 10, 10)), [located(1, (0, 0, 10, 10)), located(0, (20, 20, 30, 30))]
    reference = task.evaluate(truths, [good] * 4, ["cat", "dog"])
    variant = task.evaluate(truths, [good, good, *bad], ["cat", "dog"])
    drop, low, high = task.drop(reference, variant, 500, 0)
    assert drop == 0.5
    assert low < 0.5 < high
    curves = task.curves({"float32": reference, "int8": variant})
    assert curves.lines["int8"][0] == 1
    assert set(curves.lines["int8"][1:]) == {0.75}


def test_the_threshold_is_chosen_on_the_given_images_where_there_are_two_classes():
    truths = [example(label) for label in (0, 0, 1)]
    found = [Classification(np.array([1 - p, p]), 0) for p in (0.1, 0.6, 0.8)]
    for name in ("classification", "localization"):
        for goal, share, threshold in (("balanced_accuracy", 1, 0.7), ("recall", 1, 0.8), ("precision", 0.5, 0.6)):
            assert get_task(name).choose_threshold(truths, found, goal, share) == pytest.approx(threshold)
    three = [Classification(np.array([0.2, 0.3, 0.5]), 2)] * 3
    assert get_task("classification").choose_threshold(truths, three, "recall", 0.9) == 0.5
    assert get_task("classification").choose_threshold([], [], "recall", 0.9) == 0.5
    assert get_task("detection").choose_threshold(truths, [], "recall", 0.9) == 0.5


@pytest.mark.parametrize("name", ["classification", "localization"])
def test_wrong_numbers_of_predictions_or_labels_are_refused(name):
    task = get_task(name)
    with pytest.raises(ValueError, match="1 images but 0 predictions"):
        task.evaluate([example(0)], [], ["cat", "dog"])
    several = replace(example(0), labels=np.array([0, 1]))
    with pytest.raises(ValueError, match="x has 2 labels, expected one"):
        task.evaluate([several], [located(0, (0, 0, 1, 1))], ["cat", "dog"])


def test_a_wrong_label_is_worse_than_any_box():
    task, truth = get_task("localization"), example(0, (0, 0, 10, 10))
    wrong, far = located(1, (0, 0, 10, 10)), located(0, (20, 20, 30, 30))
    assert task.quality(truth, far, None) > task.quality(truth, wrong, None)
