"""From any image file to a network's input, and back: the one place that does it, for training and for serving.

Box coordinates are those of the image as displayed, at its full size, whatever size it was decoded at.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mirada.data.pixels.depth import Deep, choose_range, is_deep, is_deep_grey, is_inverted, read_deep, to_8_bits
from mirada.data.pixels.opening import UNREADABLE, open_picture
from mirada.errors import MiradaError

GREY = 114  # of the letterbox's padding
Placement = tuple[float, float, float, float, float, float]


def brightness(pixels: np.ndarray) -> float:
    """Mean, 0 to 255, of every eighth pixel across and down of an input of the network: near enough, and no work."""
    return float(pixels[::8, ::8].mean())


def open_image(
    source: Path | bytes,
    transpose: bool = False,
    *,
    channels: int = 3,
    reduce_to: int | None = None,
    depth_range: Sequence[float] | None = None,
) -> Image.Image:
    """Decode an image to RGB or grey.

    Transparent pixels show white, as on the page of an annotation tool. An image of more than 8 bits is scaled by
    `depth_range` and never by its own values, so that equal pixels stay equal in every image; one of 8 bits is taken as it
    is. Of an animation it is the first frame.

    Args:
        source: a file, or the bytes of one.
        transpose: turn the image as its EXIF orientation says.
        channels: 3 for RGB, 1 for grey (ITU-R 601-2 luma of the RGB image).
        reduce_to: the side in pixels that the longer side is to be scaled to later. A JPEG at least twice as big is
            decoded at 1/2, 1/4 or 1/8 of its size, never below `reduce_to`: a good deal faster.
        depth_range: values of a deep image that become 0 and 255, as the data set and the card have it; see
            `pixels.depth.to_8_bits`.

    Raises:
        MiradaError: the source is absent, cut short, or no image that can be decoded.
    """
    name = str(source) if isinstance(source, Path) else "the image"
    try:
        with open_picture(source) as image:
            if reduce_to is not None and image.format in ("JPEG", "MPO"):
                shrink = reduce_to / max(image.size)
                image.draft(None, (int(np.ceil(image.width * shrink)), int(np.ceil(image.height * shrink))))
            if is_deep_grey(image) or (depth_range is not None and is_deep(image)):
                upright = to_8_bits(read_deep(source, transpose), depth_range, name)
            else:
                image.load()
                upright = ImageOps.exif_transpose(image) if transpose else image
            return _to_mode(upright, "L" if channels == 1 else "RGB")
    except FileNotFoundError as error:
        raise MiradaError(f"{name} is missing: put it back or take it out of the data set.") from error
    except UNREADABLE as error:
        raise MiradaError(f"{name} cannot be decoded ({error}): save it again or remove it.") from error


def open_alone(source: Path | bytes, transpose: bool = False, *, reduce_to: int | None = None) -> Image.Image:
    """An image to be looked at by itself, before the range of its data set is known: a deep one is scaled by its own values.

    Args:
        source, transpose, reduce_to: as of `open_image`.

    Raises:
        MiradaError: as `open_image`.
    """
    own_range = None
    with suppress(*UNREADABLE):  # for which open_image has a sentence
        with open_picture(source) as image:
            deep = is_deep(image)
        if deep:
            values = read_deep(source, transpose=False).values
            own_range = choose_range([values[np.isfinite(values)]])
    return open_image(source, transpose, reduce_to=reduce_to, depth_range=own_range)


def to_mode(image: Image.Image, channels: int, depth_range: Sequence[float] | None = None) -> Image.Image:
    """An image that is open already in RGB (3 channels) or grey (1), as `open_image` gives it.

    Raises:
        MiradaError: its pixels can't be shown.
    """
    mode = "L" if channels == 1 else "RGB"
    if is_deep_grey(image):
        image = to_8_bits(Deep(np.asarray(image), inverted=is_inverted(image)), depth_range)
    return image if image.mode == mode and "transparency" not in image.info else _to_mode(image, mode)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    """An image of 8 bits in mode RGB or L; its pixels are loaded, so that it needs its file no more."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    if image.mode == mode:
        return image
    # Grey by way of RGB, so that a palette's or a CMYK image's grey is that of its colours.
    return image.convert("RGB").convert(mode) if image.mode not in ("L", "RGB", "1") else image.convert(mode)


def equalize(image: Image.Image) -> Image.Image:
    """Spread the histogram of a grey image, or of an RGB image's luma, evenly, from 0 for the darkest pixel to 255.

    The third study's preparation of X-rays: histogram equalisation, then min-max. An image of one brightness stays.
    """
    if image.mode != "L":
        luma, blue, red = image.convert("YCbCr").split()
        return Image.merge("YCbCr", (equalize(luma), blue, red)).convert("RGB")
    spread = ImageOps.equalize(image)
    low, high = spread.getextrema()
    if low == high:
        return image
    scale = 255 / (high - low)  # type: ignore[operator]  # a grey image's extrema are two numbers
    return spread.point([max(0, min(255, round((value - low) * scale))) for value in range(256)])  # type: ignore[operator]


def image_size(source: Path | bytes, transpose: bool = False) -> tuple[int, int]:
    """Width and height of the image as displayed, from its header alone.

    Raises:
        MiradaError: as `open_image`.
    """
    name = str(source) if isinstance(source, Path) else "the image"
    try:
        with open_picture(source) as image:
            # Pillow turns a TIFF by itself, and its size already tells.
            turned = transpose and image.format != "TIFF" and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            return (image.height, image.width) if turned else (image.width, image.height)
    except FileNotFoundError as error:
        raise MiradaError(f"{name} is missing: put it back or take it out of the data set.") from error
    except UNREADABLE as error:
        raise MiradaError(f"{name} cannot be decoded ({error}): save it again or remove it.") from error


def pixels_to_decode(data: bytes) -> int:
    """Pixels that decoding makes room for, from the header alone: the image's, or those of a TIFF's tile, which may be more.

    Raises:
        MiradaError: the header is broken.
    """
    try:
        with open_picture(data) as image:
            tags = getattr(image, "tag_v2", {})
            tile = int(tags.get(322, 0)) * int(tags.get(323, 0))  # TileWidth, TileLength
            return max(image.width * image.height, tile)
    except (*UNREADABLE, TypeError) as error:
        raise MiradaError(f"the image cannot be decoded ({error}): save it again or remove it.") from error


def fit_image(
    image: Image.Image,
    input_size: int,
    fit: str,
    *,
    enhance: str = "none",
    full_size: tuple[int, int] | None = None,
    zoom: float | None = None,
) -> tuple[np.ndarray, Placement]:
    """Scale an RGB or grey image into the network's square input.

    Args:
        image: as `open_image` gave it.
        input_size: side of the input in pixels.
        fit: 'letterbox' keeps the aspect and pads both sides with grey 114; 'stretch' fills the square.
        enhance: 'none' or 'equalize', done to the scaled image before the padding.
        full_size: width and height before a reduced decoding; None when the image has its full size.
        zoom: scale for both axes instead of the largest that fits, padded as a letterbox is; at most that largest.

    Returns:
        (S, S, 3) or (S, S, 1) uint8, and the placement as `records.Example` defines it, from pixels of the full size.
    """
    width, height = full_size or image.size
    if fit == "stretch" and zoom is None:
        new_width, new_height = input_size, input_size
    else:
        scale = zoom or min(input_size / width, input_size / height)
        new_width = min(input_size, max(1, round(width * scale)))
        new_height = min(input_size, max(1, round(height * scale)))
    reduction = max(1, round(width / image.width))
    # A reduced decoding rounds its size up; `box` leaves out the part of the last pixel that lies beyond the image.
    box = (0.0, 0.0, min(width / reduction, image.width), min(height / reduction, image.height))
    scaled = image
    if (new_width, new_height) != image.size or box[2:] != image.size:
        # Hamming is as fast as bilinear and nearly as sharp as bicubic, but for making images smaller only.
        smaller = new_width <= box[2] and new_height <= box[3]
        kernel = Image.Resampling.HAMMING if smaller else Image.Resampling.BICUBIC
        scaled = image.resize((new_width, new_height), kernel, box=box)
    pad_x, pad_y = (input_size - new_width) // 2, (input_size - new_height) // 2
    if enhance == "equalize":
        scaled = equalize(scaled)
    array = np.full((input_size, input_size, len(image.getbands())), GREY, np.uint8)
    array[pad_y : pad_y + new_height, pad_x : pad_x + new_width] = np.asarray(scaled).reshape(new_height, new_width, -1)
    return array, (new_width / width, new_height / height, float(pad_x), float(pad_y), 0.0, 0.0)


def load_input(
    source: Path | bytes,
    input_size: int,
    fit: str,
    *,
    channels: int = 3,
    enhance: str = "none",
    transpose: bool = False,
    full_size: tuple[int, int] | None = None,
    depth_range: Sequence[float] | None = None,
) -> tuple[np.ndarray, Placement]:
    """An image file as the network sees it: `open_image`, reduced where that pays, then `fit_image`.

    Args:
        source: a file, or the bytes of one.
        input_size: side of the input in pixels.
        fit: 'letterbox' or 'stretch'.
        channels: 3 (RGB) or 1 (grey).
        enhance: 'none' or 'equalize', see `fit_image`.
        transpose: turn the image as its EXIF orientation says.
        full_size: width and height as displayed, where they are known already.
        depth_range: see `open_image`.

    Raises:
        MiradaError: as `open_image`.
    """
    full_size = full_size or image_size(source, transpose)
    # Letterboxing scales the longer side to the input's; stretching scales the shorter one least.
    target = input_size if fit == "letterbox" else int(np.ceil(input_size * max(full_size) / min(full_size)))
    image = open_image(source, transpose, channels=channels, reduce_to=target, depth_range=depth_range)
    return fit_image(image, input_size, fit, enhance=enhance, full_size=full_size)


def boxes_to_input(boxes_xyxy: np.ndarray, placement: Placement) -> np.ndarray:
    """Boxes (N, 4) of the source image in pixels of the input, float32."""
    scale, shift = _scale_and_shift(placement)
    return (np.asarray(boxes_xyxy, np.float64).reshape(-1, 4) * scale + shift).astype(np.float32)


def boxes_from_input(boxes_xyxy: np.ndarray, placement: Placement) -> np.ndarray:
    """Boxes (N, 4) of the input in pixels of the source image, float32; the inverse of `boxes_to_input`."""
    scale, shift = _scale_and_shift(placement)
    return ((np.asarray(boxes_xyxy, np.float64).reshape(-1, 4) - shift) / scale).astype(np.float32)


def _scale_and_shift(placement: Placement) -> tuple[np.ndarray, np.ndarray]:
    scale_x, scale_y, pad_x, pad_y, offset_x, offset_y = placement
    scale = np.array([scale_x, scale_y, scale_x, scale_y])
    return scale, np.array([pad_x, pad_y, pad_x, pad_y]) - np.array([offset_x, offset_y, offset_x, offset_y]) * scale


def encode(array: np.ndarray, encoding: str, quality: int = 95) -> bytes:
    """An (H, W, 3) RGB or (H, W, 1) grey uint8 array as the bytes of a file.

    Args:
        array: the pixels.
        encoding: 'jpeg' (colour at full resolution, 4:4:4) or 'png'.
        quality: of the JPEG, 1 to 100.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
    if encoding == "jpeg":
        image.save(buffer, "JPEG", quality=quality, subsampling=0)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


def decode(data: bytes, channels: int = 3) -> np.ndarray:
    """The (H, W, channels) uint8 pixels of an encoded image, RGB or grey.

    Raises:
        MiradaError: as `open_image`.
    """
    image = open_image(data, channels=channels)
    return np.asarray(image).reshape(image.height, image.width, channels)
