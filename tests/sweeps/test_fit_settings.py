"""A search's configurations: every stage's for each network, recipes spelled out, what is searched refused elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from mirada.config import FitConfig, parse
from mirada.errors import MiradaError
from mirada.sweeps.compose import compose_stages, qualify
from mirada.sweeps.fit_settings import FitSettings, compose_fit, spell_recipe

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        yield


def composed(*words: str) -> tuple[FitConfig, FitSettings]:
    arguments = qualify(spell_recipe([*words, "output_dir=x"], CONF), FitConfig)
    config = parse(compose("fit", overrides=arguments))
    return config, compose_fit(config, arguments)


def test_a_key_of_one_stage_needs_no_name_and_the_board_is_the_searchs_own() -> None:
    config, settings = composed("data=shapes", "device=esp32s3", "max_drop=0.02", "epochs=30", "space.model=[tiny]")
    assert config.device.name == "esp32s3"
    assert settings.stages["quantize"].max_drop == 0.02 and settings.stages["quantize"].device is None
    assert settings.stages["train"].epochs == 30
    assert settings.stages["quantize"].ladder == [
        "calibration",
        "qat",
    ]  # what stays int8 takes the memory it was judged by
    assert list(settings.models) == ["tiny"] and settings.models["tiny"].backbone == "tiny"


def test_a_recipe_says_board_and_space_and_the_command_line_comes_first() -> None:
    config, settings = composed("experiment=fit_esp32s3", "minutes=5", "space.model=[tiny]")
    assert (config.device.name, config.minutes, config.space.model) == ("esp32s3", 5, ["tiny"])
    assert settings.stages["preprocess"].data.name == "trees"


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("fit_*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_of_a_search_arrives(path: Path) -> None:
    said = yaml.safe_load(path.read_text())
    config, settings = composed(f"experiment={path.stem}")
    assert config.device.name == said["fit"]["device"] and settings.stages["fetch"].data.name == said["data"]
    assert config.space.model == list(settings.models)
    with pytest.raises(MiradaError, match="this recipe is one of a search: python src/fit.py"):
        compose_stages([], "x", config.recipe)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train.model=lite0"], "train.model is what is searched here: set space.model to the values to try"),
        (["preprocess.input_size=96"], "preprocess.input_size is what is searched here: set space.input_size"),
        (["max_drop=null"], "quantize.max_drop=null: a search needs a budget of accuracy"),
        (["epochs=0"], "in the section train: epochs must be at least 1"),
        (["minuts=3"], "unknown key minuts: did you mean minutes?"),
    ],
)
def test_what_can_not_be_is_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(MiradaError) as refused:
        composed(*words, "space.model=[tiny]")
    assert sentence in str(refused.value)
