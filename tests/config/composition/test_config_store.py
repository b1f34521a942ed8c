"""Hydra's store of schemas: looked up without copies, and yet nobody can spoil it for the next."""

import copy
from importlib.metadata import version
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore

from mirada.config.composition.config_store import shared_store

CONF = Path(__file__).resolve().parents[3] / "conf"


def test_it_is_written_for_the_hydra_that_is_installed() -> None:
    assert version("hydra-core").startswith("1.3."), "see whether look-ups still copy the store, and `load` a node"


def test_a_copy_of_the_store_holds_the_very_same_schemas() -> None:
    store = shared_store()
    twin = copy.deepcopy(store)
    assert twin.repo["train_schema.yaml"].node is store.repo["train_schema.yaml"].node
    assert copy.deepcopy([store.repo])[0] is store.repo  # held by another object, too


def test_what_is_stored_later_is_shared_as_well() -> None:
    store = shared_store()
    assert shared_store() is store is ConfigStore.instance()
    twin = copy.deepcopy(store)
    store.store(group="test_config_store/a", name="late", node={"x": 1})
    try:
        assert twin.load("test_config_store/a/late.yaml").node == {"x": 1}
    finally:
        del store.repo["test_config_store"]


def test_a_loaded_schema_is_a_copy_of_its_own() -> None:
    store = shared_store()
    loaded = store.load("train_schema.yaml").node
    loaded.epochs = 77
    assert store.load("train_schema.yaml").node.epochs != 77


def test_one_composition_leaves_nothing_to_the_next() -> None:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        assert compose("train", overrides=["epochs=77", "augment.hue=0.07"]).epochs == 77
        after = compose("train")
    assert (after.epochs, after.augment.hue) == (40, 0.03)
