"""The ways of `benchmarks/preprocess.py`, and what is made of their times."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from figures import Figure, Panel, figure, machine, make_parser, positive, ratio, report, seconds_of, take_turns
from photographs import MEGAPIXELS, write_photographs
from PIL import Image

from mirada.config import DataConfig, PreprocessConfig, SplitConfig
from mirada.data.formats.voc import list_voc

Pair = tuple[Path, Path]


def list_pairs(raw_dir: Path) -> list[Pair]:
    """Every image with its XML."""
    return [(pair.image, pair.xml) for pair in list_voc(raw_dir)[0] if pair.image and pair.xml]


def read_plainly(pair: Pair, input_size: int) -> tuple[Image.Image, list[list[float]]]:
    """What anyone would write first."""
    image = Image.open(pair[0]).convert("RGB").resize((input_size, input_size))
    root = ElementTree.parse(pair[1]).getroot()
    return image, [[float(value.text or 0) for value in box] for box in root.iter("bndbox")]


def plain_loop(pairs: list[Pair], input_size: int) -> None:
    """One image after the other."""
    for pair in pairs:
        read_plainly(pair, input_size)[0].save(io.BytesIO(), "JPEG", quality=95, subsampling=0)


def published_task(pair: Pair, input_size: int) -> tuple[np.ndarray, list[list[float]]]:
    """Of the published pool: pixels in 0..1."""
    image, boxes = read_plainly(pair, input_size)
    return np.asarray(image) / 255.0, boxes


def published_pool(pairs: list[Pair], input_size: int, workers: int) -> None:
    """Submit, wait, submit the next one."""
    with ProcessPoolExecutor(workers) as pool:
        for pair in pairs:
            pool.submit(published_task, pair, input_size).result()


def ours(raw_dir: Path, output_dir: Path, input_size: int, workers: int) -> None:
    """The stage as it is."""
    from mirada.stages import preprocess

    config = PreprocessConfig(
        data=DataConfig(name="benchmark", split=SplitConfig(kind="ratio", val=0.1, test=0.2)),
        raw_dir=str(raw_dir),
        output_dir=str(output_dir),
        input_size=input_size,
        workers=workers,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        preprocess.run(config)


def decode(path: Path, least: int) -> None:
    """Decode one file with libjpeg-turbo, reduced as long as its longer side keeps `least` pixels; 0: at full size."""
    from simplejpeg import decode_jpeg, decode_jpeg_header

    data = path.read_bytes()
    if not least:
        decode_jpeg(data)
        return
    height, width, *_ = decode_jpeg_header(data)
    shrink = min(1.0, least / max(height, width))
    decode_jpeg(data, min_height=int(np.ceil(height * shrink)), min_width=int(np.ceil(width * shrink)))


def decode_all(paths: list[Path], threads: int, least: int = 0) -> None:
    """Decode all files on so many threads; the decoder leaves Python's lock alone."""
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(partial(decode, least=least), paths):
            pass


def ways_of(raw_dir: Path, folder: Path, input_size: int, workers: int) -> dict[str, Callable[[int], float]]:
    """Name -> what takes its turn; each gives seconds."""
    pairs = list_pairs(raw_dir)
    paths = [pair[0] for pair in pairs]
    works: dict[str, Callable[[], None]] = {
        "plain loop": partial(plain_loop, pairs, input_size),
        f"published pool, {workers} processes": partial(published_pool, pairs, input_size, workers),
        "mirada, 1 worker": partial(ours, raw_dir, folder / "out", input_size, 1),
        f"mirada, {workers} workers": partial(ours, raw_dir, folder / "out", input_size, workers),
        "decoding, 1 thread": partial(decode_all, paths, 1),
        f"decoding, {workers} threads": partial(decode_all, paths, workers),
        f"decoding reduced, {workers} threads": partial(decode_all, paths, workers, input_size),
    }
    return {name: seconds_of(work) for name, work in works.items()}


def judge(speeds: dict[str, list[float]]) -> list[Figure]:
    """The figures, from the images a second of every way, in the order of `ways_of`."""
    plain, published, one, several, decode_one, decode_several, reduced = speeds.values()
    names = list(speeds)
    best = ratio(decode_several, decode_one).median
    floor, waits = ratio(reduced, decode_several).median, ratio(reduced, published).median
    return [
        figure(f"{names[3]} to 1", ratio(several, one), "x", goal=1.85, limit=best, limit_is="what the decoder alone gains"),
        figure(f"{names[3]} to the published pool", ratio(several, published), "x", goal=4.0, limit=waits,
               limit_is="reduced decoding alone"),
        figure(f"{names[3]} to decoding at full size", ratio(several, decode_several), "x", goal=0.8, limit=floor,
               limit_is="reduced decoding alone"),
        figure("mirada, 1 worker, to decoding at full size", ratio(one, decode_one), "x", goal=0.8),
        figure(f"{names[3]} to the plain loop", ratio(several, plain), "x"),
        figure("mirada, 1 worker, to the plain loop", ratio(one, plain), "x"),
    ]  # fmt: skip


def main(text: str) -> None:
    parser = make_parser(text, rounds=3)
    parser.add_argument("--raw", type=Path, help="a VOC folder of JPEGs; default: drawn ones")
    parser.add_argument("--images", type=positive, default=360, help="how many to draw")
    parser.add_argument("--megapixels", type=float, nargs="+", default=MEGAPIXELS, help="sizes of drawn images")
    parser.add_argument("--input-size", type=positive, default=320)
    parser.add_argument("--workers", type=positive, default=2)
    arguments = parser.parse_args()
    started, computer = time.perf_counter(), machine()
    with tempfile.TemporaryDirectory(prefix="mirada-benchmark-") as name:
        folder = Path(name)
        raw_dir = arguments.raw or folder / "raw"
        if arguments.raw is None:
            write_photographs(raw_dir, arguments.images, tuple(arguments.megapixels))
        images = len(list_pairs(raw_dir)) if raw_dir.is_dir() else 0
        if not images:
            sys.exit(f"error: {raw_dir} holds no image with its XML: name a VOC folder, or leave --raw out.")
        size = sum(pair[0].stat().st_size for pair in list_pairs(raw_dir))
        print(f"{images} images, {size / images / 1e6:.2f} MB each, {os.cpu_count()} cores")
        ours(raw_dir, folder / "out", arguments.input_size, 1)  # files into the page cache, the workers' server started
        ways = ways_of(raw_dir, folder, arguments.input_size, arguments.workers)
        seconds = take_turns(ways, arguments.rounds)
    speeds = {name: [images / second for second in values] for name, values in seconds.items()}
    panels = [Panel(f"{images} images of {size / images / 1e6:.2f} MB", "images/s", speeds)]
    report("preprocess", judge(speeds), panels, arguments, computer, started)
