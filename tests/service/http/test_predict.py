"""One image in, what is in it out: bit for bit what evaluation gets."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from rich.progress import Progress

from mirada.config import EvaluateConfig, ServeConfig
from mirada.data.records import load_dataset
from mirada.evaluation.measuring import measure_accuracy
from mirada.inference.card import load_card
from mirada.inference.variants import load_variants
from mirada.service.app import create_app
from tests.service.conftest import running
from tests.service.test_app import predict


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_the_service_gives_bit_for_bit_what_evaluate_gets(
    client: httpx.Client, squares_folder: Path, variant: str
) -> None:
    folder = squares_folder / "model"
    card, dataset = load_card(folder), load_dataset(squares_folder / "data")
    config = EvaluateConfig(variants_dir=str(folder), data_dir=str(dataset.folder))
    with Progress(disable=True) as progress:
        measured = measure_accuracy(config, card, dataset, load_variants(folder), progress)
    found = 0
    for example, wanted in zip(dataset.whole_photographs("test"), measured.predictions[variant], strict=True):
        answer = client.post(f"/v1/predict?variant={variant}&min_score=0", files={"image": example.image}).json()
        got = answer["detections"]
        assert [d["score"] for d in got] == wanted.scores.tolist()
        assert [d["box"] for d in got] == wanted.boxes_xyxy.tolist()
        assert [d["label"] for d in got] == [card.labels[label] for label in wanted.labels]
        found += len(got)
    assert found > 20


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?view=halves", "view"),
        ("?view=tiles", "view=tiles needs tile="),
        ("?tile=8", "greater than or equal to 16"),
        ("?tile=64&overlap=0.9", "less than or equal to 0.8"),
        ("?tile=16&overlap=0.8", "cut into 289 tiles of at most 100"),
    ],
)
def test_ways_to_look_that_are_refused(serve_config: ServeConfig, query: str, words: str) -> None:
    serve_config.limits.tiles = 100
    with running(create_app(serve_config)) as client:
        answer = predict(client, query)
    assert answer.status_code == 422 and words in answer.json()["detail"]


def test_detections_beyond_the_limit_are_counted(serve_config: ServeConfig) -> None:
    with running(create_app(serve_config)) as client:
        every = predict(client, "?min_score=0").json()
    serve_config.limits.max_detections = 1
    with running(create_app(serve_config)) as client:
        best = predict(client, "?min_score=0").json()
    assert len(every["detections"]) >= 3 and every["left_out"] == 0
    assert best["detections"] == every["detections"][:1]
    assert best["left_out"] == len(every["detections"]) - 1
