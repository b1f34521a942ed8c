import pytest

from mirada.config import PublishedConfig
from mirada.errors import MiradaError
from mirada.evaluation.records.published import check_published, compare_published, published_table
from mirada.evaluation.records.training import read_training
from mirada.tasks import get_task

TIMING = """input,epoch,seconds,images_per_s,wait_share,cpu_percent,peak_memory_mb,gpu_percent,gpu_memory_mb
naive,1,50,14,0.31,101,900,,
naive,2,30,23,0.3,102,901,,
pipelined,1,28,25,0.05,160,1200,,
pipelined,2,20,35,0.012,170,1210,,
pipelined,3,24,35,0.01,165,1205,,
"""
PUBLISHED = [
    PublishedConfig("theirs", {"accuracy": 0.132, "box_mse_224": 1816, "epoch_seconds": 53.7}, "a report"),
    PublishedConfig("theirs, slow", {"peak_memory_mb": 1800}, "a report"),
]


@pytest.fixture
def record(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,seconds,train_accuracy\n1,60,0.5\n2,20,0.75\n3,24,0.875\n")
    (tmp_path / "input_timing.csv").write_text(TIMING)
    (tmp_path / "input_timeline.png").write_bytes(b"png")
    return read_training(tmp_path)


def test_the_figures_of_a_training(record):
    assert record.timeline == b"png"
    assert record.figures == {
        "epoch": 3,
        "seconds": 24,
        "train_accuracy": 0.875,
        "epochs": 3,
        "train_seconds": 104,
        "epoch_seconds": 22,  # without the first
        "cpu_percent": 165,
        "peak_memory_mb": 1210,
    }
    assert record.input_figures["naive"] == {"epoch_seconds": 30, "cpu_percent": 101.5, "peak_memory_mb": 901}


def test_two_kinds_of_input_are_compared_and_empty_columns_left_out(record):
    assert record.timing_sentence().startswith(
        "An epoch takes 30.0 s with the naive input and 22.0 s with the pipelined one: 1.36 × as long"
    )
    table = record.timing_table()
    assert table.head == ["input", "epoch", "seconds", "images/s", "waiting for input", "CPU %", "peak memory MiB"]
    assert table.rows[3] == ["pipelined", "2", "20.0", "35.0", "1.2%", "170", "1210"]


def test_a_training_that_left_nothing_has_no_figures(tmp_path):
    record = read_training(tmp_path)
    assert (record.figures, record.timing_table(), record.timing_sentence()) == ({}, None, "")


def test_a_timing_without_input_is_refused(tmp_path):
    (tmp_path / "input_timing.csv").write_text("epoch,seconds\n1,50\n")
    with pytest.raises(MiradaError, match=r"input_timing\.csv has a row without an input: run the train stage again"):
        read_training(tmp_path)


def test_published_rows_stand_beside_ours(record):
    figures = {
        name: {"loc_accuracy": 0.1, "accuracy": accuracy, "box_mse_224": 1500.4, "peak_memory_mb": 38}
        for name, accuracy in (("float32", 0.2), ("float16", 0.2), ("int8", 0.19))
    }
    keys, rows = compare_published(PUBLISHED, figures, record, "loc_accuracy")
    assert keys == [
        "accuracy", "box_mse_224", "epoch_seconds", "peak_memory_mb", "loc_accuracy", "train_seconds",
    ]  # fmt: skip
    table = published_table(keys, rows, get_task("localization"))
    assert table.head[1:4] == ["accuracy", "box MSE, 224 px", "epoch seconds"]
    assert table.rows == [
        ["theirs", "0.132", "1816", "53.7", "–", "–", "–"],
        ["theirs, slow", "–", "–", "–", "1800", "–", "–"],
        ["ours, float32", "0.200", "1500", "22", "1210", "0.100", "104"],  # of the training, not of an inference
        ["ours, int8", "0.190", "1500", "–", "–", "0.100", "–"],
        ["ours, naive input", "–", "–", "30", "901", "–", "–"],
        ["ours, pipelined input", "–", "–", "22", "1210", "–", "–"],
    ]


def test_a_published_share_in_percent_is_refused():
    check_published(PUBLISHED)
    with pytest.raises(MiradaError, match="accuracy of 'SVM' must be a share between 0 and 1, got 82.4"):
        check_published([PublishedConfig("SVM", {"accuracy": 82.4})])
