from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir

from mirada.config.composition.quality import spell_quality, split_quality
from mirada.errors import MiradaError
from mirada.sweeps.compose import compose_stages

CONF = Path(__file__).resolve().parents[3] / "conf"


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        yield


def test_a_word_is_a_quality_and_a_number_that_of_jpeg() -> None:
    assert split_quality(["quality=best", "epochs=3"]) == ("best", ["epochs=3"])
    assert split_quality(["quality=90,95"]) == ("default", ["quality=90,95"])
    with pytest.raises(MiradaError, match="quality is named twice, as fast and best"):
        split_quality(["quality=fast", "quality=best"])


@pytest.mark.parametrize("quality", ["fast", "default", "best"])
def test_every_setting_arrives_in_its_stage(quality: str) -> None:
    configs = compose_stages(spell_quality(quality, ["data=shapes"], CONF), "x")
    plain = compose_stages(["data=shapes"], "x")
    epochs = [configs["train"].epochs, plain["train"].epochs]
    assert {"fast": epochs[0] < epochs[1], "default": configs == plain, "best": epochs[0] > epochs[1]}[quality]
    assert configs["fetch"] == plain["fetch"]


def test_what_is_said_comes_before_the_quality() -> None:
    assert "train.epochs=3" in (words := spell_quality("fast", ["train.epochs=3"], CONF))
    assert [word for word in words if word.startswith("train.epochs=")] == ["train.epochs=3"]
    assert "preprocess.input_size=224" in words


def test_a_stage_of_its_own_gets_its_own_settings_alone() -> None:
    assert spell_quality("best", [], CONF, "train") == ["epochs=60"]


@pytest.mark.parametrize("words", [["-m", "epochs=1,2"], ["epochs=1,2", "-m"], ["-m"], []])
def test_hydra_reads_what_is_written_out_wherever_an_option_stands(words: list[str]) -> None:
    from hydra._internal.utils import get_args_parser

    spelled = spell_quality("fast", words, CONF, "train")
    read, unknown = get_args_parser().parse_known_args(spelled)
    assert unknown == [] and "freeze_epochs=1" in read.overrides and read.multirun == ("-m" in words)


@pytest.mark.parametrize(
    ("quality", "words", "message"),
    [
        ("fine", [], "quality must be one of best, default, fast, got 'fine'"),
        ("fast", ["experiment=study1"], "quality=fast is for data without a recipe"),
    ],
)
def test_what_makes_no_sense_is_refused(quality: str, words: list[str], message: str) -> None:
    with pytest.raises(MiradaError) as refused:
        spell_quality(quality, words, CONF)
    assert message in str(refused.value)
