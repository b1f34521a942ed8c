import csv
import gzip
import json
import re
import shutil
from dataclasses import replace
from importlib.metadata import version

import pytest

from mirada.config import EvaluateConfig, TrackingConfig
from mirada.data.records import load_dataset, save_dataset
from mirada.errors import MiradaError
from mirada.evaluation import report
from mirada.evaluation.pictures import choose_pictures
from mirada.inference.card import load_card, save_card
from mirada.stages import evaluate

FIGURES = {
    "map50", "map50_95", "precision", "recall", "f1", "drop", "drop_low", "drop_high", "size_bytes", "size_gzip_bytes",
    "latency_ms_p50", "latency_ms_p95", "latency_ms_p50_all_threads", "latency_ms_p95_all_threads", "peak_memory_mb",
    "load_ms", "photograph_ms", "macs", "bytes_moved", "relative_time", "ar", "ap_small",
}  # fmt: skip


def make_config(squares_folder, output_dir, **changes) -> EvaluateConfig:
    model = str(squares_folder / "model")
    settings = {
        "tracking": TrackingConfig(enabled=False),
        "model_dir": model,
        "variants_dir": model,
        "data_dir": str(squares_folder / "data"),
        "output_dir": str(output_dir),
        "bootstrap_samples": 50,
        "latency_runs": 12,
        "latency_warmup": 1,
        "pictures": 1,
        "runtimes": 0,
    }
    return EvaluateConfig(**(settings | changes))


@pytest.fixture
def copy(squares_folder, tmp_path):
    """A copy of data and model that a test may damage."""
    return shutil.copytree(squares_folder, tmp_path / "copy")


@pytest.fixture(scope="module")
def done(squares_folder, tmp_path_factory):
    """The stage, run once: its result and its folder."""
    folder = tmp_path_factory.mktemp("evaluate") / "reports"
    return evaluate.run(make_config(squares_folder, folder)), folder


def rows_of(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_detector_that_finds_everything_scores_one(done):
    figures, _ = done
    assert list(figures) == ["float32", "int8"]
    for row in figures.values():
        assert row.keys() == FIGURES
        assert row["map50"] == pytest.approx(1)
        assert (row["precision"], row["recall"], row["f1"]) == (1, 1, 1)
        assert 0 < row["latency_ms_p50"] <= row["latency_ms_p95"]
    assert figures["int8"]["drop"] == pytest.approx(0)


def test_metrics_json_and_variants_csv_hold_the_result(done, squares_folder):
    figures, folder = done
    assert json.loads((folder / "metrics.json").read_text()) == figures
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["int8"]) == ["map50", "drop", "size_bytes", "latency_ms_p50"]
    assert summary["float32"] == {key: figures["float32"][key] for key in ("map50", "size_bytes", "latency_ms_p50")}
    rows = rows_of(folder / "variants.csv")
    assert [row["variant"] for row in rows] == ["float32", "int8"]
    assert int(rows[1]["size_bytes"]) == (squares_folder / "model" / "int8.tflite").stat().st_size
    assert not (folder / ".part").exists()


def test_a_file_is_measured_after_gzip_too(done, squares_folder, tmp_path):
    figures, folder = done
    for name, row in figures.items():
        packed = gzip.compress((squares_folder / "model" / f"{name}.tflite").read_bytes(), 6)
        assert row["size_gzip_bytes"] == len(packed) < row["size_bytes"]
    assert "gzip MB" in (folder / "index.html").read_text()
    limits = {"max_size_gzip_bytes": figures["int8"]["size_gzip_bytes"] - 1}
    with pytest.raises(MiradaError, match=r"^int8: size_gzip_bytes is \d+, above the limit max_size_gzip_bytes=\d+\.$"):
        evaluate.run(make_config(squares_folder, tmp_path, limits=limits, pictures=0))


def test_the_page_says_beside_the_figures_what_they_come_from(done, squares_folder):
    page = (done[1] / "index.html").read_text()
    start = page.index("Cost of every variant")
    beside = page[start : page.index("<h2>", start + 1)]
    digest = load_dataset(squares_folder / "data").digest
    for text in (
        "MLflow run: none, tracking was off",
        f"squares, digest {digest}",
        f"LiteRT: {version('ai-edge-litert')}",
    ):
        assert text in beside
    assert re.search(r"Code of this page: [0-9a-f]{12}( with uncommitted changes)?;", beside)
    assert re.search(r"CPU: .+, \d+ threads, ", beside)


def test_plots_are_what_dvc_draws(done, squares_folder):
    _, folder = done
    curve = rows_of(folder / "plots" / "pr.csv")
    assert len(curve) == 101
    assert curve[0] == {"recall": "0.00", "float32": "1.000000", "int8": "1.000000"}
    truths = list(load_dataset(squares_folder / "data").examples("test"))
    wanted = sum(int((~truth.ignore).sum()) for truth in truths)
    confusion = rows_of(folder / "plots" / "confusion.csv")
    assert len(confusion) == wanted
    assert all(row["actual"] == row["predicted"] for row in confusion)


def test_the_page_is_whole_and_needs_nothing_else(done):
    _, folder = done
    page = (folder / "index.html").read_text()
    assert "<title>squares: what int8 costs</title>" in page
    assert re.search(r"int8 keeps 1\.000 of 1\.000 mAP50 at \d\.\d\d × the size", page)
    assert set(re.findall(r'(?:src|srcset|href)="([^"]{5})', page)) == {"data:"}
    for text in ("red", "blue", "the median", "paired bootstrap", "COCO evaluator", "none, tracking was off"):
        assert text in page.replace("The median", "the median"), text
    assert len(page) < 8e6


def test_pictures_are_drawn(done):
    _, folder = done
    assert {path.name for path in (folder / "images").iterdir()} == {"best-1.jpg", "median-1.jpg", "worst-1.jpg"}


def test_the_table_names_the_page(squares_folder, tmp_path, capsys):
    evaluate.run(make_config(squares_folder, tmp_path / "out", split="val", bootstrap_samples=0, pictures=0))
    printed = capsys.readouterr().out
    assert "1.000" in printed
    assert f"page: {tmp_path / 'out' / 'index.html'}" in printed
    assert "note:" not in printed


def test_old_results_go_and_foreign_files_stay(squares_folder, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "best-9.jpg").write_text("old")
    (tmp_path / "run.log").write_text("mine")
    evaluate.run(make_config(squares_folder, tmp_path, pictures=0))
    assert not (tmp_path / "images" / "best-9.jpg").exists()
    assert (tmp_path / "run.log").read_text() == "mine"


def test_other_data_with_the_same_classes_is_noted(copy, tmp_path, capsys):
    save_card(replace(load_card(copy / "model"), data_digest="f" * 64), copy / "model" / "model.json")
    evaluate.run(make_config(copy, tmp_path / "out", pictures=0))
    assert "note: The model was trained on other data (squares, digest ffffffffffff)." in capsys.readouterr().out
    assert "The model was trained on other data" in (tmp_path / "out" / "index.html").read_text()


def test_other_classes_are_refused(copy, tmp_path):
    save_dataset(replace(load_dataset(copy / "data"), classes=["red", "green"]))
    with pytest.raises(MiradaError, match="has the classes red, green, .* was trained for red, blue"):
        evaluate.run(make_config(copy, tmp_path / "out"))


def test_another_input_size_is_refused(copy, tmp_path):
    save_dataset(replace(load_dataset(copy / "data"), input_size=96))
    with pytest.raises(MiradaError, match="has images of 96 pixels, .* takes 64: preprocess with input_size=64"):
        evaluate.run(make_config(copy, tmp_path / "out"))


def test_an_empty_split_is_refused(copy, tmp_path):
    dataset = load_dataset(copy / "data")
    dataset.splits["test"] = {"images": 0, "boxes": 0, "per_class": {}, "shards": []}
    save_dataset(dataset)
    with pytest.raises(MiradaError, match="The split test of .* has no image"):
        evaluate.run(make_config(copy, tmp_path / "out"))


def test_a_missing_stage_is_named(copy, tmp_path):
    (copy / "model" / "variants.json").unlink()
    with pytest.raises(MiradaError, match=r"variants\.json is missing: run the quantize stage first"):
        evaluate.run(make_config(copy, tmp_path / "out"))
    (copy / "model" / "model.json").unlink()
    with pytest.raises(MiradaError, match=r"model\.json is missing: run the train stage first"):
        evaluate.run(make_config(copy, tmp_path / "out"))


def test_a_damaged_variant_is_named_before_anything_is_written(copy, tmp_path):
    path = copy / "model" / "int8.tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(MiradaError, match=r"int8\.tflite is corrupt, its sha256 differs"):
        evaluate.run(make_config(copy, tmp_path / "out"))
    path.unlink()
    with pytest.raises(MiradaError, match=r"int8\.tflite is missing: run the quantize stage again"):
        evaluate.run(make_config(copy, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_damaged_list_of_variants_is_named(copy, tmp_path):
    (copy / "model" / "variants.json").write_text('{"variants": [{"name": "int8"}]}')
    with pytest.raises(MiradaError, match=r"variants\.json is corrupt"):
        evaluate.run(make_config(copy, tmp_path / "out"))


def test_a_failure_while_writing_leaves_the_old_report(squares_folder, tmp_path, monkeypatch):
    (tmp_path / "metrics.json").write_text("old")

    def fail(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(report, "render_page", fail)
    with pytest.raises(OSError, match="disk full"):
        evaluate.run(make_config(squares_folder, tmp_path, pictures=0))
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_pictures_are_chosen_by_quality_and_never_twice():
    qualities = [None, (1.0, 1), (0.0, 1), (0.67, 2), (1.0, 2), (1.0, 1)]
    assert choose_pictures(qualities, 1) == {"best": [4], "median": [1], "worst": [2]}
    chosen = choose_pictures(qualities, 10)
    assert sorted(i for group in chosen.values() for i in group) == [1, 2, 3, 4, 5]


def test_a_breach_is_told_after_everything_is_written(squares_folder, tmp_path):
    limits = {"max_size_bytes": 10, "min_map50": 0.5, "min_f1": 1.01}
    with pytest.raises(MiradaError, match=r"^int8: size_bytes is \d+, above .*=10\. int8: f1 is 1, below .*=1\.01\.$"):
        evaluate.run(make_config(squares_folder, tmp_path / "r", limits=limits))
    assert json.loads((tmp_path / "r" / "metrics.json").read_text())["int8"]["map50"] == pytest.approx(1)
    assert evaluate.run(make_config(squares_folder, tmp_path / "r", limits={"min_map50": 0.99}, judged="float32"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"limits": {"max_mapp": 1.0}}, "limits.max_mapp names no figure"),
        ({"limits": {"map50": 1.0}}, "limits.map50 names no figure: write max_ or min_ before one of map50"),
        ({"judged": "int4"}, "judged=int4 is not among the variants float32, int8"),
    ],
)
def test_a_mistaken_limit_is_refused_before_the_work(squares_folder, tmp_path, changes, sentence, monkeypatch):
    monkeypatch.setattr(evaluate, "measure_accuracy", lambda *_: pytest.fail("the work began"))
    with pytest.raises(MiradaError, match=sentence):
        evaluate.run(make_config(squares_folder, tmp_path / "r", **changes))


@pytest.mark.slow
def test_a_model_within_its_limits_is_registered(squares_folder, copy, tmp_path, capsys):
    import mlflow

    tracking = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlruns/mlflow.db", experiment="test")
    settings = {"tracking": tracking, "register": "squares", "limits": {"min_map50": 0.9}}
    with pytest.raises(MiradaError, match="its training was not tracked"):
        evaluate.run(make_config(squares_folder, tmp_path / "r", **settings))
    save_card(replace(load_card(copy / "model"), run_id="of another store"), copy / "model" / "model.json")
    squares_folder = copy
    evaluate.run(make_config(squares_folder, tmp_path / "r", **settings))
    assert "registry: squares, version 1; it is the first and becomes champion." in capsys.readouterr().out
    client = mlflow.MlflowClient(tracking.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("test").experiment_id])
    tags = run.data.tags
    assert tags["evaluate_digest"] == load_dataset(squares_folder / "data").digest and tags["cpu"]
    assert tags["litert"] == version("ai-edge-litert") and int(tags["threads"]) >= 1
    assert run.data.metrics["int8/size_gzip_bytes"] < run.data.metrics["int8/size_bytes"]
    champion = client.get_model_version_by_alias("squares", "champion")
    assert (str(champion.version), champion.tags["variant"]) == ("1", "int8")
    with pytest.raises(MiradaError, match="size_bytes"):
        evaluate.run(make_config(squares_folder, tmp_path / "r", **(settings | {"limits": {"max_size_bytes": 1}})))
    assert len(client.search_model_versions("name='squares'")) == 1


def test_where_it_fails_is_written_and_shown(done):
    _, folder = done
    found = json.loads((folder / "weaknesses.json").read_text())
    assert found.keys() == {"float32", "int8"}
    for row in found.values():
        assert {label: figures["ap50"] for label, figures in row["class"].items()} == pytest.approx(
            {"red": 1, "blue": 1}
        )
        assert row["side"] == {
            "24–32": pytest.approx({"recall": 1, "objects": row["side"]["24–32"]["objects"], "ap50": 1})
        }
        assert row["overlap"]["none"]["recall"] == 1 and "occlusion" not in row
        assert row["corruption"]["clean"] == pytest.approx(1)
        assert row["corruption"]["contrast strong"] < 0.5  # objectness falls far below what it says clean
        assert row["corruption"]["mean_drop"] > 0
        assert 0 < row["calibration"]["ece"] < 0.5
    assert "mean_extra_low" in found["int8"]["corruption"]
    page = (folder / "index.html").read_text()
    assert "The data annotate fewer than 10 objects here as truncated or as occluded, so that the overlap" in page
    for text in ("Which objects are missed", "In bad weather", "How far its certainty can be trusted"):
        assert text in page
    assert "What it looks at" not in page
    assert {"side.png", "overlap.png", "robustness.png", "reliability.png"} <= {
        path.name for path in (folder / "plots").iterdir()
    }


def test_corruptions_can_be_left_out(squares_folder, tmp_path):
    evaluate.run(make_config(squares_folder, tmp_path, corruptions=0, pictures=0))
    assert "corruption" not in json.loads((tmp_path / "weaknesses.json").read_text())["int8"]
    assert "In bad weather" not in (tmp_path / "index.html").read_text()


def test_other_kernels_are_on_the_page_with_what_they_find(squares_folder, tmp_path):
    evaluate.run(make_config(squares_folder, tmp_path, corruptions=0, pictures=0, runtimes=4))
    page = (tmp_path / "index.html").read_text()
    section = page.partition("The same file, other kernels")[2].partition("<h2>")[0]
    assert "4 inputs of the network, shown to int8" in section
    for title in ("LiteRT, reference kernels", "LiteRT with XNNPACK", "TensorFlow Lite Micro"):
        assert title in section
