"""An experiment: every stage's configuration from one command line, all of it checked before the first stage."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from mirada.config import parse
from mirada.errors import MiradaError
from mirada.sweeps.compose import check_sweep, compose_stages, qualify

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        yield


def test_each_stage_gets_its_own_keys_without_its_name() -> None:
    configs = compose_stages(
        ["data=voc", "data.path=photos", "train.epochs=5", "train.model=tiny", "train.model.width=24", "output_dir=x",
         "quantize.variants=[float32,int8]", "evaluate.split=val"],
        "x",
    )  # fmt: skip
    assert list(configs) == ["fetch", "preprocess", "train", "quantize", "evaluate"]
    assert configs["fetch"].data.path == configs["preprocess"].data.path == "photos"
    assert (configs["train"].epochs, configs["train"].model.name, configs["train"].model.width) == (5, "tiny", 24)
    assert configs["quantize"].variants == ["float32", "int8"]
    assert configs["evaluate"].split == "val"


def test_stages_find_each_other_below_the_output_folder() -> None:
    configs = compose_stages(["data=shapes"], "run s/x=1,2")
    root = "run s/x=1,2"
    assert configs["fetch"].output_dir == configs["preprocess"].raw_dir == f"{root}/raw"
    for stage in ("train", "quantize", "evaluate"):
        assert configs[stage].data_dir == configs["preprocess"].output_dir == f"{root}/processed"
    assert configs["quantize"].model_dir == configs["evaluate"].model_dir == configs["train"].output_dir
    assert configs["train"].output_dir == f"{root}/models/train"
    assert configs["evaluate"].variants_dir == configs["quantize"].output_dir == f"{root}/models/quantize"
    assert configs["evaluate"].output_dir == f"{root}/reports/evaluate"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("evaluate.pictures=-1", "in the section evaluate: pictures must be at least 0, got -1"),
        ("quantize.varaints=[int8]", "in the section quantize: unknown key varaints: did you mean variants?"),
        ("train.model=huge", "in the section train: model=huge: there is no such option"),
        ("train.output_dir=y", "train.output_dir=y: an experiment chooses this folder itself, set output_dir instead."),
        ("train={epochs: 3}", "sets a whole section: set its keys one by one"),
    ],
)
def test_a_mistake_in_any_section_is_refused(override: str, sentence: str) -> None:
    with pytest.raises(MiradaError) as refused:
        compose_stages(["data=shapes", override], "x")
    assert sentence in str(refused.value)


RECIPES = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml") if not path.stem.startswith("fit_"))


def recipe(name: str) -> dict:
    return parse(compose("experiment", overrides=[f"experiment={name}", "output_dir=x"])).recipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_arrives_in_the_stages(name: str) -> None:
    settings = recipe(name)
    configs = compose_stages(["data.path=photos"], "x", settings)
    assert configs["fetch"].data.name == configs["preprocess"].data.name == settings["data"]
    assert configs["train"].model.name == settings["train"]["model"]
    assert configs["train"].epochs == settings["train"]["epochs"]
    assert configs["preprocess"].input_size == settings["preprocess"]["input_size"]


def test_the_command_line_comes_before_the_recipe() -> None:
    said = ["data=shapes", "train.epochs=3", "train.augment=upright", "evaluate.published=[]"]
    configs = compose_stages(said, "x", recipe("study3"))
    train = configs["train"]
    assert (configs["fetch"].data.name, train.epochs, train.augment.name) == ("shapes", 3, "upright")
    assert (train.model.name, train.learning_rate, train.class_weight) == ("study3", 0.01, "logits")
    assert configs["evaluate"].published == []
    published = compose_stages(said[:-1], "x", recipe("study3"))["evaluate"].published
    assert published[0].figures["accuracy"] == 0.8594


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"train": {"epoch": 3}}, "in the section train of the recipe: Key 'epoch' not in 'TrainConfig'"),
        ({"train": {"epochs": 0}}, "in the section train: epochs must be at least 1, got 0"),
        ({"training": {"epochs": 3}}, "unknown key training in the recipe: it may hold data, fetch, preprocess, train"),
        ({"train": {"model": "huge"}}, "in the section train: model=huge: there is no such option"),
    ],
)
def test_a_mistake_in_a_recipe_is_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(MiradaError) as refused:
        compose_stages(["data=shapes"], "x", settings)
    assert sentence in str(refused.value)


def test_later_stages_record_where_the_training_does() -> None:
    configs = compose_stages(["train.tracking.experiment=mine", "evaluate.tracking.enabled=false"], "x")
    assert configs["quantize"].tracking.experiment == "mine"
    assert (configs["evaluate"].tracking.experiment, configs["evaluate"].tracking.enabled) == ("mirada", False)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("epochs=10,20", "train.epochs=10,20"),
        ("model=tiny", "train.model=tiny"),
        ("model.width=8,16", "train.model.width=8,16"),
        ("+limits={max_drop: 0.1}", "+evaluate.limits={max_drop: 0.1}"),
        ("max_drop=0.01", "quantize.max_drop=0.01"),
        ("input_size=64", "preprocess.input_size=64"),
        ("data=voc", "data=voc"),
        ("data.path=a=b", "data.path=a=b"),
        ("output_dir=x", "output_dir=x"),
        ("train.gpus=2", "train.gpus=2"),
        ("hydra/launcher=joblib", "hydra/launcher=joblib"),
        ("hydra.sweep.dir=x", "hydra.sweep.dir=x"),
        ("-m", "-m"),
        ("--cfg", "--cfg"),
    ],
)
def test_a_key_of_one_stage_needs_no_stage_before_it(typed: str, meant: str) -> None:
    assert qualify([typed]) == [meant]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("workers=1,2", "write preprocess.workers=1,2 or train.workers=1,2."),
        ("seed=3", "write train.seed=3 or quantize.seed=3 or evaluate.seed=3."),
        ("epohcs=3", "unknown key epohcs: did you mean train.epochs?"),
        ("recpie=3", "unknown key recpie: did you mean recipe?"),
    ],
)
def test_a_key_of_several_stages_or_none_is_refused(typed: str, sentence: str) -> None:
    with pytest.raises(MiradaError, match=re.escape(sentence)):
        qualify([typed])


def sweep_config(*overrides: str) -> DictConfig:
    return OmegaConf.create({"hydra": {"sweeper": {"params": None}, "overrides": {"task": list(overrides)}}})


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.epochs=1,2,0", "in the section train: epochs must be at least 1, got 0; set epochs to 1 or more."),
        ("train.epohcs=1,2", "in the section train: unknown key epohcs: did you mean epochs?"),
        ("data=shapes,shaeps", "data=shaeps: there is no such option"),
        ("experiment=study1,study9", "experiment=study9: there is no such option"),
    ],
)
def test_every_value_of_a_sweep_is_checked_before_its_first_job(override: str, sentence: str) -> None:
    with pytest.raises(MiradaError, match=re.escape(sentence)):
        check_sweep(sweep_config("data=shapes", "quantize.max_drop=0.01,0.02", override))


@pytest.mark.parametrize("value", ["interval(1e-4,1e-2)", "tag(log,interval(1e-4,1e-2))", "choice(1e-4,1e-3)"])
def test_a_search_may_draw_values(value: str) -> None:
    assert check_sweep(sweep_config(f"train.learning_rate={value}", "train.augment=glob(*)")).enabled


def test_a_sweep_is_recorded_where_its_trainings_are() -> None:
    found = check_sweep(sweep_config("train.epochs=1,2", "train.tracking.experiment=mine"))
    assert found.experiment == "mine"
