"""Equal runs have equal keys, and what shapes a result changes the key."""

from dataclasses import replace

import pytest

from mirada.config import ModelConfig, TrainConfig
from mirada.sweeps import fingerprint

CONFIG = TrainConfig(model=ModelConfig(name="tiny", backbone="tiny", weights=None), data_dir="a", output_dir="b")
INPUTS = {"data": "digest"}


def key(**changes: object) -> str:
    return fingerprint.job_key("train", replace(CONFIG, **changes), INPUTS)


def test_folders_and_tracking_do_not_change_the_key() -> None:
    assert key() == key(data_dir="elsewhere", output_dir="elsewhere", resume=True, force=True)


@pytest.mark.parametrize("change", [{"epochs": 21}, {"gpus": 2}, {"workers": 2}, {"model": ModelConfig(name="lite0")}])
def test_settings_change_the_key(change: dict[str, object]) -> None:
    assert key() != key(**change)


def test_input_and_stage_change_the_key() -> None:
    assert key() != fingerprint.job_key("train", CONFIG, {"data": "other"})
    assert key() != fingerprint.job_key("quantize", CONFIG, INPUTS)


def test_code_of_the_stage_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr(fingerprint, "version", lambda name: "0")
    fingerprint.code_digest.cache_clear()
    assert key() != before
    fingerprint.code_digest.cache_clear()
