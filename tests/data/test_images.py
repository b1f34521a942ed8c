import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirada.data import images
from mirada.errors import MiradaError


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_palette_image_gives_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    opened = images.open_image(saved(image, tmp_path / "a.png"))
    assert opened.mode == "RGB"
    assert opened.getpixel((2, 2)) == (200, 100, 50)


def test_transparent_pixels_show_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    opened = images.open_image(saved(image, tmp_path / "a.png"))
    assert [opened.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (255, 0, 0)]


def test_palette_with_a_transparent_entry_shows_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    opened = images.open_image(saved(image, tmp_path / "a.png", transparency=0))
    assert opened.getpixel((0, 0)) == (255, 255, 255)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    assert images.open_image(saved(Image.new("L", (3, 3), 77), tmp_path / "a.png")).getpixel((1, 1)) == (77, 77, 77)


def test_16_bit_grey_keeps_its_upper_8_bits(tmp_path: Path) -> None:
    wide = Image.fromarray(np.array([[0, 255, 256, 65535]], np.uint16))
    opened = images.open_image(saved(wide, tmp_path / "a.png"))
    assert [opened.getpixel((x, 0))[0] for x in range(4)] == [0, 0, 1, 255]


def test_png_bytes_in_a_jpg_are_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (1, 2, 3)).save(buffer, "PNG")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert images.open_image(tmp_path / "a.jpg").getpixel((0, 0)) == (1, 2, 3)


def test_exif_orientation_is_applied_only_when_asked(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(Image.new("RGB", (8, 4)), tmp_path / "a.jpg", exif=exif)
    assert images.open_image(path).size == (8, 4)
    assert images.open_image(path, transpose=True).size == (4, 8)
    assert images.image_size(path) == (8, 4)
    assert images.image_size(path, transpose=True) == (4, 8)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated_image_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    path = saved(Image.fromarray(pixels), tmp_path / f"cut.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MiradaError, match=rf"cut\.{suffix} cannot be decoded .*: save it again or remove it\.$"):
        images.open_image(path)


def test_what_is_no_image_or_absent_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("hello")
    with pytest.raises(MiradaError, match=r"note\.jpg cannot be decoded"):
        images.open_image(tmp_path / "note.jpg")
    with pytest.raises(MiradaError, match=r"none\.jpg is missing"):
        images.open_image(tmp_path / "none.jpg")
    with pytest.raises(MiradaError, match="the image cannot be decoded"):
        images.decode(b"")


def test_float_image_is_refused(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.zeros((4, 4), np.float32)), tmp_path / "a.tiff")
    with pytest.raises(MiradaError, match="floating-point"):
        images.open_image(path)


@pytest.mark.parametrize(("side", "decoded"), [(320, 320), (319, 320), (161, 320), (160, 160), (80, 80)])
def test_reduced_decoding_never_goes_below_the_target(tmp_path: Path, side: int, decoded: int) -> None:
    path = saved(Image.new("RGB", (640, 480)), tmp_path / "a.jpg")
    assert images.open_image(path, reduce_to=side).width == decoded
    assert images.open_image(path).width == 640


def test_reduced_decoding_moves_nothing(tmp_path: Path) -> None:
    """A white square on black lies where the placement says, whatever size the JPEG was decoded at."""
    array = np.zeros((605, 1003, 3), np.uint8)
    array[200:400, 300:600] = 255
    path = saved(Image.fromarray(array), tmp_path / "a.jpg", quality=95)
    pixels, placement = images.load_input(path, 96, "letterbox")
    full, same = images.fit_image(Image.fromarray(array), 96, "letterbox")
    assert placement == same
    assert np.abs(pixels.astype(int) - full).mean() < 2
    x1, y1, x2, y2 = images.boxes_to_input(np.array([[300, 200, 600, 400]]), placement)[0]
    inside = pixels[round(y1) + 2 : round(y2) - 2, round(x1) + 2 : round(x2) - 2]
    assert inside.min() > 230
    assert pixels[round(y1) - 3, round(x1) - 3].max() < 25


def test_letterbox_keeps_the_aspect_and_pads_grey() -> None:
    array, placement = images.fit_image(Image.new("RGB", (200, 100), (255, 0, 0)), 64, "letterbox")
    assert placement == (0.32, 0.32, 0.0, 16.0, 0.0, 0.0)
    assert (array[:16] == 114).all() and (array[48:] == 114).all()
    assert (array[16:48] == (255, 0, 0)).all()


def test_stretch_fills_the_square() -> None:
    array, placement = images.fit_image(Image.new("RGB", (200, 100), (255, 0, 0)), 64, "stretch")
    assert placement == (0.32, 0.64, 0.0, 0.0, 0.0, 0.0)
    assert (array == (255, 0, 0)).all()


def test_zoom_pads_a_small_tile_instead_of_blowing_it_up() -> None:
    array, placement = images.fit_image(Image.new("RGB", (10, 40), (9, 9, 9)), 64, "letterbox", zoom=1.6)
    assert placement == (1.6, 1.6, 24.0, 0.0, 0.0, 0.0)
    assert (array[:, 24:40] == 9).all() and (array[:, :24] == 114).all()


def test_extreme_aspect_keeps_a_pixel() -> None:
    array, _ = images.fit_image(Image.new("RGB", (1000, 1), (255, 255, 255)), 32, "letterbox")
    assert (array == 255).any(axis=(1, 2)).sum() == 1


def test_boxes_go_to_the_input_and_back() -> None:
    placement = (2.0, 3.0, 5.0, 7.0, 10.0, 20.0)
    boxes = np.array([[10.0, 20.0, 11.0, 22.0]])
    assert images.boxes_to_input(boxes, placement).tolist() == [[5.0, 7.0, 7.0, 13.0]]
    assert images.boxes_from_input(images.boxes_to_input(boxes, placement), placement).tolist() == boxes.tolist()
    assert images.boxes_to_input(np.zeros((0, 4)), placement).shape == (0, 4)


def test_png_is_exact_and_jpeg_keeps_colour_at_full_resolution() -> None:
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2, 0] = 255  # red stripes a pixel wide: gone with subsampled colour
    assert (images.decode(images.encode(stripes, "png")) == stripes).all()
    decoded = images.decode(images.encode(stripes, "jpeg", 95)).astype(int)
    assert np.abs(decoded - stripes).max() < 20


def test_grey_channel_holds_the_luma_of_the_colours(tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (8, 4), (200, 100, 50)), tmp_path / "a.png")
    array, _ = images.load_input(path, 32, "stretch", channels=1)
    assert array.shape == (32, 32, 1)
    assert set(array.ravel().tolist()) == {124}  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2


def test_grey_of_a_palette_is_that_of_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert images.open_image(saved(image, tmp_path / "a.png"), channels=1).getpixel((0, 0)) == 124


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("encoding", ["png", "jpeg"])
def test_encoded_images_keep_their_channels(encoding: str, channels: int) -> None:
    array = np.full((16, 8, channels), 60, np.uint8)
    data = images.encode(array, encoding)
    assert (images.decode(data, channels) == array).all()
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == ("L" if channels == 1 else "RGB")


def test_equalizing_spreads_the_ranks_of_grey_from_0_to_255(tmp_path: Path) -> None:
    """Three shades in equal numbers, however close, become black, mid-grey and white; the padding stays."""
    pixels = np.repeat(np.array([100, 101, 140], np.uint8), 32)[:, None].repeat(48, 1)
    path = saved(Image.fromarray(pixels), tmp_path / "a.png")
    array, placement = images.load_input(path, 96, "letterbox", channels=1, enhance="equalize")
    assert placement[2:4] == (24.0, 0.0)
    assert [array[y, 48, 0] for y in (5, 48, 90)] == [0, 128, 255]
    assert (array[:, :24] == images.GREY).all() and (array[:, 72:] == images.GREY).all()


def test_equalizing_keeps_an_image_of_one_brightness() -> None:
    image = Image.new("L", (8, 8), 90)
    assert images.equalize(image).getextrema() == (90, 90)


def test_equalizing_colours_spreads_their_luma() -> None:
    image = Image.new("RGB", (2, 1), (90, 90, 90))
    image.putpixel((1, 0), (110, 110, 110))
    assert [images.equalize(image).getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), (255, 255, 255)]
