import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirada.config import DeviceConfig, ExportConfig
from mirada.errors import MiradaError
from mirada.export.bundle.content import BundleContent
from mirada.export.bundle.script import describe
from mirada.inference.card import load_card, save_card
from mirada.inference.engine import Engine
from mirada.inference.prediction import Decoding
from mirada.inference.tiling import Viewing
from mirada.stages import export
from tests.singles import write_singles
from tests.singles import write_variants as write_single_variants
from tests.squares import COLOURS, SQUARE

BOARD = DeviceConfig(
    name="board", title="Board", runtime="tflm", operators="tflm", ram_bytes=1 << 20, flash_bytes=1 << 20,
    sources={"ram_bytes": "Data sheet 7, Memory"},
)  # fmt: skip
DESKTOP = DeviceConfig(name="desktop", title="Desktop", time_known="measured")
FILES = {"README.md", "SHA256SUMS", "bundle.json", "golden", "labels.txt", "model.json", "model.tflite", "run.py"}
FILES |= {"proof.json", "proof.md"}


def make_config(folder: Path, out: Path, **changes) -> ExportConfig:
    model = str(folder / "model")
    settings = {"device": DESKTOP, "model_dir": model, "variants_dir": model, "data_dir": str(folder / "data")}
    return ExportConfig(**(settings | {"reports_dir": None, "variant": "int8", "output_dir": str(out)} | changes))


def run_script(bundle: Path, *arguments: str, expect: int = 0) -> dict:
    """`run.py` in a process that can't import Mirada."""
    command = [sys.executable, "-I", "-B", str(bundle / "run.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=bundle, timeout=120)
    assert done.returncode == expect, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def bundle(squares_folder, tmp_path_factory) -> Path:
    """Of the detector of squares as it is."""
    out = tmp_path_factory.mktemp("bundle") / "out"
    export.run(make_config(squares_folder, out))
    return out


@pytest.fixture(scope="module")
def tiled(squares_folder, tmp_path_factory) -> Path:
    """Data and the same model, as if it had been trained on tiles of 32 pixels, of which nothing is sure enough."""
    folder = tmp_path_factory.mktemp("tiled")
    (folder / "data").symlink_to(squares_folder / "data")
    (folder / "model").mkdir()
    for path in (squares_folder / "model").iterdir():
        if path.name != "model.json":
            (folder / "model" / path.name).symlink_to(path)
    save_card(
        replace(load_card(squares_folder / "model"), tile_size=32, min_score=0.999), folder / "model" / "model.json"
    )
    return folder


def test_a_bundle_holds_what_its_readme_lists(bundle: Path) -> None:
    assert {path.name for path in bundle.iterdir()} == FILES
    readme = (bundle / "README.md").read_text()
    assert all(f"`{name}`" in readme or f"`{name}/`" in readme for name in FILES - {"README.md"})
    assert "|  |" not in readme.partition("## Files")[2], "every file is told"
    assert (bundle / "labels.txt").read_text() == "red\nblue\n"
    assert len(list((bundle / "golden").glob("*.png"))) == 10
    listed = [line.partition("  ")[2] for line in (bundle / "SHA256SUMS").read_text().splitlines()]
    there = [path.relative_to(bundle).as_posix() for path in sorted(bundle.rglob("*")) if path.is_file()]
    assert listed == [name for name in there if name != "SHA256SUMS"]


def test_the_same_export_gives_the_same_bytes(squares_folder, bundle: Path, tmp_path: Path) -> None:
    export.run(make_config(squares_folder, tmp_path / "again"))
    assert (tmp_path / "again" / "SHA256SUMS").read_bytes() == (bundle / "SHA256SUMS").read_bytes()


def test_a_selftest_passes_to_the_last_bit_and_leaves_the_bundle_as_it_is(bundle: Path) -> None:
    report = run_script(bundle, "selftest", "--reference", "3")
    assert (report["passed"], report["exact"], report["faults"]) == (True, True, [])
    assert (report["pictures"], report["inputs_equal"], report["objects_equal"]) == (10, 10, 10)
    assert report["reference_equal"] == [True] * 3
    assert {path.name for path in bundle.iterdir()} == FILES


def test_golden_vectors_are_the_engine_s(squares_folder, bundle: Path) -> None:
    card = load_card(bundle)
    engine = Engine(squares_folder / "model" / "int8.tflite", card, decoding=Decoding(score_floor=0.25))
    expected = json.loads((bundle / "golden" / "expected.json").read_text())
    assert sum(len(entry["found"]["objects"]) for entry in expected) > 5
    for entry in expected:
        picture = bundle / "golden" / entry["picture"]
        assert describe(engine.predict(picture), card) == entry["found"]
        tensors = np.load(bundle / "golden" / entry["tensors"])
        assert np.array_equal(tensors["input"], np.asarray(Image.open(picture))[None])
        assert tensors["output/classes_8"].dtype == tensors["reference/classes_8"].dtype == np.int8


@pytest.mark.parametrize("io", ["uint8", "int8", "float32"])
def test_tiles_and_photographs_of_any_size_are_found_as_mirada_finds_them(tiled: Path, tmp_path: Path, io: str) -> None:
    export.run(make_config(tiled, tmp_path / "out", io=io))
    image = np.zeros((150, 210, 3), np.uint8)
    for number, (x, y) in enumerate(((4, 4), (60, 30), (150, 100), (101, 62))):
        image[y : y + SQUARE // 2, x : x + SQUARE // 2] = COLOURS[number % 2]
    photographs = [tmp_path / "a.png", tmp_path / "b.jpg"]
    for path in photographs:
        Image.fromarray(image).save(path)
    engine = Engine(tiled / "model" / "int8.tflite", load_card(tiled / "model"), decoding=Decoding(score_floor=0.1))
    for view, tiles in (("auto", 13 * 9), ("whole", 0)):
        told = run_script(tmp_path / "out", "predict", "--min-score", "0.1", "--view", view, *map(str, photographs))
        for path in photographs:
            wanted = describe(engine.predict(path, viewing=Viewing(view)), engine.card)
            assert {key: told[str(path)][key] for key in wanted} == wanted
            assert wanted["tiles"] == tiles
            assert view == "whole" or len(wanted["objects"]) >= 4
    expected = json.loads((tmp_path / "out" / "golden" / "expected.json").read_text())
    assert [entry["view"] for entry in expected] == ["whole"] * 10 + ["auto"]
    assert expected[-1]["found"]["tiles"] == 9
    scores = [row["score"] for entry in expected for row in entry["found"]["objects"]]
    assert scores and max(scores) < 0.999, "golden objects begin with 0.25, whatever the card says"


def test_a_file_that_answers_by_itself_lies_beside_and_is_proven(squares_folder, tmp_path: Path) -> None:
    export.run(make_config(squares_folder, tmp_path / "out", postprocess="graph"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"postprocessed.tflite"}
    rows = {row["name"]: row for row in json.loads((tmp_path / "out" / "proof.json").read_text())["rows"]}
    for name in ("litert_reference_in_graph", "litert_xnnpack_in_graph"):
        assert (rows[name]["images"], rows[name]["equal_objects"], rows[name]["absent"]) == (10, 10, "")
    assert rows["mediapipe"]["absent"] == "" or "is not set up" in rows["mediapipe"]["absent"]
    assert "gives boxes (top, left, bottom, right" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["localization", "classification"])
def test_the_other_tasks_test_themselves_too(tmp_path: Path, task: str) -> None:
    write_single_variants(tmp_path / "model", write_singles(tmp_path / "data", task))
    for variant, io in (("int8", "float32"), ("int8", None), ("float32", None)):
        out = tmp_path / f"{variant} {io}"
        inside = "graph" if task == "classification" else None
        export.run(make_config(tmp_path, out, variant=variant, io=io, postprocess=inside))
        told = run_script(out, "predict", "golden/01.png")["golden/01.png"]
        assert {"label", "probability", "probabilities"} <= told.keys()
        assert ("box" in told) == (task == "localization")


def test_a_benchmark_says_what_it_timed_and_where(bundle: Path) -> None:
    report = run_script(bundle, "benchmark", "--runs", "20", "--warmup", "2", "--threads", "2")
    assert (report["runs"], report["warmup"], report["threads"]) == (20, 2, 2)
    times = report["latency_ms"]
    assert 0 < times["least"] <= times["p50"] <= times["p95"]
    assert {"ai-edge-litert", "numpy", "pillow", "python", "cores"} <= report["machine"].keys()
    assert report["before"].keys() == report["after"].keys() == {"temperature_c", "clock_mhz"}


def copy(bundle: Path, to: Path) -> Path:
    for path in bundle.rglob("*"):
        if path.is_file():
            (to / path.relative_to(bundle)).parent.mkdir(parents=True, exist_ok=True)
            (to / path.relative_to(bundle)).write_bytes(path.read_bytes())
    return to


def test_a_damaged_bundle_says_so(bundle: Path, tmp_path: Path) -> None:
    broken = copy(bundle, tmp_path / "broken")
    content = bytearray((broken / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (broken / "model.tflite").write_bytes(content)
    report = run_script(broken, "selftest", expect=1)
    assert (report["passed"], report["faults"]) == (False, ["model.tflite is damaged: copy the bundle again."])


def test_another_answer_is_told_picture_by_picture(bundle: Path, tmp_path: Path) -> None:
    broken = copy(bundle, tmp_path / "broken")
    told = json.loads((broken / "golden" / "expected.json").read_text())
    number = next(i for i, entry in enumerate(told) if entry["found"]["objects"])
    told[number]["found"]["objects"][0]["label"] = "green"
    (broken / "golden" / "expected.json").write_text(json.dumps(told))
    (broken / "SHA256SUMS").write_text("")
    report = run_script(broken, "selftest", expect=1)
    assert report["faults"] == [f"{told[number]['picture']}: other objects were found."]


def test_figures_go_into_the_readme_with_their_interval(squares_folder, tmp_path: Path) -> None:
    size = (squares_folder / "model" / "int8.tflite").stat().st_size
    figures = {"map50": 0.875, "drop": 0.01, "drop_low": -0.002, "drop_high": 0.025, "size_bytes": size}
    (tmp_path / "metrics.json").write_text(json.dumps({"int8": figures}))
    export.run(make_config(squares_folder, tmp_path / "out", reports_dir=str(tmp_path), device=BOARD))
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "| mAP50 | 0.875 |" in readme
    assert "| drop | +0.010 (−0.002 to +0.025) |" in readme
    assert "| RAM | 1,048,576 bytes | Data sheet 7, Memory |" in readme
    assert "is not known: nobody has timed it" in readme
    assert json.loads((tmp_path / "out" / "bundle.json").read_text())["figures"] == figures


def test_parts_write_beside_and_are_under_the_digests(squares_folder, tmp_path: Path, monkeypatch) -> None:
    def write_more(content: BundleContent, folder: Path) -> list[Path]:
        assert (folder / "model.tflite").read_bytes() == content.model
        assert (content.variant, content.device.name, len(content.golden)) == ("int8", "board", 4)
        (folder / "more.c").write_text("int more;")
        content.notes.append("There is more.")
        return [folder / "more.c"]

    monkeypatch.setattr(export, "PARTS", (write_more,))
    export.run(make_config(squares_folder, tmp_path / "out", device=BOARD, golden=4))
    assert "  more.c\n" in (tmp_path / "out" / "SHA256SUMS").read_text()
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "There is more." in readme and "`more.c`" in readme


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"variant": "qat"}, "variant=qat is not among float32, int8: choose one of them"),
        (
            {"variant": "float32", "io": "int8"},
            "io=int8 is for variants that are int8 from end to end, and float32 is not",
        ),
        ({"device": replace(BOARD, flash_bytes=5000)}, r"int8.tflite has [\d,]+ bytes, and Board 5,000 of flash"),
        ({"device": replace(BOARD, ram_bytes=5000)}, r"int8.tflite needs [\d,]+ bytes of RAM .* Board has 5,000"),
        ({"device": replace(BOARD, operators="edgetpu", runtime="edgetpu"), "variant": "float32"}, "computes in float"),
        ({"targets": ["saved_model"]}, "model.keras is missing, of which targets=.saved_model. is made"),
        ({"reports_dir": "nowhere"}, "nowhere/metrics.json is missing: run the evaluate stage first"),
    ],
)
def test_a_mistake_is_a_sentence_and_nothing_is_written(squares_folder, tmp_path: Path, changes, sentence) -> None:
    with pytest.raises(MiradaError, match=sentence):
        export.run(make_config(squares_folder, tmp_path / "out", **changes))
    assert not any(tmp_path.iterdir())


def test_a_label_that_no_file_keeps_is_refused(squares_folder, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    card = load_card(squares_folder / "model")
    save_card(replace(card, labels=["red\nhot", "blue"]), tmp_path / "model" / "model.json")
    about = json.loads((squares_folder / "data" / "dataset.json").read_text()) | {"classes": ["red\nhot", "blue"]}
    (tmp_path / "data").mkdir()
    for path in (squares_folder / "data").glob("*.tfrecord"):
        (tmp_path / "data" / path.name).symlink_to(path)
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(about))
    config = make_config(tmp_path, tmp_path / "out", variants_dir=str(squares_folder / "model"))
    with pytest.raises(MiradaError, match=r"the label 'red\\nhot' holds a line break"):
        export.run(config)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_leaves_nothing(squares_folder, tmp_path: Path, monkeypatch) -> None:
    def link_to_a_full_disk(golden: object, folder: Path) -> None:
        (folder / "bundle.json").symlink_to("/dev/full")

    monkeypatch.setattr("mirada.export.bundle.writing.write_golden", link_to_a_full_disk)
    with pytest.raises(MiradaError, match="out can't be written, the disk is full: free space; nothing was left"):
        export.run(make_config(squares_folder, tmp_path / "out"))
    assert not any(tmp_path.iterdir())


def test_a_bundle_that_fails_its_own_test_is_not_written(squares_folder, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        "mirada.export.bundle.writing.write_sums", lambda folder: (folder / "SHA256SUMS").write_text("0  a\n")
    )
    with pytest.raises(
        MiradaError, match=r"the bundle fails its own test \(a is missing: copy the whole bundle again.\)"
    ):
        export.run(make_config(squares_folder, tmp_path / "out"))
    assert not any(tmp_path.iterdir())


def test_data_of_another_model_is_refused(squares_folder, tmp_path: Path) -> None:
    data = write_singles(tmp_path / "data", "localization")
    with pytest.raises(MiradaError, match="is for localization"):
        export.run(make_config(squares_folder, tmp_path / "out", data_dir=str(data.folder)))
