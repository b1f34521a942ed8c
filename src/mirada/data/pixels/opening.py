"""Image files that Pillow opens, by what is in them; HEIC by pillow-heif, which is loaded when such a file is met."""

from __future__ import annotations

import io
import struct
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, TiffImagePlugin

from mirada.errors import MiradaError

HEIC_SUFFIXES = (".heic", ".heif", ".hif")
UNREADABLE = (
    OSError,
    SyntaxError,  # what PIL raises for a broken PNG
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_TIFF_MAGIC = (b"II*\x00", b"MM\x00*")
_BITS, _BANDS, _PLANAR = 258, 277, 284  # tags of a TIFF


class Unopenable(MiradaError):
    """A file that is sound and yet of no use here.

    Attributes:
        reason: as in `annotations.ADVICE`.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def open_picture(source: Path | bytes) -> Image.Image:
    """What `Image.open` gives, and HEIC too; no pixel is decoded yet.

    Raises:
        Unopenable: a HEIC file without pillow-heif, or a TIFF of bands that Pillow can't put together.
        OSError, SyntaxError, ValueError, EOFError, struct.error: the file is absent, cut short or no image; and whatever
            else is in UNREADABLE.
    """
    name = str(source) if isinstance(source, Path) else "the image"
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        if image.format == "TIFF" and _is_deep_in_planes(image):
            image.close()
            raise _bands_unknown(name, _describe_bands(source))
        return image
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        start = _start_of(source)
        if is_heic(start):
            _register_heic(name)
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        if start.startswith(_TIFF_MAGIC) and (bands := _describe_bands(source)):
            raise _bands_unknown(name, bands) from error
        raise


def _is_deep_in_planes(image: Image.Image) -> bool:
    """Whether a TIFF is one of those that Pillow opens and reads wrongly: it takes each plane's bytes for pixels."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    return bool(tags.get(_PLANAR, 1) == 2 and tags.get(_BANDS, 1) > 1 and max(tags.get(_BITS, (8,))) > 8)


def _bands_unknown(name: str, bands: str) -> Unopenable:
    return Unopenable(
        "image_bands_unknown",
        f"{name} is a TIFF of {bands}, which Pillow does not open: save three bands as RGB, or one as grey of 16 bits "
        "(`gdal_translate -ot UInt16 -b 3 -b 2 -b 1`).",
    )


def is_heic(start: bytes) -> bool:
    """Whether a file's first 12 bytes are those of a HEIC photograph."""
    return start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS


def opens_heic() -> bool:
    """Whether pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


def _start_of(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:12]
    try:
        with source.open("rb") as file:
            return file.read(12)
    except OSError:
        return b""


def _register_heic(name: str) -> None:
    """Teach Pillow to open HEIC."""
    try:
        import pillow_heif
    except ImportError as error:
        raise Unopenable(
            "image_needs_heic", f"{name} is a HEIC photograph: install mirada[heic], or save it as JPEG or PNG."
        ) from error
    pillow_heif.register_heif_opener()


def _describe_bands(source: Path | bytes) -> str:
    """Such as '5 bands of 16 bits'; empty for a TIFF that is broken or has the bands of an ordinary image."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(directory.next)
            directory.load(file)
            bands, bits = int(directory.get(_BANDS, 1)), directory.get(_BITS, (1,))
            planar = directory.get(_PLANAR, 1) == 2
    except (*UNREADABLE, TypeError):
        return ""
    ordinary = bands in (1, 3, 4) and set(bits) <= {1, 8} and not planar
    return "" if ordinary else f"{bands} band{'s' * (bands != 1)} of {max(bits)} bits{' in planes' * planar}"
