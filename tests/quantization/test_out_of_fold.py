from pathlib import Path

import numpy as np
import pytest

from mirada.errors import MiradaError
from mirada.quantization.budget import Candidate, Validation
from mirada.quantization.out_of_fold import (
    ValOutcomes,
    pool_folds,
    pooled_figures,
    read_val_outcomes,
    write_val_outcomes,
)
from mirada.tasks.outcomes import RightImages
from tests.singles import make_card, write_singles, write_variants


def fold(image: str, best: str = "int8", max_drop: float = 0.1, **right: list[int]) -> ValOutcomes:
    rungs = {name: RightImages(np.array(values, bool)) for name, values in right.items()}
    images = [f"{image}{number}" for number in range(len(right["float32"]))]
    return ValOutcomes("accuracy", max_drop, best, ["a", "b"], images, rungs)


def test_all_images_judge_the_drop() -> None:
    (int8, best) = pool_folds([fold("a", float32=[1], int8=[0]), fold("b", float32=[1], int8=[1])])
    assert (int8.rung, best.rung) == ("int8", "best")
    assert (int8.folds, int8.images, int8.reference, int8.value) == (2, 2, 1.0, 0.5)
    # of two draws 0, 1 or 2 are the lost image with 1/4, 1/2, 1/4; 1 of 2 is 0.0126 or more, 0 of 2 at most 0.8419
    assert (int8.drop, int8.drop_high) == (0.5, 1.0)
    assert int8.drop_low == pytest.approx(0.5 - np.hypot(0.4874, 0.8419), abs=1e-4)
    # the budget lies 0.4 below the drop: of 10, 0.3085 may be gained unseen and 0.4874 shrinks to 0.2180: 0.378; of 9, 0.407
    assert (int8.answer, int8.more_images) == ("cannot_tell", 8)
    assert (int8.fold_references, int8.fold_values) == ([1.0, 1.0], [0.0, 1.0])
    assert pooled_figures([int8])["pooled/int8/drop_high"] == 1.0


def test_the_three_answers() -> None:
    def answer(lost: int) -> str:
        return pool_folds(
            [fold("a", float32=[1] * 40, int8=[0] * lost + [1] * (40 - lost)), fold("b", float32=[1], int8=[1])]
        )[0].answer

    assert [answer(0), answer(4), answer(40)] == ["within", "cannot_tell", "beyond"]


@pytest.mark.parametrize(("images", "answer", "more"), [(4, "cannot_tell", 364), (368, "within", None)])
def test_a_budget_of_a_hundredth_is_proven_by_368_images_that_none_of_is_lost(images, answer, more) -> None:
    half = [1] * (images // 2)  # 0.99 ** 368 is 0.0248, 0.99 ** 367 is 0.0250 and a bit
    folds = [fold(name, max_drop=0.01, float32=half, int8=half) for name in "ab"]
    (int8, _) = pool_folds(folds)
    assert (int8.images, int8.drop, int8.answer, int8.more_images) == (images, 0, answer, more)


def test_best_is_what_each_fold_chose_and_only_shared_rungs_are_pooled() -> None:
    folds = [
        fold("a", best="qat", float32=[1, 1], int8=[0, 0], qat=[1, 1]),
        fold("b", best="int8", float32=[1, 1], int8=[1, 0]),
    ]
    int8, best = pool_folds(folds)
    assert (int8.rung, int8.value, best.rung, best.value) == ("int8", 0.25, "best", 0.75)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (fold("a", float32=[1], int8=[1]), "An image is val in two of these folds"),
        (fold("b", max_drop=0.2, float32=[1], int8=[1]), "These folds differ in budget"),
    ],
)
def test_what_are_no_folds_is_not_pooled(other: ValOutcomes, message: str) -> None:
    with pytest.raises(MiradaError, match=message):
        pool_folds([fold("a", float32=[1], int8=[1]), other])


def test_the_file_is_read_back_and_has_the_same_bytes_again(tmp_path: Path) -> None:
    seen = fold("é/", float32=[1, 0], int8=[1, 1])
    for name in ("one.npz", "two.npz"):
        write_val_outcomes(tmp_path / name, seen)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    again = read_val_outcomes(tmp_path / "one.npz")
    assert (again.images, again.best, again.max_drop) == (["é/0", "é/1"], "int8", 0.1)
    assert again.outcomes["int8"].value == 1.0 and again.outcomes["float32"].value == 0.5


def test_a_damaged_or_absent_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.npz").write_bytes(b"PK")
    with pytest.raises(MiradaError, match=r"cut.npz is corrupt .*: quantize again"):
        read_val_outcomes(tmp_path / "cut.npz")
    with pytest.raises(MiradaError, match=r"none.npz is missing: quantize again with a max_drop"):
        read_val_outcomes(tmp_path / "none.npz")


@pytest.mark.slow
def test_what_was_measured_is_what_is_kept(tmp_path: Path) -> None:
    dataset = write_singles(tmp_path / "data", "classification")
    write_variants(tmp_path, dataset)
    judge = Validation(make_card(dataset), dataset, tmp_path, tmp_path / "float32.tflite", 0, 0.01)
    rung = judge.measure(Candidate("int8", "calibration", "", (tmp_path / "int8.tflite").read_bytes()))
    seen = judge.seen("int8")
    assert seen.outcomes["float32"].value == judge.reference == 0.75  # of four truths the network is wrong on one
    assert seen.outcomes["int8"].value == rung.value
    assert seen.images == [f"classification {number}.png" for number in range(8, 16)]
