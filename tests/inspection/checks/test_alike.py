"""Images that show the same thing, by their hashes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageOps

from mirada.data.alike.hashes import hashes_of
from mirada.inspection.checks.alike import find_alike
from tests.inspection.surveys import image, seen, survey


def photograph(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
        (320, 240), Image.Resampling.BICUBIC
    )


def test_a_flipped_image_in_the_test_and_a_darker_one_in_train() -> None:
    pictures = {
        "a.jpg": photograph(1),
        "b.jpg": ImageOps.mirror(photograph(1)),
        "c.jpg": photograph(2),
        "e.jpg": photograph(3),
    }
    pictures["d.jpg"] = pictures["c.jpg"].point(lambda value: value * 0.7)
    looks = {name: replace(seen(name), hashes=hashes_of(picture)) for name, picture in pictures.items()}
    splits = dict.fromkeys(pictures, "train") | {"b.jpg": "test"}
    across, inside = find_alike(survey(*(image(name) for name in pictures), looks=looks, splits=splits))
    assert (across.id, across.severity, across.count) == ("alike_across_splits", "error", 1)
    assert [example.source for example in across.examples] == ["a.jpg", "b.jpg"]
    assert (inside.id, inside.severity, inside.count) == ("alike", "note", 1) and "1 brightness" in inside.sentence
    assert [example.source for example in inside.examples] == ["c.jpg", "d.jpg"]


def test_copies_of_the_same_bytes_are_told_by_another_check() -> None:
    looks = {name: replace(seen("same"), hashes=hashes_of(photograph(1))) for name in ("a.jpg", "b.jpg")}
    assert find_alike(survey(image("a.jpg"), image("b.jpg"), looks=looks, splits=dict.fromkeys(looks, "train"))) == []
