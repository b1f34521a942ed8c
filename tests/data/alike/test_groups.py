import re
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from mirada.data.alike.groups import Group, Tie, alike
from mirada.data.alike.hashes import Hashes, hashes_of
from tests.data.alike.photographs import as_jpeg, photograph

OTHERS = {f"other{number}.jpg": photograph(100 + number) for number in range(20)}
REAL = Path(__file__).resolve().parents[4] / "shared/data/chest_xray_224.tar"  # beside the project, where there is one


def group(images: dict[str, Image.Image], **keys: bool) -> list[Group]:
    return alike({name: hashes_of(image) for name, image in {**OTHERS, **images}.items()}, **keys)


@pytest.mark.parametrize(
    ("edit", "reason", "detail"),
    [
        (lambda image: image.copy(), "copy", ""),
        (lambda image: as_jpeg(image, 40), "coded_anew", ""),
        (lambda image: as_jpeg(image.resize((150, 150)), 80), "resized", ""),
        (lambda image: ImageEnhance.Brightness(image).enhance(1.3), "brightness", "brighter"),
        (lambda image: as_jpeg(ImageEnhance.Brightness(image).enhance(0.6), 80), "brightness", "darker"),
        (
            lambda image: as_jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 80),
            "turned",
            "flipped left to right",
        ),
        (lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM), "turned", "flipped upside down"),
        (lambda image: image.transpose(Image.Transpose.ROTATE_180), "turned", "turned by 180°"),
        (lambda image: image.transpose(Image.Transpose.ROTATE_270), "turned", "turned by 90° to the right"),
        (lambda image: image.transpose(Image.Transpose.ROTATE_90), "turned", "turned by 90° to the left"),
    ],
)
def test_an_edited_photograph_is_alike_with_its_reason(edit, reason: str, detail: str) -> None:
    image = photograph(0)
    (found,) = group({"a.jpg": image, "b.jpg": edit(image)})
    assert found.images == ("a.jpg", "b.jpg")
    (tie,) = found.ties
    assert (tie.first, tie.second, tie.reason, tie.detail) == ("a.jpg", "b.jpg", reason, detail)
    assert 0.85 < tie.likeness <= 1


def test_a_crop_is_alike_and_said_to_be_of_which_part() -> None:
    image = photograph(0, (400, 400))
    crop = image.crop((40, 0, 380, 340))
    (found,) = group({"whole.jpg": image, "crop.jpg": as_jpeg(crop, 80)})
    (tie,) = found.ties
    assert (tie.first, tie.second, tie.reason) == ("whole.jpg", "crop.jpg", "crop")
    shares = [int(share) for share in re.findall(r"\d+", tie.detail)]
    assert all(abs(share - true) <= 2 for share, true in zip(shares, (10, 95, 0, 85), strict=True))
    assert group({"whole.jpg": image, "crop.jpg": crop}, by_crop=False) == []
    flipped = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert "flipped" in group({"whole.jpg": image, "crop.jpg": flipped})[0].ties[0].detail


def test_photographs_of_different_things_are_not_alike_nor_are_blank_ones_of_two_greys() -> None:
    assert group({}) == []
    blank = {f"{grey}.png": Image.new("L", (100, 80), grey) for grey in (0, 90, 255)}
    assert group(blank) == []
    assert [found.images for found in group(blank | {"b.png": Image.new("L", (100, 80), 90)})] == [("90.png", "b.png")]


def test_what_is_alike_by_way_of_another_is_one_group_with_a_tie_less_than_images() -> None:
    image = photograph(0)
    darker = ImageEnhance.Brightness(image).enhance(0.7)
    (found,) = group({"a.jpg": image, "b.jpg": image.copy(), "c.jpg": darker, "d.jpg": as_jpeg(darker, 50)})
    assert found.images == ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert len(found.ties) == 3


def test_names_tell_of_an_original_and_of_a_scene() -> None:
    digest = "22e3b1a3dcde3ddeec431595634ca3b9"
    names = [f"train/x_jpg.rf.{digest}.jpg", f"train/x_jpg.rf.{digest[::-1]}.jpg"]
    images = {name: photograph(number) for number, name in enumerate(names)}
    images |= {"park_frame1.jpg": photograph(7), "park_frame2.jpg": photograph(8)}
    found = {one.images: one.ties for one in group(images)}
    assert found.keys() == {("park_frame1.jpg", "park_frame2.jpg"), tuple(names)}
    assert found[tuple(names)] == (Tie(*names, "original", 1.0, "x_jpg"),)
    assert [tie.reason for tie in found["park_frame1.jpg", "park_frame2.jpg"]] == ["scene"]
    assert group(images, by_name=False) == []


def test_photographs_that_follow_one_another_are_of_one_scene_if_they_look_like_it() -> None:
    background = photograph(0)
    scene = [background.copy(), background.copy()]
    scene[1].paste(photograph(50).resize((110, 80)), (40, 60))
    named = {"IMG_7.jpg": scene[0], "IMG_8.jpg": scene[1], "IMG_9.jpg": photograph(60)}
    (found,) = group(named)
    assert found.images == ("IMG_7.jpg", "IMG_8.jpg")
    assert found.ties[0].reason == "scene"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=12))
def test_groups_are_the_photographs_that_the_images_were_made_from(made: list[tuple[int, int]]) -> None:
    edits = [
        lambda image: image,
        lambda image: as_jpeg(image, 60),
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    ]
    names: dict[int, list[str]] = {}
    hashes: dict[str, Hashes] = {}
    for number, (seed, edit) in enumerate(made):
        names.setdefault(seed, []).append(f"{number:02}-x.jpg")
        hashes[names[seed][-1]] = hashes_of(edits[edit](photograph(seed)))
    expected = sorted(tuple(sorted(one)) for one in names.values() if len(one) > 1)
    assert sorted(found.images for found in alike(hashes)) == expected


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_file(), reason="the X-rays are not on this machine")
def test_the_chest_x_rays_hold_32_copies_none_across_the_split() -> None:
    hashes = {}
    with tarfile.open(REAL) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".jpeg"):
                content = archive.extractfile(member)
                assert content is not None
                with Image.open(content) as image:
                    hashes[member.name] = hashes_of(image)
    ties = [tie for found in alike(hashes, by_name=False, by_crop=False) for tie in found.ties]
    assert [tie.reason for tie in ties] == ["copy"] * 32
    splits = [{name.split("train/")[0] == name for name in (tie.first, tie.second)} for tie in ties]
    assert all(len(sides) == 1 for sides in splits)


@pytest.mark.parametrize(("dx", "dy"), [(60, 0), (40, 40), (-50, 30)])
def test_views_of_one_thing_that_are_shifted_overlap(dx: int, dy: int) -> None:
    scene = photograph(0, (600, 600))
    views = {"a.jpg": scene.crop((100, 100, 500, 500)), "b.jpg": scene.crop((100 + dx, 100 + dy, 500 + dx, 500 + dy))}
    (found,) = group(views)
    (tie,) = found.ties
    assert (found.images, tie.reason) == (("a.jpg", "b.jpg"), "overlap")
    shift = [int(share) for share in re.findall(r"-?\d+", tie.detail)]
    assert all(abs(share - 100 * true / 400) <= 3 for share, true in zip(shift, (dx, dy), strict=True))
