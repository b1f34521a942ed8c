"""The stage on one object an image: localization, and classification of grey images."""

import csv
import json
import re
from dataclasses import replace

import pytest

from mirada.config import EvaluateConfig, PublishedConfig, TrackingConfig
from mirada.data.records import load_dataset, save_dataset
from mirada.errors import MiradaError
from mirada.inference.card import load_card, save_card
from mirada.stages import evaluate
from tests.singles import write_singles, write_variants

COST = {
    "size_bytes", "size_gzip_bytes", "latency_ms_p50", "latency_ms_p95", "latency_ms_p50_all_threads",
    "latency_ms_p95_all_threads", "peak_memory_mb", "load_ms", "photograph_ms", "macs", "bytes_moved", "relative_time",
}  # fmt: skip
LABEL = {
    "accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "auc", "macro_f1", "log_loss", "ece", "drop",
    "drop_low", "drop_high",
}  # fmt: skip
BOX = {"loc_accuracy", "loc_accuracy_low", "loc_accuracy_high", "mean_iou", "iou_50", "box_mse_224"}


def make_config(folder, output_dir, **changes) -> EvaluateConfig:
    settings = {
        "tracking": TrackingConfig(enabled=False),
        "model_dir": str(folder / "model"),
        "variants_dir": str(folder / "model"),
        "data_dir": str(folder / "data"),
        "output_dir": str(output_dir),
        "bootstrap_samples": 20,
        "latency_runs": 2,
        "latency_warmup": 1,
        "pictures": 1,
        "runtimes": 0,
    }
    return EvaluateConfig(**(settings | changes))


@pytest.fixture(scope="module", params=["localization", "classification"])
def done(request, tmp_path_factory):
    """The stage, run once a task: the task's name, its folder, and the figures."""
    folder = tmp_path_factory.mktemp(request.param)
    write_variants(folder / "model", write_singles(folder / "data", request.param))
    rows = [PublishedConfig("before", {"accuracy": 0.132, "train_seconds": 720}, "an old report")]
    return request.param, folder, evaluate.run(make_config(folder, folder / "reports", published=rows))


def rows_of(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_figures_are_those_that_were_drawn(done):
    task, folder, figures = done
    assert list(figures) == ["float32", "int8", "qat"]
    assert json.loads((folder / "reports" / "metrics.json").read_text()) == figures
    for row in figures.values():
        assert row.keys() == COST | LABEL | (BOX if task == "localization" else set())
        assert row["accuracy"] == 0.75  # every fourth truth is spoilt
        if task == "localization":
            assert row["loc_accuracy"] == 0.625  # and of eight one box
            assert row["mean_iou"] == pytest.approx((7 + 0.4) / 8, abs=0.01)
            assert row["box_mse_224"] == pytest.approx((0.6 * 24 * 3.5) ** 2 / 4 / 8, rel=0.05)
        else:
            assert row["auc"] == 1  # the bright ones are the brightest all the same
            assert row["balanced_accuracy"] == pytest.approx((4 / 6 + 1) / 2)


def test_plots_confusion_and_pictures_are_the_tasks_own(done):
    task, folder, _ = done
    reports, name, x = (
        folder / "reports",
        *(("iou", "IoU") if task == "localization" else ("roc", "false positive rate")),
    )
    assert {path.name for path in (reports / "plots").iterdir()} == {
        f"{name}.csv",
        f"{name}.png",
        "tradeoff.csv",
        "tradeoff.png",
        "sizes.png",
        "memory.png",
        "confusion.csv",
        "reliability.png",
        "robustness.png",
    }
    curve = rows_of(reports / "plots" / f"{name}.csv")
    assert len(curve) == 101
    assert curve[0] == {x: "0.00", "float32": "1.000000", "int8": "1.000000", "qat": "1.000000"}
    confusion = rows_of(reports / "plots" / "confusion.csv")
    assert sum(row["actual"] == row["predicted"] for row in confusion) == 6
    assert len(confusion) == 8
    drawn = {path.name for path in (reports / "images").iterdir() if not path.name.startswith("saliency-")}
    assert drawn == {"best-1.jpg", "median-1.jpg", "worst-1.jpg"}


def test_the_page_tells_of_the_task_of_what_was_published_and_of_the_training(done):
    task, folder, _ = done
    page = re.sub(r"base64,[^\"]+", "", (folder / "reports" / "index.html").read_text())  # a picture may spell any word
    kept = "0.625 of 0.625 localization accuracy" if task == "localization" else "0.750 of 0.750 accuracy"
    assert f"int8 keeps {kept}" in page
    for text in (
        "Published figures beside ours",
        "an old report",
        "ours, qat",
        "3 epochs in 1.2 minutes",
        "after Wilson",
    ):
        assert text in page, text
    assert "mAP50" not in page
    assert "COCO" not in page
    assert "Training time" not in page  # no input was timed
    published = rows_of(folder / "reports" / "published.csv")
    assert [row["what"] for row in published] == ["before", "ours, float32", "ours, int8", "ours, qat"]
    assert [row["train_seconds"] for row in published] == ["720", "72.0", "", ""]


def test_nothing_published_leaves_no_trace_and_the_cards_threshold_decides(done, tmp_path, capsys):
    task, folder, _ = done
    card = load_card(folder / "model")
    save_card(replace(card, threshold=0.98), tmp_path / "model.json")  # between the logits of 170 and of 250
    (tmp_path / "published.csv").write_text("old")
    config = make_config(folder, tmp_path, model_dir=str(tmp_path), pictures=0)
    figures = evaluate.run(config)
    assert figures["float32"]["accuracy"] == (1 if task == "classification" else 0.75)
    assert not (tmp_path / "published.csv").exists()
    assert "Published figures" not in (tmp_path / "index.html").read_text()
    assert ("AUC" if task == "classification" else "mean IoU") in capsys.readouterr().out


def test_data_that_do_not_fit_the_model_are_refused_or_noted(done, tmp_path, capsys):
    _, folder, _ = done
    card = load_card(folder / "model")
    config = make_config(folder, tmp_path / "out", model_dir=str(tmp_path), pictures=0)
    save_card(replace(card, channels=4 - card.channels), tmp_path / "model.json")
    with pytest.raises(MiradaError, match=rf"takes {4 - card.channels}: preprocess with channels={4 - card.channels}"):
        evaluate.run(config)
    save_card(replace(card, enhance="equalize"), tmp_path / "model.json")
    evaluate.run(config)
    assert "note: The images were prepared with enhance=none" in capsys.readouterr().out
    dataset = load_dataset(folder / "data")
    (tmp_path / "data").mkdir()
    for shard in (folder / "data").glob("*.tfrecord"):
        (tmp_path / "data" / shard.name).write_bytes(shard.read_bytes())
    save_dataset(replace(dataset, folder=tmp_path / "data", task="detection"))
    with pytest.raises(MiradaError, match=f"is for detection, the model in .* for {card.task}"):
        evaluate.run(replace(config, data_dir=str(tmp_path / "data")))


def test_a_classifier_shows_what_it_looks_at(done):
    task, folder, _ = done
    page = (folder / "reports" / "index.html").read_text()
    assert "What it looks at" in page
    assert "Which objects are missed" not in page
    drawn = sorted(path.name for path in (folder / "reports" / "images").glob("saliency-*.jpg"))
    assert drawn == [f"saliency-{n}.jpg" for n in (1, 2, 3, 4)]
    found = json.loads((folder / "reports" / "weaknesses.json").read_text())
    recalls = {label: row["recall"] for label, row in found["float32"]["class"].items()}
    if task == "classification":
        assert recalls == pytest.approx({"dim": 4 / 6, "bright": 1})
