"""What is said of the file that leaves: its figure in TensorFlow Lite Micro beside LiteRT's, and in how much time."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada.evaluation.runtimes import Runtimes
from mirada.export.runtimes import Runtime
from mirada.stages.fitting.shipping import compare_accuracy, most_images
from mirada.tables import Table
from tests.cards import CARD

BESIDE = Runtimes(
    "best", 40, 12.0, Table([], []), figures={"litert_reference": 0.75, "litert_xnnpack": 0.7, "tflm": 0.75},
    equal={"litert_reference": 40, "litert_xnnpack": 3, "tflm": 40},
)  # fmt: skip


@pytest.mark.parametrize(
    ("beside", "runtime", "difference", "said"),
    [
        (BESIDE, "tflm", 0.05, "is 0.7500, in LiteRT 0.7000, 0.0500 apart, on 40 of 60 test images; the outputs of 40 are"),
        (replace(BESIDE, images=60), "vela", 0.05, "on all 60 test images; .*the file before Vela"),
        (replace(BESIDE, figures={"litert_xnnpack": 0.7}, absent={"tflm": "no such package."}), "vela", None,
         "its accuracy in TensorFlow Lite Micro is not known: no such package"),
        (replace(BESIDE, figures={}), "tflm", None, "there is nothing to find"),
    ],
)  # fmt: skip
def test_the_figures_of_two_runtimes_are_held_against_each_other(
    beside: Runtimes, runtime: str, difference: float | None, said: str
) -> None:
    found = compare_accuracy(beside, CARD, "test", 60, runtime)
    assert found.difference == (None if difference is None else pytest.approx(difference))
    assert found.record()["difference"] == found.difference
    assert ("chosen/tflm_difference" in found.figures()) == (difference is not None)

    assert re.search(said, found.sentence())


@pytest.mark.parametrize(("seconds", "most"), [(60.0, 20), (1.0, 1), (600.0, 100)])
def test_so_many_images_are_shown_as_there_is_time_for(seconds: float, most: int) -> None:
    now = [0.0]

    def run(path: Path, images: np.ndarray) -> list[np.ndarray]:
        now[0] += 5.0 + 1.5 * len(images)  # its start does not count
        return []

    slow = Runtime("slow", "slow", 0, run)
    absent = replace(slow, why_not=lambda: "not here")
    image = np.zeros((1, 4, 4, 1), np.int8)
    assert most_images(Path("x"), image, seconds, 100, (slow, replace(slow), absent), lambda: now[0]) == most
