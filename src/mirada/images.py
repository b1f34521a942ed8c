"""From any image file to a network's input, and back: the one place that does it, for training and for serving.

Box coordinates are those of the image as displayed, at its full size, whatever size it was decoded at.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mirada.errors import MiradaError

GREY = 114  # of the letterbox's padding
Placement = tuple[float, float, float, float, float, float]

_UNREADABLE = (
    OSError,
    SyntaxError,  # what PIL raises for a broken PNG
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def open_image(source: Path | bytes, transpose: bool = False, *, reduce_to: int | None = None) -> Image.Image:
    """Decode an image to RGB.

    Transparent pixels show white, as on the page of an annotation tool. A 16-bit grey image keeps its upper 8 bits; it
    isn't stretched, so that equal pixels stay equal in every image. Of an animation it is the first frame.

    Args:
        source: a file, or the bytes of one.
        transpose: turn the image as its EXIF orientation says.
        reduce_to: the side in pixels that the longer side is to be scaled to later. A JPEG at least twice as big is
            decoded at 1/2, 1/4 or 1/8 of its size, never below `reduce_to`: a good deal faster.

    Raises:
        MiradaError: the source is absent, cut short, or no image that can be decoded.
    """
    name = str(source) if isinstance(source, Path) else "the image"
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if reduce_to is not None and image.format in ("JPEG", "MPO"):
                shrink = reduce_to / max(image.size)
                image.draft(None, (int(np.ceil(image.width * shrink)), int(np.ceil(image.height * shrink))))
            image.load()
            upright = ImageOps.exif_transpose(image) if transpose else image
            return _to_rgb(upright, name)
    except FileNotFoundError as error:
        raise MiradaError(f"{name} is missing: put it back or take it out of the data set.") from error
    except _UNREADABLE as error:
        raise MiradaError(f"{name} cannot be decoded ({error}): save it again or remove it.") from error


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    """The image in mode RGB; its pixels are loaded, so that it needs its file no more."""
    if image.mode == "F":
        raise MiradaError(f"{name} holds floating-point pixels of unknown range: save it with 8 or 16 bits.")
    if image.mode.startswith("I"):  # 16 bits, in PIL's words "I;16", "I;16B" or "I"
        wide = np.asarray(image).astype(np.int64)
        return Image.fromarray((np.clip(wide, 0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def image_size(source: Path | bytes, transpose: bool = False) -> tuple[int, int]:
    """Width and height of the image as displayed, from its header alone.

    Raises:
        MiradaError: as `open_image`.
    """
    name = str(source) if isinstance(source, Path) else "the image"
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            # Pillow turns a TIFF by itself, and its size already tells.
            turned = transpose and image.format != "TIFF" and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            return (image.height, image.width) if turned else (image.width, image.height)
    except FileNotFoundError as error:
        raise MiradaError(f"{name} is missing: put it back or take it out of the data set.") from error
    except _UNREADABLE as error:
        raise MiradaError(f"{name} cannot be decoded ({error}): save it again or remove it.") from error


def fit_image(
    image: Image.Image,
    input_size: int,
    fit: str,
    *,
    full_size: tuple[int, int] | None = None,
    zoom: float | None = None,
) -> tuple[np.ndarray, Placement]:
    """Scale an RGB image into the network's square input.

    Args:
        image: RGB, as `open_image` gave it.
        input_size: side of the input in pixels.
        fit: 'letterbox' keeps the aspect and pads both sides with grey 114; 'stretch' fills the square.
        full_size: width and height before a reduced decoding; None when the image has its full size.
        zoom: scale for both axes instead of the largest that fits, padded as a letterbox is; at most that largest.

    Returns:
        (S, S, 3) uint8, and the placement as `records.Example` defines it, from pixels of the full size.
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
    array = np.full((input_size, input_size, 3), GREY, np.uint8)
    array[pad_y : pad_y + new_height, pad_x : pad_x + new_width] = np.asarray(scaled)
    return array, (new_width / width, new_height / height, float(pad_x), float(pad_y), 0.0, 0.0)


def load_input(
    source: Path | bytes,
    input_size: int,
    fit: str,
    *,
    transpose: bool = False,
    full_size: tuple[int, int] | None = None,
) -> tuple[np.ndarray, Placement]:
    """An image file as the network sees it: `open_image`, reduced where that pays, then `fit_image`.

    Args:
        source: a file, or the bytes of one.
        input_size: side of the input in pixels.
        fit: 'letterbox' or 'stretch'.
        transpose: turn the image as its EXIF orientation says.
        full_size: width and height as displayed, where they are known already.

    Raises:
        MiradaError: as `open_image`.
    """
    full_size = full_size or image_size(source, transpose)
    # Letterboxing scales the longer side to the input's; stretching scales the shorter one least.
    target = input_size if fit == "letterbox" else int(np.ceil(input_size * max(full_size) / min(full_size)))
    image = open_image(source, transpose, reduce_to=target)
    return fit_image(image, input_size, fit, full_size=full_size)


def to_input(boxes_xyxy: np.ndarray, placement: Placement) -> np.ndarray:
    """Boxes (N, 4) of the source image in pixels of the input, float32."""
    scale, shift = _scale_and_shift(placement)
    return (np.asarray(boxes_xyxy, np.float64).reshape(-1, 4) * scale + shift).astype(np.float32)


def from_input(boxes_xyxy: np.ndarray, placement: Placement) -> np.ndarray:
    """Boxes (N, 4) of the input in pixels of the source image, float32; the inverse of `to_input`."""
    scale, shift = _scale_and_shift(placement)
    return ((np.asarray(boxes_xyxy, np.float64).reshape(-1, 4) - shift) / scale).astype(np.float32)


def _scale_and_shift(placement: Placement) -> tuple[np.ndarray, np.ndarray]:
    scale_x, scale_y, pad_x, pad_y, offset_x, offset_y = placement
    scale = np.array([scale_x, scale_y, scale_x, scale_y])
    return scale, np.array([pad_x, pad_y, pad_x, pad_y]) - np.array([offset_x, offset_y, offset_x, offset_y]) * scale


def encode(array: np.ndarray, encoding: str, quality: int = 95) -> bytes:
    """An (H, W, 3) uint8 RGB array as the bytes of a file.

    Args:
        array: the pixels.
        encoding: 'jpeg' (colour at full resolution, 4:4:4) or 'png'.
        quality: of the JPEG, 1 to 100.
    """
    buffer = io.BytesIO()
    if encoding == "jpeg":
        Image.fromarray(array).save(buffer, "JPEG", quality=quality, subsampling=0)
    else:
        Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    """The (H, W, 3) uint8 RGB pixels of an encoded image.

    Raises:
        MiradaError: as `open_image`.
    """
    return np.asarray(open_image(data))
