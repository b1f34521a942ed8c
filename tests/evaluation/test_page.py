import pytest

from mirada.evaluation.page import key_sentence
from mirada.evaluation.pareto import variant_to_show
from mirada.tasks import get_task

DETECTION = get_task("detection")


def row(map50: float, size: int, time: float, drop: tuple[float, float, float] = (0, 0, 0)) -> dict[str, float]:
    names = ("drop", "drop_low", "drop_high")
    return {"map50": map50, "size_bytes": size, "latency_ms_p50": time} | dict(zip(names, drop, strict=True))


def test_the_key_sentence_says_what_is_kept():
    figures = {"float32": row(0.7, 1000, 10), "int8": row(0.69, 300, 5.5, (0.01, -0.002, 0.0216))}
    assert key_sentence(figures, 40, DETECTION) == (
        "int8 keeps 0.690 of 0.700 mAP50 at 0.30 × the size and 0.55 × the time. "
        "The drop is +0.010, with a 95 % interval from −0.002 to +0.022 over 40 photographs."
    )


def test_a_gain_is_not_called_keeping():
    figures = {"float32": row(0.7, 1000, 10), "int8": row(0.71, 300, 5, (-0.01, -0.02, 0.0001))}
    sentence = key_sentence(figures, 40, DETECTION)
    assert sentence.startswith("int8 reaches 0.710 mAP50, float32 0.700, at 0.30 × the size")
    assert sentence.endswith("The drop is −0.010, with a 95 % interval from −0.020 to 0.000 over 40 photographs.")


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["float32"], None), (["float32", "int8", "dynamic"], "int8"), (["float32", "float16", "dynamic"], "dynamic")],
)
def test_the_page_is_about_int8_or_else_the_smallest(names, expected):
    figures = {name: row(0.5, 1000 - 100 * i, 1) for i, name in enumerate(names)}
    assert variant_to_show(figures, "map50") == expected


def test_float32_alone_has_a_sentence_too():
    assert (
        key_sentence({"float32": row(0.7, 2_000_000, 10)}, 4, DETECTION) == "float32 reaches 0.700 mAP50 with 2.0 MB."
    )


@pytest.mark.parametrize(("qat", "expected"), [(0.69, "qat"), (0.67, "int8"), (0.68, "int8")])
def test_of_int8_and_qat_the_page_is_about_the_better(qat, expected):
    figures = {"float32": row(0.7, 9, 1), "int8": row(0.68, 3, 1), "qat": row(qat, 3, 1)}
    assert variant_to_show(figures, "map50") == expected


def test_the_sentence_names_the_tasks_own_metric():
    figures = {"float32": {"accuracy": 0.9, "size_bytes": 2_000_000, "latency_ms_p50": 1}}
    sentence = key_sentence(figures, 4, get_task("classification"))
    assert sentence == "float32 reaches 0.900 accuracy with 2.0 MB."
