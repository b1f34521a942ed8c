"""An experiment: every stage's configuration from one command line, all of it checked before the first stage."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import initialize_config_dir

from mirada.inference.card import Card, save_card
from mirada.stages import experiment
from mirada.sweeps.compose import FOLDERS, compose_stages

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        yield


def fake_stages(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Put stages that only take note in the place of the real ones; returns the notes."""
    ran: list[tuple[str, str]] = []
    for stage in FOLDERS:

        def run(config: Any, stage: str = stage) -> dict[str, dict[str, float]]:
            ran.append((stage, type(config).__name__))
            if stage == "train":
                write_card(Path(config.output_dir))
            return {stage: {"map50": 0.5}}

        fake = SimpleNamespace(run=run, source_digest=lambda data: data.name)
        monkeypatch.setitem(sys.modules, f"mirada.stages.{stage}", fake)
        monkeypatch.setattr(f"mirada.stages.{stage}", fake, raising=False)
    return ran


def write_card(folder: Path) -> None:
    outputs = {"classes": ["classes"]}
    card = Card("classification", ["a", "b"], 32, 3, "stretch", [], outputs, "shapes", "0" * 64, {})
    folder.mkdir(parents=True)
    save_card(card, folder / "model.json")


def test_stages_run_in_their_order_and_the_last_result_is_returned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configs = compose_stages(["data=shapes", "train.tracking.enabled=false"], str(tmp_path))
    ran = fake_stages(monkeypatch)
    result = experiment.run(configs, output_dir=str(tmp_path))
    assert result == {"evaluate": {"map50": 0.5}}
    assert ran == [
        ("fetch", "FetchConfig"),
        ("preprocess", "PreprocessConfig"),
        ("train", "TrainConfig"),
        ("quantize", "QuantizeConfig"),
        ("evaluate", "EvaluateConfig"),
    ]
