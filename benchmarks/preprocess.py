"""How fast `preprocess` is against a plain serial loop, e.g. `python benchmarks/preprocess.py --raw data/raw/voc`.

Every round runs all ways, one after the other, on the same files, so that a busy machine slows all of them alike; the
table gives medians and ratios to the plain loop. The plain loop does what a script would: PIL open, convert, resize,
parse the XML; with `+ encode` it also encodes a JPEG, without which nothing can be stored. Ours does that and hashes
the files, checks the annotations, splits, writes shards with checksums. Times include starting the workers; the first
start of the server that they are forked from is in the line above the table only.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from mirada.annotations import list_voc  # noqa: E402
from mirada.config import DataConfig, PreprocessConfig, SplitConfig  # noqa: E402

RESULTS = Path(__file__).parent / "results"


def draw_raw(folder: Path, count: int, size: int) -> None:
    """Generate a raw folder of drawn shapes as JPEG with VOC XML."""
    from mirada.shapes import draw_shapes, write_voc

    for index in range(count):
        image, boxes = draw_shapes(index, 3, 4, size, seed=0)
        path = folder / f"{index:06d}.jpg"
        image.save(path, quality=92)
        write_voc(path, size, size, boxes)


def plain_loop(raw_dir: Path, input_size: int, encode: bool) -> int:
    """The serial loop that anyone would write first; returns how many images it read."""
    count = 0
    for pair in list_voc(raw_dir)[0]:
        assert pair.image is not None and pair.xml is not None
        image = Image.open(pair.image).convert("RGB").resize((input_size, input_size))
        root = ElementTree.parse(pair.xml).getroot()
        [[float(value.text or 0) for value in box] for box in root.iter("bndbox")]
        if encode:
            image.save(io.BytesIO(), "JPEG", quality=95, subsampling=0)
        count += 1
    return count


def ours(raw_dir: Path, output_dir: Path, input_size: int, workers: int) -> int:
    """The stage as it is; returns how many images are in the shards."""
    from mirada.records import load_dataset
    from mirada.stages import preprocess

    config = PreprocessConfig(
        data=DataConfig(name="benchmark", split=SplitConfig(kind="auto", val=0.1, test=0.2)),
        raw_dir=str(raw_dir),
        output_dir=str(output_dir),
        input_size=input_size,
        workers=workers,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        preprocess.run(config)
    return sum(split["images"] for split in load_dataset(output_dir).splits.values())


def measure(ways: dict[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Images a second of every way in every round; the order is turned round each time."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            start = time.perf_counter()
            count = ways[name]()
            speeds[name].append(count / (time.perf_counter() - start))
    return speeds


def report(speeds: dict[str, list[float]], images: int) -> None:
    """Print the table and keep the figures."""
    from rich.console import Console  # workers import this file too, and need no table
    from rich.table import Table

    base = statistics.median(speeds["plain loop"])
    table = Table(title=f"preprocess, {images} images, {os.cpu_count()} cores")
    for column in ("way", "images/s", "lowest", "highest", "to plain loop"):
        table.add_column(column, justify="left" if column == "way" else "right")
    rows = []
    for name, values in speeds.items():
        median = statistics.median(values)
        rows.append({"way": name, "images_per_s": median, "all": values, "ratio": median / base})
        table.add_row(name, f"{median:.0f}", f"{min(values):.0f}", f"{max(values):.0f}", f"{median / base:.2f}")
    Console().print(table)
    RESULTS.mkdir(parents=True, exist_ok=True)
    content = {"images": images, "cores": os.cpu_count(), "load": os.getloadavg(), "ways": rows}
    (RESULTS / "preprocess.json").write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, help="a VOC folder; default: drawn shapes")
    parser.add_argument("--images", type=int, default=400, help="how many shapes to draw")
    parser.add_argument("--size", type=int, default=640, help="side of a drawn image in pixels")
    parser.add_argument("--input-size", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raw_dir = arguments.raw or Path(folder) / "raw"
        if arguments.raw is None:
            raw_dir.mkdir()
            draw_raw(raw_dir, arguments.images, arguments.size)
        size = arguments.input_size
        start = time.perf_counter()
        images = ours(raw_dir, Path(folder) / "out", size, 1)  # files into the page cache, the server started
        print(
            f"first run, workers=1, with all that is started once: {images / (time.perf_counter() - start):.0f} images/s"
        )
        ways: dict[str, Callable[[], int]] = {
            "plain loop": partial(plain_loop, raw_dir, size, encode=False),
            "plain loop + encode": partial(plain_loop, raw_dir, size, encode=True),
        }
        for workers in arguments.workers:
            ways[f"mirada workers={workers}"] = partial(ours, raw_dir, Path(folder) / "out", size, workers)
        report(measure(ways, arguments.rounds), images)


if __name__ == "__main__":
    main()
