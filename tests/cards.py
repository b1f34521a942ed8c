"""Cards of models that are not there, for tests of what a card says."""

from dataclasses import replace

from mirada.inference.card import Card

CARD = Card("classification", ["cat", "dog"], 32, 3, "stretch", [], {"classes": ["classes"]}, "drawn", "0", {})
BOX_CARD = replace(CARD, task="localization", outputs={"classes": ["classes"], "box": ["box"]})
MAP_CARD = replace(
    BOX_CARD,
    strides=[16],
    outputs={"classes": ["classes_16"], "scores": ["scores_16"], "distances": ["distances_16"]},
)
