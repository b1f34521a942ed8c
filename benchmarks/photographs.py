"""JPEGs like a camera's, of 1 to 12 megapixels, with VOC XML.

    python benchmarks/photographs.py photos --real cards/test

Drawn ones are noise of all scales, as the spectrum of photographs falls, with the grain of a sensor, which decides what a
decoder has to do: about 2.4 bits a pixel, as phones write. With `--real` they are photographs of a folder, enlarged, with
grain. Each content is stored several times with a comment of its own in the file, so that no two files have equal bytes.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mirada.data.records import Box  # noqa: E402
from mirada.data.shapes import write_voc  # noqa: E402

MEGAPIXELS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0)
_GRAIN = 6.0  # standard deviation of a sensor's noise, in levels of 255
_QUALITY = 93


def write_photographs(
    folder: Path, count: int, megapixels: tuple[float, ...] = MEGAPIXELS, real: Path | None = None
) -> None:
    """Write `count` JPEGs in turn of each size, each with an XML of one to four boxes.

    Args:
        folder: where; it is made.
        count: how many.
        megapixels: the sizes.
        real: a folder of photographs to enlarge; None: they are drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = [(encode(image), image.size) for image in _images(megapixels, real)]
    for number in range(count):
        (data, (width, height)), path = contents[number % len(contents)], folder / f"{number:04d}.jpg"
        path.write_bytes(_with_comment(data, f"photograph {number}"))
        write_voc(path, width, height, list(_boxes(number, width, height)))


def _images(megapixels: tuple[float, ...], real: Path | None) -> Iterator[Image.Image]:
    sources = sorted(path for path in real.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")) if real else []
    if real and not sources:
        sys.exit(f"error: {real} holds no JPEG: name a folder of photographs.")
    for number, size in enumerate(megapixels):
        width = 4 * round(math.sqrt(size * 1e6 * 4 / 3) / 4)
        height = 3 * width // 4
        if real:
            with Image.open(sources[number * len(sources) // len(megapixels)]) as image:
                smooth = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC), np.float32)
        else:
            smooth = draw(width, height, number)
        grain = np.random.default_rng(number).normal(0, _GRAIN, smooth.shape).astype(np.float32)
        yield Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def draw(width: int, height: int, seed: int) -> np.ndarray:
    """(height, width, 3) float32: noise of octaves, each as strong as its structures are large, in hardly any colour."""
    random = np.random.default_rng(seed)
    total = np.full((height, width, 3), 110, np.float32)
    side = 4
    while side <= height // 2:
        rows, columns = side, max(1, round(side * width / height))
        grey = random.normal(0, 1, (rows, columns, 1))
        octave = (grey + 0.3 * random.normal(0, 1, (rows, columns, 3))).astype(np.float32)
        for channel in range(3):
            image = Image.fromarray(octave[..., channel]).resize((width, height), Image.Resampling.BILINEAR)
            total[..., channel] += np.asarray(image) * 130 / side**0.75
        side *= 2
    return total


def encode(image: Image.Image) -> bytes:
    """As a camera stores it: colour at half resolution."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, subsampling="4:2:0")
    return buffer.getvalue()


def _with_comment(jpeg: bytes, text: str) -> bytes:
    """The same image with a comment segment after the start marker."""
    content = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(content) + 2).to_bytes(2, "big") + content + jpeg[2:]


def _boxes(number: int, width: int, height: int) -> Iterator[Box]:
    random = np.random.default_rng((7, number))
    for _ in range(int(random.integers(1, 5))):
        w, h = random.integers(width // 8, width // 3), random.integers(height // 8, height // 3)
        x, y = random.integers(0, width - w), random.integers(0, height - h)
        yield Box(float(x), float(y), float(x + w), float(y + h), ("cat", "dog")[int(random.integers(2))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where they go")
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--real", type=Path, help="a folder of photographs to enlarge")
    arguments = parser.parse_args()
    write_photographs(arguments.folder, arguments.count, real=arguments.real)


if __name__ == "__main__":
    main()
