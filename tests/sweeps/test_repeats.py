import pytest

from mirada.errors import MiradaError
from mirada.sweeps.repeats import spell_repeats


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["folds=2"], ["-m", "data.split.kfold=2", "data.split.fold=0,1"]),
        (["-m", "seeds=3", "epochs=1,2"], ["-m", "train.seed=0,1,2", "epochs=1,2"]),
        (["folds=2", "seeds=2"], ["-m", "data.split.kfold=2", "data.split.fold=0,1", "train.seed=0,1"]),
        (["data=voc", "hydra.mode=MULTIRUN", "folds=2"],
         ["data=voc", "hydra.mode=MULTIRUN", "data.split.kfold=2", "data.split.fold=0,1"]),
        (["data=voc", "train.epochs=3"], ["data=voc", "train.epochs=3"]),
    ],
)  # fmt: skip
def test_folds_and_seeds_are_a_sweep(typed: list[str], meant: list[str]) -> None:
    assert spell_repeats(typed) == meant


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["folds=1"], "folds must be a number from 2 to 100, got 1."),
        (["seeds=three"], "seeds must be a number from 1 to 100, got three."),
        (["folds="], "folds must be a number from 2 to 100, got nothing."),
        (["folds=3", "data.split.fold=1"], "folds already says which data.split.fold are run: leave out one"),
        (["seeds=3", "train.seed=1"], "seeds already says which train.seed are run"),
        (["seeds=3", "seeds=2"], "seeds is named twice"),
        (["-m", "folds=3", "hydra/sweeper=optuna"], "A search chooses its jobs by itself: leave out folds"),
    ],
)
def test_what_makes_no_sense_is_refused(typed: list[str], message: str) -> None:
    with pytest.raises(MiradaError) as refused:
        spell_repeats(typed)
    assert message in str(refused.value)
