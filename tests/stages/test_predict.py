import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirada.config import PredictConfig
from mirada.data.formats.voc import list_voc, read_voc
from mirada.errors import MiradaError
from mirada.inference.engine import open_engine
from mirada.inference.prediction import Decoding
from mirada.stages import predict
from tests.singles import draw_single, write_singles
from tests.singles import write_variants as write_single_variants
from tests.squares import COLOURS

CORNERS = (8, 32)  # of a square, to both sides: inside the border, where the model sees what is not there
SCRIPT = Path(__file__).resolve().parents[2] / "src" / "predict.py"


def draw_photo(number: int) -> bytes:
    """A PNG of 64 pixels with `number % 3` squares, the first red, the second blue."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    for corner, colour in list(zip(CORNERS, COLOURS, strict=True))[: number % 3]:
        pixels[corner : corner + 24, corner : corner + 24] = colour
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def make_config(model: Path, photos: object, output_dir: Path, **changes) -> PredictConfig:
    settings = {
        "model_dir": str(model),
        "variants_dir": str(model),
        "variant": "float32",
        "output_dir": str(output_dir),
    }
    return PredictConfig(**({"source": str(photos)} | settings | changes))


@pytest.fixture
def model(squares_folder) -> Path:
    return squares_folder / "model"


def draw_photos(folder: Path) -> Path:
    """Eight photographs of 0, 1, 2, 0 … squares, two of them in a folder of their own."""
    (folder / "more").mkdir(parents=True)
    for number in range(8):
        (folder / ("more" if number > 5 else ".") / f"{number}.png").write_bytes(draw_photo(number))
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    return draw_photos(tmp_path / "photos")


def truth_of(name: str) -> list[list[float]]:
    return [[corner, corner, corner + 24, corner + 24] for corner in CORNERS[: int(Path(name).stem) % 3]]


def content_of(folder: Path) -> dict:
    return json.loads((folder / "predictions.json").read_text())


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_are_a_coco_data_set_of_what_the_engine_finds(model, photos, tmp_path):
    predict.run(make_config(model, photos, tmp_path / "out"))
    content = content_of(tmp_path / "out")
    assert content.keys() == {"info", "licenses", "categories", "images", "annotations"}
    assert [(entry["id"], entry["name"]) for entry in content["categories"]] == [(1, "red"), (2, "blue")]
    names = ["0.png", "1.png", "2.png", "3.png", "4.png", "5.png", "more/6.png", "more/7.png"]
    assert [image["file_name"] for image in content["images"]] == names
    assert all((image["width"], image["height"]) == (64, 64) for image in content["images"])
    engine = open_engine(model, "float32", decoding=Decoding(score_floor=0.25, max_detections=None))
    for image in content["images"]:
        mine = [entry for entry in content["annotations"] if entry["image_id"] == image["id"]]
        found = engine.predict(photos / image["file_name"]).prediction
        assert [entry["score"] for entry in mine] == found.scores.tolist()
        assert [entry["category_id"] for entry in mine] == (found.labels + 1).tolist()
        corners = [[x, y, x + w, y + h] for x, y, w, h in (entry["bbox"] for entry in mine)]
        assert corners == found.boxes_xyxy.tolist()
        truth = truth_of(image["file_name"])
        assert len(corners) == len(truth)
        assert np.allclose(sorted(corners), truth, atol=1)
    assert [entry["id"] for entry in content["annotations"]] == [1, 2, 3, 4, 5, 6, 7]


def test_pictures_show_the_boxes_and_lie_as_the_photographs_do(model, photos, tmp_path):
    predict.run(make_config(model, photos, tmp_path / "out"))
    pictures = tmp_path / "out" / "pictures"
    assert sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.*")) == [
        *(f"{n}.jpg" for n in range(6)), "more/6.jpg", "more/7.jpg",
    ]  # fmt: skip
    with Image.open(pictures / "0.jpg") as empty, Image.open(pictures / "1.jpg") as drawn:
        assert np.asarray(empty).max() < 10
        assert empty.size == drawn.size == (64, 64)
        # Red squares get the first colour, (46, 163, 242); nothing in the photograph is as green.
        assert np.asarray(drawn)[..., 1].max() > 100


def test_a_broken_photograph_is_named_and_the_rest_goes_on(model, photos, tmp_path):
    (photos / "4.png").write_bytes(draw_photo(4)[:90])
    config = make_config(model, photos, tmp_path / "out", workers=2)
    with pytest.raises(
        MiradaError, match=r"1 of 8 photographs could not be looked at \(4\.png: .*failed\.csv"
    ) as caught:
        predict.run(config)
    assert str(photos) not in str(caught.value)
    assert [image["file_name"] for image in content_of(tmp_path / "out")["images"]] == [
        "0.png", "1.png", "2.png", "3.png", "5.png", "more/6.png", "more/7.png",
    ]  # fmt: skip
    (failed,) = rows_of(tmp_path / "out" / "failed.csv")
    assert failed["file"] == "4.png"
    assert "cannot be decoded" in failed["reason"]
    assert failed["advice"] == "save it again or remove it"
    (photos / "4.png").write_bytes(draw_photo(4))
    config.resume = True
    assert len(predict.run(config)["4.png"].labels) == 1
    assert not (tmp_path / "out" / "failed.csv").exists()


def test_resume_looks_only_at_what_is_not_done(model, photos, tmp_path, capsys):
    out = tmp_path / "out"
    predict.run(make_config(model, photos, out))
    before = (out / "predictions.json").read_bytes()
    lines = (out / "done.jsonl").read_text().splitlines(keepends=True)
    (out / "done.jsonl").write_text("".join(lines[:6]) + lines[6][:20])  # killed while it wrote
    (out / "predictions.json").unlink()
    capsys.readouterr()
    predict.run(make_config(model, photos, out, resume=True))
    assert "8 photographs, 7 objects, 5 of them from the run before" in capsys.readouterr().out
    assert (out / "predictions.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "out holds what an earlier run found: go on with resume=true"),
        ({"resume": True, "min_score": 0.5}, "was begun with min_score=0.25, now it is 0.5"),
        ({"resume": True, "variant": "int8"}, "was begun with model="),
    ],
)
def test_another_run_s_folder_is_left_alone(model, photos, tmp_path, changes, sentence):
    predict.run(make_config(model, photos, tmp_path / "out"))
    with pytest.raises(MiradaError, match=sentence):
        predict.run(make_config(model, photos, tmp_path / "out", **changes))


def test_a_run_that_found_nothing_yet_is_begun_anew(model, photos, tmp_path):
    predict.run(make_config(model, photos, tmp_path / "out"))
    journal = tmp_path / "out" / "done.jsonl"
    journal.write_text(journal.read_text().splitlines(keepends=True)[0])
    assert len(predict.run(make_config(model, photos, tmp_path / "out", min_score=0.5))) == 8


def test_ranking_puts_doubtful_photographs_first_and_changes_no_prediction(model, tmp_path):
    """A square at 0.84 of full red: objectness 24 * 0.84 - 20 = 0.16, so its score is 0.54 and its doubt 0.85."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, red in (("empty", 0), ("sure", 255), ("doubtful", 214)):
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[16:40, 16:40, 0] = red
        Image.fromarray(pixels).save(photos / f"{name}.png")
    plain = predict.run(make_config(model, photos, tmp_path / "plain"))
    ranked = predict.run(make_config(model, photos, tmp_path / "out", rank="uncertainty"))
    assert {name: found.scores for name, found in ranked.items()} == {n: found.scores for n, found in plain.items()}
    rows = rows_of(tmp_path / "out" / "ranked.csv")
    assert [(row["rank"], row["file"]) for row in rows] == [
        ("1", "doubtful.png"),
        ("2", "sure.png"),
        ("3", "empty.png"),
    ]
    assert [row["objects"] for row in rows] == ["1", "1", "0"]
    assert float(rows[0]["uncertainty"]) == pytest.approx(0.85, abs=0.05)
    assert float(rows[2]["uncertainty"]) == 0


def test_max_detections_says_what_it_left_out(model, photos, tmp_path, capsys):
    found = predict.run(make_config(model, photos, tmp_path / "out", max_detections=1))
    assert [(len(one.labels), one.left_out) for one in found.values()] == [
        (0, 0), (1, 0), (1, 1), (0, 0), (1, 0), (1, 1), (0, 0), (1, 0),
    ]  # fmt: skip
    assert "5 objects, 2 more left out by max_detections" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"source": "nowhere"}, "source=nowhere does not exist"),
        ({"variant": "int9"}, "variant=int9 is not among float32, int8"),
        ({"view": "tiles"}, "view=tiles needs tile="),
        ({"formats": ["folder"]}, "formats=folder is for a model that sorts pictures into classes"),
        ({"show": True}, "show=true is for videos"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(model, photos, tmp_path, changes, sentence):
    with pytest.raises(MiradaError, match=sentence):
        predict.run(make_config(model, photos, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes",
    [{"source": None}, {"camera": 0}, {"formats": ["xml"]}, {"rank": "size"}, {"workers": 0}, {"max_fps": 0.0}],
)
def test_settings_out_of_range_are_refused(model, photos, tmp_path, changes):
    with pytest.raises(MiradaError):
        make_config(model, photos, tmp_path / "out", **changes)


def test_a_card_of_another_task_is_refused(model, photos, tmp_path):
    write_single_variants(tmp_path / "single", write_singles(tmp_path / "data", "localization"))
    with pytest.raises(MiradaError, match="has no output '.*', which the card names"):
        predict.run(make_config(model, photos, tmp_path / "out", model_dir=str(tmp_path / "single")))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_leaves_whole_what_was_written(model, photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "predictions.json").write_text("{}")
    monkeypatch.setattr("mirada.files.secrets.token_hex", lambda count: "planted")
    part = out / ".part-planted-predictions.json"
    part.symlink_to("/dev/full")
    with pytest.raises(MiradaError, match=r"out can't be written, the disk is full: .* resume=true"):
        predict.run(make_config(model, photos, out))
    assert (out / "predictions.json").read_text() == "{}"
    assert not part.is_symlink()
    assert len(predict.run(make_config(model, photos, out, resume=True))) == 8


def test_a_classification_is_sorted_into_folders(tmp_path):
    write_single_variants(tmp_path / "model", write_singles(tmp_path / "data", "classification"))
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        (photos / f"{number}.png").write_bytes(draw_single("classification", number).image)
    config = make_config(tmp_path / "model", photos, tmp_path / "out", formats=["folder", "csv"], rank="uncertainty")
    found = predict.run(config)
    names = ["dim", "bright", "dim", "bright"]  # brightness 40, 250, 80, 170
    assert [one.labels for one in found.values()] == [[name] for name in names]
    for number, name in enumerate(names):
        assert (tmp_path / "out" / "labels" / "folder" / name / f"{number}.png").is_file()
    assert [entry["bbox"] for entry in content_of(tmp_path / "out")["annotations"]] == [[0, 0, 64, 64]] * 4
    assert rows_of(tmp_path / "out" / "ranked.csv")[0]["file"] == "3.png"  # 170 is nearest to the border at 127.5
    with pytest.raises(MiradaError, match="formats=voc is for a model whose pictures have boxes"):
        predict.run(make_config(tmp_path / "model", photos, tmp_path / "out", formats=["voc"]))


@pytest.mark.slow
def test_a_killed_run_goes_on_and_exits_with_one_where_something_failed(model, photos, tmp_path):
    for number in range(300):
        (photos / f"copy {number}.png").write_bytes(draw_photo(number))
    (photos / "broken.png").write_bytes(b"no picture")
    command = [sys.executable, str(SCRIPT), f"source={photos}", f"model_dir={model}", f"variants_dir={model}"]
    command += ["variant=int8", "output_dir=out"]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL) as killed:
        journal, until = tmp_path / "out" / "done.jsonl", time.monotonic() + 60
        while not (journal.is_file() and journal.stat().st_size > 5000) and time.monotonic() < until:
            time.sleep(0.01)
        os.killpg(killed.pid, signal.SIGKILL)
    assert not (tmp_path / "out" / "predictions.json").exists()
    done = subprocess.run([*command, "resume=true"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "308 photographs" in done.stdout
    assert "of them from the run before" in done.stdout
    assert done.stderr.startswith("error: 1 of 309 photographs could not be looked at (broken.png: ")
    assert len(done.stderr.splitlines()) == 1
    assert len(content_of(tmp_path / "out")["images"]) == 308
    assert len(list((tmp_path / "out" / "pictures").rglob("*.jpg"))) == 308


@pytest.mark.parametrize(("orientation", "noted"), [(1, False), (3, True), (6, False)])
def test_labels_of_turned_photographs(model, tmp_path, capsys, orientation, noted):
    """Boxes are those of the picture as displayed; the reader knows a quarter turn, of a half turn it can't."""
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = np.zeros((64, 56, 3), np.uint8)
    pixels[8:32, 8:32] = COLOURS[0]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(photos / "a.jpg", exif=exif, quality=95)
    found = predict.run(make_config(model, photos, tmp_path / "out", formats=["voc"], min_score=0.05))["a.jpg"]
    assert (found.width, found.height) == ((64, 56) if orientation == 6 else (56, 64))
    assert ("note: 1 photographs (a.jpg) are turned by half" in capsys.readouterr().out) == noted
    shutil.copytree(tmp_path / "out" / "labels" / "voc", photos, dirs_exist_ok=True)
    image = read_voc(list_voc(photos)[0][0], {})
    assert image.transpose == (orientation == 6)
    assert len(image.boxes) == len(found.labels) > 0
