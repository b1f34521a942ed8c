import numpy as np
import pytest
from PIL import Image

from mirada.data.images import equalize, fit_image
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


def test_bounds_of_a_view_are_in_it() -> None:
    assert Viewing(tile=16, overlap=0.8).overlap == 0.8
    with pytest.raises(MiradaError, match=r"^scales must hold one size above 0 at least, got \[1.0, 0.0\]\.$"):
        Viewing(scales=(1.0, 0.0))
    with pytest.raises(MiradaError) as caught:
        plan_tiles(card(0), Viewing("tiles"), 400, 400)
    assert str(caught.value) == (
        "view=tiles needs tile=<pixels of a photograph>: the model was trained on whole images, so its card names none."
    )


def test_a_tile_has_a_pixel_at_least() -> None:
    viewing = Viewing(tile=16, scales=(40.0,))
    tiles = plan_tiles(card(), viewing, 3, 1)
    assert [(tile.region, tile.zoom, tile.shared) for tile in tiles] == [
        (Region(x, 0, x + 1, 1), 320.0, 0) for x in range(3)
    ]
    assert count_tiles(card(), viewing, 3, 1) == 3


def enlarged(image: Image.Image, top: int, bottom: int, zoom: int) -> np.ndarray:
    size = image.width * zoom, (bottom - top) * zoom
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC, box=(0, top, image.width, bottom)))


def test_tiles_are_cut_from_strips_of_which_the_next_row_keeps_what_it_shares() -> None:
    image = noise(60, 100)
    cutter = TileCutter(image, 80, "none")

    def cut(x: int, y: int, side: int = 40) -> np.ndarray:
        pixels, placement = cutter.cut(Tile(Region(x, y, x + side, y + side), 80 / side, 20))
        assert pixels.dtype == np.uint8 and placement == (80 / side, 80 / side, 0.0, 0.0, x, y)
        return pixels

    first = enlarged(image, 0, 40, 2)
    one, next_one = cut(0, 0), cut(20, 0)
    np.testing.assert_array_equal(one, first[:, :80])
    np.testing.assert_array_equal(next_one, first[:, 40:])
    assert np.shares_memory(one, next_one)
    second = np.concatenate([first[40:], enlarged(image, 40, 60, 2)])
    np.testing.assert_array_equal(cut(20, 20), second[:, 40:])
    # A row that shares nothing with the last one, above or below it, is enlarged by itself, and so is another scale.
    np.testing.assert_array_equal(cut(0, 60), enlarged(image, 60, 100, 2)[:, :80])
    np.testing.assert_array_equal(cut(0, 0), first[:, :80])
    np.testing.assert_array_equal(cut(20, 20, side=20), enlarged(image, 20, 40, 4)[:, 80:160])


@pytest.mark.parametrize("enhance", ["none", "equalize"])
def test_a_tile_that_the_photograph_does_not_fill_is_padded_like_its_part(enhance: str) -> None:
    image = noise(400, 60)
    tile = Tile(Region(80, 0, 240, 60), 2.0, 80)
    pixels, placement = TileCutter(image, 320, enhance).cut(tile)
    alone, expected = fit_image(image.crop((80, 0, 240, 60)), 320, "letterbox", enhance=enhance, zoom=2.0)
    np.testing.assert_array_equal(pixels, alone)
    assert placement == (*expected[:4], 80, 0) and expected[3] == 100
    pixels, placement = TileCutter(noise(60, 400), 320, enhance).cut(Tile(Region(0, 80, 60, 240), 2.0, 80))
    assert placement == (2.0, 2.0, 100.0, 0.0, 0.0, 80.0) and (pixels[:, :100] == 114).all()


def test_each_tile_is_equalized_by_itself() -> None:
    image = noise(200, 200)
    pixels, _ = TileCutter(image, 80, "equalize").cut(Tile(Region(40, 60, 80, 100), 2.0, 20))
    scaled = image.resize((80, 80), Image.Resampling.BICUBIC, box=(40, 60, 80, 100))
    np.testing.assert_array_equal(pixels, np.asarray(equalize(scaled)))
    assert (pixels != np.asarray(scaled)).any()


def test_a_tile_speaks_for_what_no_neighbour_sees_better_down_and_across() -> None:
    above, middle = Tile(Region(0, 0, 160, 160), 2.0, 80), Tile(Region(0, 80, 160, 240), 2.0, 80)
    assert own_zone(above, 160, 400, 320) == (0.0, 0.0, 320.0, 260.0)
    assert own_zone(middle, 160, 400, 320) == (0.0, 60.0, 320.0, 260.0)
    # Of 100 by 60 pixels, enlarged to 200 by 120 and padded by 60 and 100 on either side.
    assert own_zone(Tile(Region(0, 0, 100, 60), 2.0, 80), 400, 400, 320) == (0.0, 0.0, 200.0, 160.0)


@pytest.mark.parametrize(
    ("start", "end", "size", "better"),
    [
        (160.0, 239.0, 400, True),  # a pixel before the border, and it begins where the next tile does
        (160.0, 238.9, 400, False),
        (159.9, 239.0, 400, False),
        (160.0, 239.0, 240, False),  # there is no next tile
        (81.0, 160.0, 400, True),
        (81.1, 160.0, 400, False),
        (81.0, 160.1, 400, False),
    ],
)
def test_a_box_at_a_seam_is_left_to_the_neighbour_from_all_sides(
    start: float, end: float, size: int, better: bool
) -> None:
    tile = Tile(Region(80, 80, 240, 240), 2.0, 80)
    across, down = [start, 120, end, 150], [120, start, 150, end]
    assert seen_better(np.array([across, down]), tile, size, size).tolist() == [better] * 2


def test_a_tile_at_the_first_pixel_has_no_neighbour_before_it_and_one_at_the_second_has() -> None:
    boxes = np.array([[0, 30, 20, 50], [30, 0, 50, 20]])
    for at, better in ((0, False), (1, True)):
        tile = Tile(Region(at, at, at + 100, at + 100), 2.0, 50)
        assert seen_better(boxes + at, tile, 300, 300).tolist() == [better] * 2
