"""One image in, what is in it out: bit for bit what evaluation gets."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from rich.progress import Progress

from mirada.config import EvaluateConfig
from mirada.data.records import load_dataset
from mirada.evaluation.measuring import predict_split
from mirada.inference.card import load_card
from mirada.inference.variants import load_variants


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_the_service_gives_bit_for_bit_what_evaluate_gets(
    client: httpx.Client, squares_folder: Path, variant: str
) -> None:
    folder = squares_folder / "model"
    card, dataset = load_card(folder), load_dataset(squares_folder / "data")
    config = EvaluateConfig(variants_dir=str(folder))
    with Progress(disable=True) as progress:
        _, predictions = predict_split(config, card, dataset, load_variants(folder), progress)
    found = 0
    for example, wanted in zip(dataset.examples("test"), predictions[variant], strict=True):
        answer = client.post(f"/v1/predict?variant={variant}&min_score=0", files={"image": example.image}).json()
        got = answer["detections"]
        assert [d["score"] for d in got] == wanted.scores.tolist()
        assert [d["box"] for d in got] == wanted.boxes_xyxy.tolist()
        assert [d["label"] for d in got] == [card.labels[label] for label in wanted.labels]
        found += len(got)
    assert found > 20
