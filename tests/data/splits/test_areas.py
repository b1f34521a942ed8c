import numpy as np

from mirada.config import SplitConfig
from mirada.data.records import Box
from mirada.data.splits.areas import by_area
from mirada.data.tiles import Region, boxes_in, grid, hidden_in


def test_area_puts_no_pixel_on_two_sides() -> None:
    config = SplitConfig(kind="area", val=0.1, test=0.3)
    owners = np.zeros((120, 1000), int)
    regions = by_area(1000, 120, config, tile_size=100)
    assert regions == {
        "train": Region(0, 0, 600, 120),
        "val": Region(600, 0, 700, 120),
        "test": Region(700, 0, 1000, 120),
    }
    for number, (split, region) in enumerate(regions.items()):
        for tile in grid(region, 100, 0.25 if split == "train" else None):
            owners[tile.y1 : tile.y2, tile.x1 : tile.x2] |= 1 << number
    assert set(np.unique(owners)) == {1, 2, 4}  # each pixel in exactly one split, none left out


def test_area_gives_train_a_strip_narrower_than_half_a_tile() -> None:
    config = SplitConfig(kind="area", val=0.1, test=0.3)
    regions = by_area(400, 400, config, tile_size=208)
    assert regions == {"train": Region(0, 0, 280, 400), "test": Region(280, 0, 400, 400)}


def test_train_tiles_overlap_and_the_last_one_ends_at_the_border() -> None:
    tiles = grid(Region(10, 0, 310, 50), 100, 0.25)
    assert [(tile.x1, tile.x2) for tile in tiles] == [(10, 110), (85, 185), (160, 260), (210, 310)]
    assert {(tile.y1, tile.y2) for tile in tiles} == {(0, 50)}


def test_judged_tiles_cover_each_pixel_once() -> None:
    seen = np.zeros((250, 330), int)
    for tile in grid(Region(0, 0, 330, 250), 100, None):
        assert tile.width <= 100 and tile.height <= 100
        seen[tile.y1 : tile.y2, tile.x1 : tile.x2] += 1
    assert (seen == 1).all()


def test_boxes_are_clipped_and_little_visible_ones_ignored() -> None:
    boxes = [
        Box(90, 0, 110, 10, "half"),
        Box(95, 0, 125, 10, "sixth", occluded=False),
        Box(0, 0, 5, 5, "hard", difficult=True, truncated=True, occluded=True),
        Box(100, 0, 120, 10, "out", occluded=True),
    ]
    found, labels, ignore = boxes_in(Region(0, 0, 100, 100), boxes, 0.4)
    assert labels == ["half", "sixth", "hard"]
    assert found.tolist() == [[90, 0, 100, 10], [95, 0, 100, 10], [0, 0, 5, 5]]
    assert ignore.tolist() == [False, True, True]
    hidden = hidden_in(Region(0, 0, 100, 100), boxes, ["occluded"])  # "half" is cut off here, not in the photograph
    assert {name: said.tolist() for name, said in hidden.items()} == {"occluded": [-1, 0, 1]}
    nothing = boxes_in(Region(0, 0, 9, 9), [], 0.4)
    assert nothing[0].shape == (0, 4) and nothing[2].shape == (0,)


def test_a_strip_of_half_a_tile_is_kept_and_train_may_be_a_pixel_or_nothing() -> None:
    half = SplitConfig(kind="area", val=0.1, test=0.2)
    assert by_area(1000, 9, half, 200)["val"] == Region(700, 0, 800, 9)
    assert by_area(100, 9, SplitConfig(kind="area", val=0.0, test=0.4), 100) == {"train": Region(0, 0, 100, 9)}
    assert by_area(10, 9, half, 2)["val"] == Region(7, 0, 8, 9)
    assert by_area(4, 9, SplitConfig(kind="area", val=0.5, test=0.25), 2)["train"] == Region(0, 0, 1, 9)
    assert by_area(4, 9, SplitConfig(kind="area", val=0.5, test=0.5), 2).keys() == {"val", "test"}
