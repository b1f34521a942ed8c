"""What `/metrics` tells of images that are not like those of validation."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np

from mirada.config import ServeConfig
from mirada.data.images import encode
from mirada.service.app import create_app
from tests.service.conftest import running


def gauge(client: httpx.Client, name: str) -> float | None:
    found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.M)
    return float(found[1]) if found else None


def test_images_unlike_validation_raise_the_index(
    serve_config: ServeConfig, square: bytes, squares_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(squares_folder / "model", tmp_path / "model")
    variants = json.loads((tmp_path / "model/variants.json").read_text())
    usual = {"score": {"edges": [0.0], "counts": [10, 90]}, "brightness": {"edges": [100.0], "counts": [90, 10]}}
    (tmp_path / "model/variants.json").write_text(json.dumps(variants | {"usual": usual}))
    model = str(tmp_path / "model")
    with running(create_app(replace(serve_config, model_dir=model, variants_dir=model))) as client:
        assert gauge(client, 'mirada_drift_index{of="score"}') is None, "nothing was looked at yet"

        def send(data: bytes, **parameters: float) -> None:
            headers = {"Content-Type": "image/png"}
            client.post("/v1/predict", content=data, headers=headers, params=parameters).raise_for_status()

        for _ in range(9):
            send(square)
        send(square, min_score=0.9)  # finds less than validation's images were asked for: not counted
        assert gauge(client, "mirada_drift_looks") == 9
        assert gauge(client, 'mirada_drift_share{below="100",of="brightness",when="now"}') == 1
        assert gauge(client, 'mirada_drift_share{below="100",of="brightness",when="validation"}') == 0.9
        before = gauge(client, 'mirada_drift_index{of="score"}')
        assert before is not None and before < 0.1
        for grey in (0, 255):  # nothing to find, and brighter than any
            for _ in range(9):
                send(encode(np.full((64, 64, 3), grey, np.uint8), "png"))
        for of in ("score", "brightness"):
            index = gauge(client, f'mirada_drift_index{{of="{of}"}}')
            assert index is not None and index > 0.25, of
