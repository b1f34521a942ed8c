"""The registry's champion is served, and a newer one comes in when it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from mirada import tracking
from mirada.config import ServeConfig, TrackingConfig
from mirada.errors import MiradaError
from mirada.export.registry import register_model
from mirada.inference.card import load_card
from mirada.service.app import create_app
from mirada.service.model.loading import load_model
from tests.service.conftest import running
from tests.squares import draw_example


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_the_champion_is_served(
    serve_config: ServeConfig, squares_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(store.uri))
    monkeypatch.chdir(tmp_path)
    folder = squares_folder / "model"

    def register(variant: str, drop: tuple[float, float, float]) -> None:
        with tracking.start_run(store) as run:
            run.log_artifacts(folder / "float32.tflite", "quantize")
            figures = {"map50": 0.9, "latency_ms_p50": 1.25, "size_bytes": 5.0}
            register_model(
                load_card(folder), folder / f"{variant}.tflite", variant, figures, lambda card, path: drop, name="s"
            )

    register("int8", (0.0, 0.0, 0.0))
    config = replace(serve_config, registered="models:/s@champion")
    bearer = {"Authorization": "Bearer t"}
    with running(create_app(config, token="t")) as client:
        client.headers.update(bearer)
        (model,) = client.get("/v1/models").json()["models"]
        assert (model["version"], [v["name"] for v in model["variants"]]) == ("1", ["float32", "int8"])
        assert (model["variants"][1]["map50"], model["variants"][1]["default"]) == (0.9, True)
        answer = client.post("/v1/predict", files={"image": draw_example(3).image})
        assert answer.json()["variant"] == "int8" and answer.json()["detections"]
        register("float32", (-0.1, -0.2, -0.05))
        reloaded = client.post("/v1/models/reload", timeout=60).json()["models"][0]
        assert (reloaded["version"], [v["name"] for v in reloaded["variants"]]) == ("2", ["float32"])


@pytest.mark.slow
def test_a_model_that_is_not_registered_is_said(
    serve_config: ServeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(MiradaError, match="models:/nobody@champion is not in the registry"):
        load_model(replace(serve_config, registered="models:/nobody@champion"))


def test_clients_are_kept_out_while_there_is_no_model(serve_config: ServeConfig, tmp_path: Path) -> None:
    """The probe says so; predictions are told to come back."""
    config = replace(serve_config, model_dir=str(tmp_path), variants_dir=str(tmp_path))
    with running(create_app(config), ready=False) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json()["detail"] == {"model": "absent", "queue": "absent"}
        answer: httpx.Response = client.post("/v1/predict", files={"image": draw_example(3).image})
        assert answer.status_code == 503
