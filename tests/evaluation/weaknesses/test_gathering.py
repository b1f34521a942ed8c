from mirada.evaluation.weaknesses.gathering import Weaknesses, flatten_figures


def test_figures_become_flat_names_that_mlflow_takes() -> None:
    nested = {"int8": {"class": {"Tree (old), 50%": {"ap50": 0.5}}, "side": {"≥ 512": {"objects": 3}}, "empty": {}}}
    assert flatten_figures(nested) == {
        "int8/class/Tree _old__ 50_/ap50": 0.5,
        "int8/side/_ 512/objects": 3.0,
    }


def test_nothing_known_is_nothing_told() -> None:
    assert Weaknesses().figures() == {}
    assert Weaknesses().plots("mAP50") == {}
    assert set(Weaknesses().tables().values()) == {None}
