"""What names tell, and only where looks confirm it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from mirada.inspection.checks.names import (
    ORIGINAL,
    SCENES,
    find_copies,
    find_originals,
    find_scenes,
    group_by,
    group_key,
)
from mirada.inspection.survey import Survey
from tests.inspection.surveys import box, image, seen, survey

ONE = box(0, 0, 10, 10)


def films(*, alike: bool, test: str) -> Survey:
    """Three films of four frames; frames of a film look alike, or all differ."""
    rng = np.random.default_rng(0)
    looks, splits = {}, {}
    for film in ("park", "road", "roof"):
        base = rng.integers(0, 256, (32, 32), dtype=np.uint8)
        for frame in range(4):
            source = f"x/{film}_{frame:04d}.jpg"
            picture = base ^ np.uint8(frame) if alike else rng.integers(0, 256, (32, 32), dtype=np.uint8)
            looks[source] = seen(digest=source, thumbnail=picture)
            splits[source] = "test" if re.search(test, source) else "train"
    return survey(*(image(source, ONE) for source in looks), looks=looks, splits=splits)


def test_frames_of_a_scene_on_both_sides() -> None:
    [finding] = find_scenes(films(alike=True, test="0003"))
    assert (finding.id, finding.severity, finding.count) == ("scenes_across_splits", "error", 3)
    assert [example.note for example in finding.examples[:2]] == ["train", "test"]
    assert finding.mend == r""""data.split.group='^.*\D(?=\d+\.\w+$)'""" + '"'


def test_scenes_that_are_kept_together_are_a_note() -> None:
    [finding] = find_scenes(films(alike=True, test="park"))
    assert (finding.id, finding.severity, finding.count) == ("scenes", "note", 3)


def test_numbers_of_photographs_that_do_not_look_alike_are_no_scene() -> None:
    assert find_scenes(films(alike=False, test="0003")) == []


def test_the_name_of_a_class_is_no_scene() -> None:
    made = films(alike=True, test="0003")
    made.classes = ["park", "road", "roof"]
    assert find_scenes(made) == []


@pytest.mark.parametrize(
    ("name", "pattern", "key"),
    [
        ("a/img_7_jpg.rf.0a1b.jpg", ORIGINAL, "img_7_jpg"),
        ("a/clip 2_frame_0012.png", SCENES["frames"], "clip 2_frame_"),
        ("a/site3_512_1024.png", SCENES["tiles"], "site3_"),
        ("a/000123.jpg", SCENES["frames"], None),
        ("a/plain.jpg", ORIGINAL, None),
    ],
)
def test_keys_of_groups(name: str, pattern: str, key: str | None) -> None:
    assert group_by([name], pattern) == ({key: [name]} if key else {})


@pytest.mark.parametrize("pattern", [ORIGINAL, *SCENES.values()])
def test_the_command_line_takes_the_pattern_as_it_is(pattern: str) -> None:
    written = group_key(pattern).strip('"')  # the shell takes the outer quotes off
    assert OverridesParser.create().parse_override(written).value() == pattern


def test_augmented_originals() -> None:
    names = ["a_jpg.rf.1.jpg", "a_jpg.rf.2.jpg", "b_jpg.rf.3.jpg", "b_jpg.rf.4.jpg", "c_jpg.rf.5.jpg"]
    images = [image(name, ONE) for name in names]
    [inside] = find_originals(survey(*images, splits=dict.fromkeys(names, "train")))
    assert (inside.id, inside.severity, inside.count) == ("originals", "note", 2)
    [across] = find_originals(survey(*images, splits=dict.fromkeys(names, "train") | {names[1]: "test"}))
    assert (across.id, across.severity, across.count) == ("originals_across_splits", "error", 1)
    assert {example.source for example in across.examples} == {names[0], names[1]}


def test_copies_inside_and_across_splits() -> None:
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    looks = {name: seen(digest) for name, digest in zip(names, ["1", "1", "2", "2", "3"], strict=True)}
    splits = dict.fromkeys(names, "train") | {"b.jpg": "test"}
    across, inside = find_copies(survey(*(image(name, ONE) for name in names), looks=looks, splits=splits))
    assert (across.id, across.count, across.severity) == ("copies_across_splits", 2, "warning")
    assert (inside.id, inside.count, inside.severity) == ("copies", 1, "note")
