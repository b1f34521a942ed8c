import math
from dataclasses import replace

import numpy as np
import pytest

from mirada.config import TASKS as CONFIGURED
from mirada.data.records import Example
from mirada.errors import MiradaError
from mirada.inference.card import Card
from mirada.inference.prediction import Classification, Localization
from mirada.tables import ms_text
from mirada.tasks import TASKS, get_task

CARD = Card("classification", ["cat", "dog"], 32, 3, "stretch", [], {"classes": ["classes"]}, "drawn", "0", {})
BOX_CARD = replace(CARD, task="localization", outputs={"classes": ["classes"], "box": ["box"]})
MAP_CARD = replace(
    BOX_CARD,
    strides=[16],
    outputs={"classes": ["classes_16"], "scores": ["scores_16"], "distances": ["distances_16"]},
)


def example(label: int, box=(0, 0, 32, 32)) -> Example:
    return Example("x", b"", np.array([box], np.float32), np.array([label]), np.array([False]), "x")


def located(label: int, box, input_size: int = 32) -> Localization:
    return Localization(np.eye(2)[label] * 0.8 + 0.1, label, np.array(box, np.float32), input_size)


def test_every_task_that_can_be_configured_is_there():
    assert tuple(TASKS) == CONFIGURED
    assert all(get_task(name).name == name for name in CONFIGURED)
    with pytest.raises(MiradaError, match="must be one of detection, localization, classification, got 'guessing'"):
        get_task("guessing")


def test_a_labels_probability_is_its_softmax():
    outputs = {"classes": np.log(np.array([[0.2, 0.1, 0.7]], np.float32))}
    found = get_task("classification").decode(outputs, replace(CARD, labels=["cat", "dog", "cow"]))
    np.testing.assert_allclose(found.probabilities, [0.2, 0.1, 0.7], rtol=1e-6)
    assert found.label == 2
    assert found.probability == pytest.approx(0.7)


@pytest.mark.parametrize(("threshold", "label"), [(0.5, 0), (0.26, 0), (0.25, 1)])
def test_the_second_of_two_is_chosen_from_the_cards_threshold_on(threshold, label):
    outputs = {"classes": np.array([[math.log(3), 0.0]])}  # 0.75 and 0.25
    assert get_task("classification").decode(outputs, replace(CARD, threshold=threshold)).label == label


def test_a_box_comes_as_it_is_or_as_the_weighted_mean_of_a_map():
    task, classes = get_task("localization"), np.zeros((1, 2), np.float32)
    direct = task.decode({"classes": classes, "box": np.array([[40, 2, -3, 9]], np.float32)}, BOX_CARD)
    assert direct.box_xyxy.tolist() == [40, 2, -3, 9]
    scores = np.full((1, 2, 2, 1), -50, np.float32)
    scores[0, 0, 0], scores[0, 1, 0] = math.log(3), 0  # cells centred on (8, 8) and (8, 24), 3 to 1
    reach = np.log(np.expm1(np.array([0.25, 0.5, 1, 0.25])))  # 4, 8, 16 and 4 pixels
    logits = np.array([[[[4, 0], [9, 9]], [[0, 8], [9, 9]]]], np.float32)  # 3/4 * (4, 0) + 1/4 * (0, 8)
    outputs = {"classes_16": logits, "scores_16": scores, "distances_16": np.tile(reach, (1, 2, 2, 1))}
    found = task.decode(outputs, MAP_CARD)
    np.testing.assert_allclose(found.box_xyxy, [4, 4, 24, 16], atol=1e-4)
    assert found.label == 0 and found.probability == pytest.approx(1 / (1 + math.exp(2 - 3)))
    outputs["distances_16"] = np.full((1, 2, 2, 4), 9.0)
    np.testing.assert_allclose(task.decode(outputs, MAP_CARD).box_xyxy, [0, 0, 32, 32])


@pytest.mark.parametrize(
    "card",
    [
        replace(CARD, labels=["cat"]),
        replace(CARD, outputs={}),
        replace(BOX_CARD, strides=[16]),
        replace(MAP_CARD, strides=[]),
        replace(BOX_CARD, outputs={"classes": ["classes"]}),
        replace(CARD, task="detection"),
        replace(CARD, task="detection", labels=[], outputs={"objectness": [], "distances": []}),
    ],
)
def test_outputs_that_do_not_fit_the_task_are_refused(card):
    with pytest.raises((ValueError, KeyError)):
        get_task(card.task).check_outputs(card)


@pytest.mark.parametrize("card", [CARD, BOX_CARD, MAP_CARD, replace(MAP_CARD, labels=["cat"])])
def test_outputs_that_fit_pass(card):
    get_task(card.task).check_outputs(card)


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
        assert get_task(name).choose_threshold(truths, found) == pytest.approx(0.7)
    three = [Classification(np.array([0.2, 0.3, 0.5]), 2)] * 3
    assert get_task("classification").choose_threshold(truths, three) == 0.5
    assert get_task("classification").choose_threshold([], []) == 0.5
    assert get_task("detection").choose_threshold(truths, []) == 0.5


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


def test_a_time_keeps_two_digits_that_say_something():
    assert [ms_text(value) for value in (12.34, 1.0, 0.96, 0.5312, 0.02849)] == ["12.3", "1.0", "1.0", "0.53", "0.028"]
    assert ms_text(None) == ms_text(float("nan")) == "–"
