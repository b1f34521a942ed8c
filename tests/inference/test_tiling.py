import numpy as np
import pytest
from PIL import Image

from mirada.data.images import fit_image
from mirada.data.tiles import Region
from mirada.errors import MiradaError
from mirada.inference.card import Card
from mirada.inference.tiling import Tile, TileCutter, Viewing, count_tiles, own_zone, plan_tiles, seen_better


def card(tile_size: int = 160, task: str = "detection") -> Card:
    return Card(task, ["tree"], 320, 3, "letterbox", [8], {"objectness": ["o"], "distances": ["d"]}, "t", "0", {},
                tile_size=tile_size)  # fmt: skip


def test_a_photograph_is_cut_as_the_card_says_with_neighbours_that_share_half() -> None:
    tiles = plan_tiles(card(), Viewing(), 400, 160)
    assert [tile.region for tile in tiles] == [Region(x, 0, x + 160, 160) for x in (0, 80, 160, 240)]
    assert {(tile.zoom, tile.shared) for tile in tiles} == {(2.0, 80)}


def test_what_was_trained_on_whole_images_looks_at_whole_ones() -> None:
    assert plan_tiles(card(0), Viewing(), 4000, 3000) == []
    assert plan_tiles(card(), Viewing("whole"), 4000, 3000) == []
    assert len(plan_tiles(card(0), Viewing(tile=2000, overlap=0.0), 4000, 2000)) == 2


def test_at_twice_the_size_tiles_are_half_as_large() -> None:
    tiles = plan_tiles(card(), Viewing(scales=(1.0, 2.0), overlap=0.0), 160, 160)
    assert [(tile.region.width, tile.zoom) for tile in tiles] == [(160, 2.0)] + [(80, 4.0)] * 4


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"view": "tile"}, "view must be one of auto, whole, tiles, got 'tile'"),
        ({"tile": 8}, "tile must be at least 16 pixels of the photograph, got 8"),
        ({"overlap": 0.9}, "overlap must be from 0 to 0.8 of a tile's side, got 0.9"),
        ({"scales": ()}, "scales must hold one size above 0 at least"),
    ],
)
def test_a_view_that_makes_no_sense_is_refused(asked: dict, sentence: str) -> None:
    with pytest.raises(MiradaError, match=sentence):
        Viewing(**asked)


def test_tiles_of_unknown_size_and_tiles_for_a_label_are_refused() -> None:
    with pytest.raises(MiradaError, match="view=tiles needs tile="):
        plan_tiles(card(0), Viewing("tiles"), 400, 400)
    with pytest.raises(MiradaError, match="classification has no use for: use view=whole"):
        plan_tiles(card(task="classification"), Viewing("tiles"), 400, 400)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(90, 160, (height, width, 3)).astype(np.uint8))


@pytest.mark.parametrize(("side", "size"), [(40, 80), (50, 80), (100, 80)])
def test_a_tile_holds_the_pixels_of_its_region_scaled_alone(side: int, size: int) -> None:
    """Whether strips are enlarged once or tiles one by one.

    A kernel sees beyond the border, so only the inside is alike; Pillow scales a strip's rows and columns in another order
    than a square's and rounds between the two.
    """
    image = noise(137, 163)
    plan = plan_tiles(card(side), Viewing(), *image.size)
    zoom = size / side
    cutter = TileCutter(image, size, "none")
    for tile in (Tile(tile.region, zoom, tile.shared) for tile in plan):
        region = tile.region
        pixels, placement = cutter.cut(tile)
        alone, expected = fit_image(
            image.crop((region.x1, region.y1, region.x2, region.y2)), size, "letterbox", zoom=zoom
        )
        assert pixels.shape == (size, size, 3)
        assert placement == (*expected[:4], region.x1, region.y1)
        inside = slice(8, -8)
        np.testing.assert_allclose(pixels[inside, inside].astype(int), alone[inside, inside].astype(int), atol=1)


def test_a_photograph_smaller_than_a_tile_is_padded_at_the_trained_scale() -> None:
    (tile,) = plan_tiles(card(), Viewing(), 100, 60)
    pixels, placement = TileCutter(noise(100, 60), 320, "none").cut(tile)
    assert placement == (2.0, 2.0, 60.0, 100.0, 0.0, 0.0)
    assert (pixels[:100] == 114).all() and (pixels[:, :60] == 114).all()


def test_boxes_that_the_next_tile_sees_better_are_told_from_those_that_it_does_not() -> None:
    tile = Tile(Region(80, 0, 240, 160), 2.0, 80)
    boxes = np.array(
        [
            [200, 20, 240, 60],  # ends at the right border, and the next tile begins left of it
            [150, 20, 240, 60],  # as well, but begins left of the next tile: nobody may see it whole
            [80, 20, 100, 60],  # at the left border
            [100, 0, 120, 30],  # at the photograph's own border
            [120, 40, 150, 70],
        ],
        np.float32,
    )
    assert seen_better(boxes, tile, 400, 160).tolist() == [True, False, True, False, False]


def test_a_tile_speaks_for_its_middle_and_for_the_photographs_borders() -> None:
    left, middle = Tile(Region(0, 0, 160, 160), 2.0, 80), Tile(Region(80, 0, 240, 160), 2.0, 80)
    # Of the 80 shared pixels half belong to each, and an eighth beyond: 30 pixels, 60 of the input, are the neighbour's.
    assert own_zone(left, 400, 160, 320) == (0.0, 0.0, 260.0, 320.0)
    assert own_zone(middle, 400, 160, 320) == (60.0, 0.0, 260.0, 320.0)
    assert own_zone(Tile(Region(0, 0, 100, 60), 2.0, 80), 100, 60, 320) == (0.0, 0.0, 320.0, 320.0)


@pytest.mark.parametrize(
    "viewing",
    [Viewing(), Viewing("tiles", 96, 0.8), Viewing(tile=100, overlap=0.0), Viewing(scales=(1, 2.5)), Viewing("whole")],
)
@pytest.mark.parametrize("size", [(20, 30), (64, 64), (65, 64), (500, 333)])
def test_tiles_are_counted_without_being_made(viewing: Viewing, size: tuple[int, int]) -> None:
    assert count_tiles(card(64), viewing, *size) == len(plan_tiles(card(64), viewing, *size))
