"""One photograph by every road that a prediction takes: the same boxes to the last digit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from rich.progress import Progress

import mirada
from mirada.config import EvaluateConfig, ExportConfig
from mirada.config.predicting import PredictConfig
from mirada.data.records import Example, frame, load_dataset, serialize
from mirada.evaluation.measuring import measure_accuracy
from mirada.inference.card import load_card, save_card
from mirada.inference.variants import load_variants
from mirada.stages import export, predict
from tests.data.pixels.writing import png_of
from tests.datasets import SIDE
from tests.servers import until
from tests.service.conftest import LiveService, start_service, stop_service
from tests.squares import COLOURS, LABELS, SQUARE

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow's own

WIDTH, HEIGHT = 4 * SIDE - 8, 3 * SIDE - 16  # tiles of SIDE by half their side, the last ones moved back to the border
CORNERS = ((8, 8), (48, 16), (96, 96), (152, 8), (216, 88), (120, 144), (24, 144), (208, 32))  # of squares, on cells
Found = list[tuple[str, float, list[float]]]  # label, score, box; best first
VARIANT = "int8"
DEPTHS = [1000.0, 1000.0 + 16 * 255]
LEAST = 0.9  # the card's min_score: some of what is found lies above it, some below


@pytest.fixture(scope="module")
def folder(squares_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model/` as of a model that was trained on tiles of deep images, and `photo.png`, larger than a tile.

    The photograph has 16 bits: 16 steps of them, from 1000 on, to one of 8. A road that keeps the upper 8 finds nothing.
    """
    folder = tmp_path_factory.mktemp("roads")
    shutil.copytree(squares_folder / "model", folder / "model")
    card = load_card(folder / "model")
    ways = {"tile_size": SIDE, "tile_overlap": 0.25, "depth_range": DEPTHS, "min_score": LEAST}
    save_card(replace(card, **ways), folder / "model" / "model.json")
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint16)
    for number, (x, y) in enumerate(CORNERS):
        image[y : y + SQUARE, x : x + SQUARE] = COLOURS[number % 2]
    (folder / "photo.png").write_bytes(png_of(1000 + 16 * image))
    return folder


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[LiveService]:
    service = start_service(folder, folder, "queue.workers=1", "threads=1", f"variant={VARIANT}")
    yield service
    stop_service(service)


@pytest.fixture(scope="module")
def wanted(folder: Path) -> Found:
    """What `mirada.load` gives, which is what all others are measured by."""
    model = mirada.load(folder / "model", VARIANT)
    answer = model.predict(folder / "photo.png")
    assert (answer.view, answer.tiles, answer.left_out) == ("tiles", 7 * 5, 0)
    found = answer.prediction
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes_xyxy.tolist(), strict=True)
    return [(LABELS[label], score, box) for label, score, box in rows]


def rows_of(content: dict[str, Any]) -> Found:
    return [(row["label"], row["score"], row["box"]) for row in content["detections"]]


@pytest.mark.parametrize("threads", [2, 3])
def test_several_threads_give_what_one_gives(folder: Path, wanted: Found, threads: int) -> None:
    model = mirada.load(folder / "model", VARIANT, threads=threads)
    for _ in range(2):  # the second time by models that are open already
        found = model.predict(folder / "photo.png").prediction
        rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes_xyxy.tolist(), strict=True)
        assert [(LABELS[label], score, box) for label, score, box in rows] == wanted


def ask_over_http(folder: Path, service: LiveService) -> dict[str, Any]:
    answer = httpx.post(
        f"{service.url}/v1/predict?min_score=0", files={"image": (folder / "photo.png").read_bytes()}, timeout=30
    )
    return dict(answer.raise_for_status().json())


def ask_as_a_job(folder: Path, service: LiveService) -> dict[str, Any]:
    upload = {"images": ("photo.png", (folder / "photo.png").read_bytes())}
    job = httpx.post(f"{service.url}/v1/jobs?min_score=0", files=upload, timeout=30).raise_for_status().json()
    until(lambda: service.get(f"/v1/jobs/{job['id']}").json()["ended_at"] is not None, 30, service.log)
    image = service.get(f"/v1/jobs/{job['id']}/results").json()["images"][0]
    return dict(image["prediction"])


def test_evaluate_gives_what_the_engine_gives(
    folder: Path, squares_folder: Path, wanted: Found, tmp_path: Path
) -> None:
    shutil.copytree(squares_folder / "data", tmp_path / "data")
    box = np.array([[x, y, x + SQUARE, y + SQUARE] for x, y in CORNERS], np.float32)
    labels = np.arange(len(CORNERS)) % 2
    photograph = Example("photo", (folder / "photo.png").read_bytes(), box, labels, labels < 0, "photo.png")
    dataset = load_dataset(tmp_path / "data")
    (dataset.folder / dataset.photographs["test"]["shards"][0]["file"]).write_bytes(frame(serialize(photograph)))
    card, variants = load_card(folder / "model"), load_variants(folder / "model")
    config = EvaluateConfig(model_dir="", variants_dir="", data_dir="", output_dir="", score_floor=0.001)
    with Progress(disable=True) as progress:
        measured = measure_accuracy(config, card, dataset, variants, progress)
    (found,) = measured.predictions[VARIANT]
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes_xyxy.tolist(), strict=True)
    assert [(LABELS[label], score, box) for label, score, box in rows] == wanted
    assert measured.results[VARIANT].map50 == pytest.approx(1)


def test_predict_gives_what_the_engine_gives(folder: Path, wanted: Found, tmp_path: Path) -> None:
    predict.run(
        PredictConfig(
            source=str(folder / "photo.png"),
            model_dir=str(folder / "model"),
            variants_dir=str(folder / "model"),
            variant=VARIANT,
            output_dir=str(tmp_path / "out"),
            min_score=0.001,
            pictures=False,
        )
    )
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    rows = [(names[row["category_id"]], row["score"], row["bbox"]) for row in content["annotations"]]
    corners = [(label, score, [box[0], box[1], box[2] - box[0], box[3] - box[1]]) for label, score, box in wanted]
    assert sorted(rows) == sorted(corners)


@pytest.fixture(scope="module")
def bundle(folder: Path, squares_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, out = str(folder / "model"), tmp_path_factory.mktemp("roads_bundle") / "out"
    config = ExportConfig(
        model_dir=model, variants_dir=model, data_dir=str(squares_folder / "data"), variant=VARIANT, golden=2,
        output_dir=str(out),
    )  # fmt: skip
    export.run(config)
    return out


def ask_bundle(bundle: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-I", "-B", str(bundle / "run.py"), "predict", *arguments, str(folder / "photo.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    (content,) = json.loads(done.stdout).values()
    return dict(content) | {"detections": content["objects"]}


def test_a_bundle_gives_what_the_engine_gives(folder: Path, bundle: Path, wanted: Found) -> None:
    content = ask_bundle(bundle, folder, "--min-score", "0.001")
    assert (content["view"], content["tiles"], content["left_out"]) == ("tiles", 35, 0)
    assert rows_of(content) == wanted


@pytest.mark.parametrize("ask", [ask_over_http, ask_as_a_job])
def test_the_service_gives_what_the_engine_gives(
    ask: Callable[[Path, LiveService], dict[str, Any]], folder: Path, service: LiveService, wanted: Found
) -> None:
    content = ask(folder, service)
    assert (content["view"], content["tiles"], content["left_out"]) == ("tiles", 35, 0)
    assert rows_of(content) == wanted


def test_the_model_that_mlflow_serves_gives_it_rounded(folder: Path, wanted: Found, tmp_path: Path) -> None:
    from mirada.export.registry import signature_of

    answer = _ask_mlflow(folder, tmp_path, signature_of(load_card(folder / "model"), 0.25))
    rounded = [(label, round(score, 4), np.array(box).round(2).tolist()) for label, score, box in wanted]
    assert answer["default"] == rounded
    assert answer["whole"] != rounded and answer["tile"] != rounded


def _ask_mlflow(folder: Path, tmp_path: Path, signature: Any) -> dict[str, Found]:
    """By a model that was saved and loaded as MLflow does it, with its signature's parameters."""
    import mlflow

    from mirada.project import PACKAGE

    model, data = folder / "model", (folder / "photo.png").read_bytes()
    mlflow.pyfunc.save_model(
        str(tmp_path / "saved"),
        python_model=str(PACKAGE / "export/pyfunc_model.py"),
        artifacts={"card": str(model / "model.json"), "variant": str(model / f"{VARIANT}.tflite")},
        pip_requirements=[],
        signature=signature,
    )
    served = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    asked = {"default": {}, "whole": {"view": "whole"}, "tile": {"tile": 2 * SIDE, "overlap": 0.25}}
    answers = {key: served.predict([data], params={"min_score": 0.0} | more)[0] for key, more in asked.items()}
    return {key: rows_of(json.loads(json.dumps(answer))) for key, answer in answers.items()}


def test_who_names_no_score_gets_the_cards_on_every_road(
    folder: Path, service: LiveService, bundle: Path, wanted: Found, tmp_path: Path
) -> None:
    from mirada.export.pyfunc_model import ServedModel

    sure = [row for row in wanted if row[1] >= LEAST]
    assert 0 < len(sure) < len(wanted)
    found = mirada.load(folder / "model", VARIANT, min_score=None).predict(folder / "photo.png").prediction
    assert found.scores.tolist() == [score for _, score, _ in sure]
    upload = {"image": (folder / "photo.png").read_bytes()}
    assert rows_of(httpx.post(f"{service.url}/v1/predict", files=upload, timeout=30).json()) == sure
    assert rows_of(ask_bundle(bundle, folder)) == sure
    model = str(folder / "model")
    served = ServedModel()
    served.load_context(
        SimpleNamespace(artifacts={"card": f"{model}/model.json", "variant": f"{model}/{VARIANT}.tflite"})
    )
    (answer,) = served.predict(None, [upload["image"]])
    assert [row["score"] for row in answer["detections"]] == [round(score, 4) for _, score, _ in sure]
    config = PredictConfig(
        source=str(folder / "photo.png"), model_dir=model, variants_dir=model, variant=VARIANT,
        output_dir=str(tmp_path / "out"), pictures=False,
    )  # fmt: skip
    predict.run(config)
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert sorted(row["score"] for row in content["annotations"]) == sorted(score for _, score, _ in sure)


def test_the_photograph_has_something_to_find(wanted: Found) -> None:
    """Each square is found once, where it is: so equal answers are not equal for want of any."""
    sure = sorted(tuple(np.round(box).tolist()) for _, score, box in wanted if score > 0.9)
    assert np.allclose(sure, sorted((x, y, x + SQUARE, y + SQUARE) for x, y in CORNERS), atol=2)


def test_a_request_says_how_its_photograph_is_looked_at(folder: Path, service: LiveService, wanted: Found) -> None:
    upload = {"image": (folder / "photo.png").read_bytes()}
    for query, view, tiles in (("view=whole", "whole", 0), (f"tile={2 * SIDE}&overlap=0.25", "tiles", 6)):
        answer = httpx.post(f"{service.url}/v1/predict?min_score=0&{query}", files=upload, timeout=30).json()
        assert (answer["view"], answer["tiles"]) == (view, tiles)
        assert rows_of(answer) != wanted
