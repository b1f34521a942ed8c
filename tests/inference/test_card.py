import json
from dataclasses import replace

import pytest

from mirada.errors import MiradaError
from mirada.inference.card import load_card, save_card
from mirada.inference.prediction import check_outputs
from tests.cards import BOX_CARD, CARD, MAP_CARD


@pytest.mark.parametrize("card", [CARD, BOX_CARD, MAP_CARD])
def test_a_card_comes_back_as_it_was_saved(card, tmp_path):
    card = replace(card, threshold=0.25, enhance="equalize", channels=1, input_scale=1.0, input_offset=0.0)
    card = replace(card, depth_range=[1000.0, 3000.5])
    save_card(card, tmp_path / "model.json")
    assert load_card(tmp_path) == card


def change(tmp_path, **changes) -> None:
    save_card(CARD, tmp_path / "model.json")
    content = json.loads((tmp_path / "model.json").read_text()) | changes
    (tmp_path / "model.json").write_text(json.dumps(content))


@pytest.mark.parametrize("changes", [{"outputs": {}}, {"labels": []}, {"task": "localization"}, {"colour": "red"}])
def test_a_card_that_contradicts_itself_is_refused(changes, tmp_path):
    change(tmp_path, **changes)
    with pytest.raises(MiradaError, match=r"model\.json is corrupt .*: run the train stage again"):
        load_card(tmp_path)


def test_a_card_from_before_depth_was_told_knows_no_range(tmp_path):
    save_card(CARD, tmp_path / "model.json")
    content = json.loads((tmp_path / "model.json").read_text())
    del content["depth_range"]
    (tmp_path / "model.json").write_text(json.dumps(content))
    assert load_card(tmp_path) == CARD and CARD.depth_range is None


def test_an_older_format_is_named(tmp_path):
    change(tmp_path, format=1)
    with pytest.raises(MiradaError, match=r"model\.json has format 1, expected 3: train the model again\."):
        load_card(tmp_path)


def test_an_unknown_task_is_named(tmp_path):
    change(tmp_path, task="guessing")
    with pytest.raises(MiradaError, match="The task must be one of .*, got 'guessing'"):
        load_card(tmp_path)


def test_a_missing_card_names_the_stage(tmp_path):
    with pytest.raises(MiradaError, match=r"model\.json is missing: run the train stage first"):
        load_card(tmp_path)


@pytest.mark.parametrize(
    "card",
    [
        replace(CARD, labels=["cat"]),
        replace(CARD, outputs={}),
        replace(BOX_CARD, strides=[16]),
        replace(MAP_CARD, strides=[]),
        replace(BOX_CARD, outputs={"classes": ["classes"]}),
        replace(CARD, task="detection"),
        replace(CARD, task="detection", labels=[], outputs={"objectness": [], "distances": []}),
    ],
)
def test_outputs_that_do_not_fit_the_task_are_refused(card):
    with pytest.raises((ValueError, KeyError)):
        check_outputs(card)


@pytest.mark.parametrize("card", [CARD, BOX_CARD, MAP_CARD, replace(MAP_CARD, labels=["cat"])])
def test_outputs_that_fit_pass(card):
    check_outputs(card)
