"""What pixels tell."""

from __future__ import annotations

from typing import Any

import pytest

from mirada.inspection.checks.pixels import find_brightness, find_constant, find_grey, find_shapes
from mirada.inspection.looking import Seen
from mirada.inspection.survey import Survey
from tests.inspection.surveys import box, image, seen, survey


def data(looks: dict[str, Seen], usual: int = 30, **config: Any) -> Survey:
    """Some usual images, of brightness 100 to 109, and others."""
    images = [image(f"{n}.jpg", box(0, 0, 50, 50)) for n in range(usual)] + [image(name) for name in looks]
    even = {f"{n}.jpg": seen(str(n), mean=(100.0 + n % 10,) * 3) for n in range(usual)}
    return survey(*images, looks=even | looks, **config)


def test_images_without_a_picture() -> None:
    [finding] = find_constant(data({"flat.jpg": seen(low=99.0, high=102.9), "faint.jpg": seen(low=99.0, high=103.0)}))
    assert finding.count == 1 and [example.source for example in finding.examples] == ["flat.jpg"]


def test_dark_bright_and_outlying_images() -> None:
    made = data(
        {
            "night.jpg": seen(low=0.0, high=39.0, mean=(10.0,) * 3),
            "snow.jpg": seen(low=216.0, high=255.0, mean=(240.0,) * 3),
            "dusk.jpg": seen(mean=(50.0,) * 3),  # 54.5 below the median: more than 4.5 times the least spread of 8
            "dim.jpg": seen(mean=(75.0,) * 3),
        }
    )
    found = {finding.id: [example.source for example in finding.examples] for finding in find_brightness(made)}
    assert found == {"image_dark": ["night.jpg"], "image_bright": ["snow.jpg"], "brightness_outlier": ["dusk.jpg"]}
    assert find_brightness(data({})) == []


@pytest.mark.parametrize(
    ("usual", "channels", "expected"), [(0, 3, "all_grey"), (0, 1, None), (3, 3, "some_grey"), (3, 1, None)]
)
def test_grey_images_kept_as_colour(usual: int, channels: int, expected: str | None) -> None:
    findings = find_grey(
        data({"x.jpg": seen(colour=1.0), "y.png": seen(colour=0.0, mode="L")}, usual, channels=channels)
    )
    assert [finding.id for finding in findings] == ([expected] if expected else [])
    if expected == "all_grey":
        assert findings[0].mend == "channels=1" and "1 of them is stored in colour" in findings[0].sentence


def test_long_small_and_mixed_images() -> None:
    strips = survey(*(image(f"{n}.jpg", size=(1000, 200)) for n in range(3)))
    [long] = find_shapes(strips)
    assert (long.id, long.count) == ("aspect_long", 3) and "80 % of the network's input" in long.sentence
    assert find_shapes(survey(*(image(f"{n}.jpg", size=(1000, 200)) for n in range(3)), fit="stretch")) == []
    [small] = find_shapes(survey(*(image(f"{n}.jpg", size=(150, 140)) for n in range(3))))
    assert (small.id, small.severity, small.mend) == ("image_small", "warning", "input_size=160")
    sizes = [(400, 400)] * 10 + [(1700, 1700)] * 10
    [mixed] = find_shapes(survey(*(image(f"{n}.jpg", size=size) for n, size in enumerate(sizes))))
    assert mixed.id == "sizes_mixed" and "below 400 pixels" in mixed.sentence and "above 1700" in mixed.sentence
