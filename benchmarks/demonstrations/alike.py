"""How many of made copies, flips and crops `data/alike` finds among photographs of yours, and what else it takes for alike.

    python benchmarks/demonstrations/alike.py photos --photographs 60

A minute and a half for a thousand photographs on two cores.
"""

import argparse
import io
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image, ImageEnhance

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from mirada.data.alike.groups import alike  # noqa: E402
from mirada.data.alike.hashes import Hashes, hashes_of  # noqa: E402
from mirada.data.images import open_image  # noqa: E402

Edit = Callable[[Image.Image], Image.Image]


def coded(image: Image.Image, quality: int) -> Image.Image:
    """The image through a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def cropped(image: Image.Image, kept: float, chance: random.Random, aspect: float = 0.0) -> Image.Image:
    """A part anywhere in the image, coded anew; its height may be another share than its width."""
    width = int(image.width * kept)
    height = int(image.height * min(1.0, kept * chance.uniform(1 - aspect, 1 + aspect)))
    x, y = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
    return coded(image.crop((x, y, x + width, y + height)), 85)


def edits(chance: random.Random) -> dict[str, Edit]:
    """What people and augmentations do to a photograph."""
    transpose = Image.Transpose
    return {
        "JPEG 30": lambda image: coded(image, 30),
        "half the size": lambda image: coded(image.resize((image.width // 2, image.height // 2)), 80),
        "square 160": lambda image: coded(image.resize((160, 160)), 80),
        "brightness 1.4": lambda image: coded(ImageEnhance.Brightness(image).enhance(1.4), 85),
        "brightness 0.6": lambda image: coded(ImageEnhance.Brightness(image).enhance(0.6), 85),
        "contrast 1.5": lambda image: coded(ImageEnhance.Contrast(image).enhance(1.5), 85),
        "grey": lambda image: coded(image.convert("L").convert("RGB"), 85),
        "flip": lambda image: coded(image.transpose(transpose.FLIP_LEFT_RIGHT), 80),
        "upside down": lambda image: coded(image.transpose(transpose.FLIP_TOP_BOTTOM), 80),
        "quarter turn": lambda image: coded(image.transpose(transpose.ROTATE_90), 80),
        **{f"crop {kept}": partial(cropped, kept=kept, chance=chance) for kept in (0.95, 0.9, 0.8, 0.7, 0.6)},
        "crop 0.8, other shape": partial(cropped, kept=0.8, chance=chance, aspect=0.15),
        "crop 0.85, flipped": lambda image: cropped(image.transpose(transpose.FLIP_LEFT_RIGHT), 0.85, chance),
    }


def hash_file(path: Path) -> Hashes:
    """The hashes of a file, as preprocess takes them."""
    return hashes_of(open_image(path, reduce_to=256))


def main() -> None:
    """Make them, look for them, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photographs", type=int, default=60, help="that are edited, in each way")
    arguments = parser.parse_args()
    suffixes = Image.registered_extensions()
    files = {str(path): path for path in sorted(arguments.folder.rglob("*")) if path.suffix.lower() in suffixes}
    begun = time.process_time()
    hashes = {name: hash_file(path) for name, path in files.items()}
    print(f"{len(files)} photographs; {1000 * (time.process_time() - begun) / len(files):.1f} ms each, with decoding")
    begun = time.process_time()
    ties = [tie for group in alike(hashes, by_name=False) for tie in group.ties]
    print(f"alike already: {len(ties)}, found in {time.process_time() - begun:.1f} s of processor time")
    taken = {name for tie in ties for name in (tie.first, tie.second)}
    chance = random.Random(0)
    chosen = chance.sample(sorted(files.keys() - taken), min(arguments.photographs, len(files) - len(taken)))
    for edit, apply in edits(chance).items():
        made = {f"{name}~": hashes_of(apply(open_image(files[name]))) for name in chosen}
        found = [group for group in alike(hashes | made, by_name=False) if any(name in made for name in group.images)]
        right = sum(name.removesuffix("~") in group.images for group in found for name in group.images if name in made)
        wrong = sum(len({name.removesuffix("~") for name in group.images}) > 1 for group in found)
        print(f"{edit:22} {100 * right / len(made):3.0f} % found, {wrong} joined with another photograph", flush=True)


if __name__ == "__main__":
    main()
