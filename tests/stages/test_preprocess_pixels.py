"""From image files of every kind to a data set: the right pixels in its shards, and the same ones before a model's eyes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image, ImageCms

from mirada.config import DataConfig, PreprocessConfig, SplitConfig, TileConfig, parse
from mirada.data import records
from mirada.data.images import decode
from mirada.data.pixels.opening import opens_heic
from mirada.data.records import Dataset
from mirada.errors import MiradaError
from mirada.inference import engine
from mirada.stages import preprocess
from tests.cards import CARD
from tests.data.pixels.writing import png_of, tiff_of

SIDE = 32  # of the network's input, and of every drawn image: nothing is scaled
LABELS = ("cat", "dog")
DEPTHS = np.arange(1000, 1201).reshape(3, 67)  # 201 values: half a per cent of them is one at either end


def flat(value: Any, kind: str = "<u2") -> np.ndarray:
    return np.broadcast_to(np.array(value, kind), (SIDE, SIDE, *np.shape(value)))


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def run(tmp_path: Path, files: Mapping[str, bytes], data: dict[str, Any] | None = None, **keys: Any) -> Dataset:
    """A data set of `split/label/name` -> bytes."""
    for name, content in files.items():
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    config = DataConfig(name="pixels", **({"task": "classification", "format": "folder"} | (data or {})))
    folders = {"raw_dir": str(tmp_path / "raw"), "output_dir": str(tmp_path / "out")}
    settings = {"input_size": SIDE, "encoding": "png", "workers": 1} | keys
    preprocess.run(PreprocessConfig(data=config, **folders, **settings))
    return records.load_dataset(tmp_path / "out", verify=True)


def every_split(files: Mapping[str, bytes], fill: Callable[[int], bytes]) -> dict[str, bytes]:
    """Files of test, and of each other split one a label."""
    others = [f"{split}/{label}/{split}.img" for split in ("train", "val", "test") for label in LABELS]
    names = {f"test/cat/{name}": content for name, content in files.items()}
    return names | {name.replace(".img", ".png"): fill(number) for number, name in enumerate(others)}


def gradient(number: int) -> bytes:
    """Of the two training images each holds DEPTHS once, of the others none does."""
    return png_of((DEPTHS, DEPTHS[::-1])[number]) if number < 2 else png_of(np.full((3, 67), 60_000 + number))


def plain(number: int) -> bytes:
    return saved(Image.new("RGB", (SIDE, SIDE), (number, 0, 0)), "PNG")


def stored(dataset: Dataset, name: str) -> np.ndarray:
    """The pixels of a test image as training would see them."""
    return next(decode(e.image, dataset.channels) for e in dataset.examples("test") if e.source == f"test/cat/{name}")


class Eyes:
    """A model that keeps what it is shown."""

    seen: np.ndarray

    def __init__(self, *_: Any) -> None:
        pass

    def set_image(self, pixels: np.ndarray) -> None:
        Eyes.seen = pixels

    def invoke(self) -> None:
        pass

    def read(self) -> dict[str, np.ndarray]:
        return {"classes": np.zeros((1, 2), np.float32)}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[..., np.ndarray]:
    """What a model that was trained on a data set is shown of a photograph."""
    monkeypatch.setattr(engine, "Model", Eyes)

    def look(dataset: Dataset, photograph: Any) -> np.ndarray:
        about = {"input_size": dataset.input_size, "channels": dataset.channels, "fit": dataset.fit}
        card = replace(CARD, enhance=dataset.enhance, depth_range=dataset.depth_range, **about)
        engine.Engine("", card).predict(photograph)
        return Eyes.seen

    return look


DEEP = {  # by [1001, 1199]: 1100 is 127.5 of 255, to even; 1034 is 42.5, to even; 1002 is 1.3
    "a.png": (png_of(flat(1100)), (128, 128, 128)),
    "b.tif": (tiff_of(flat(1034)), (42, 42, 42)),
    "c.tif": (tiff_of(flat(1002, ">u2")), (1, 1, 1)),
    "d.tif": (tiff_of(flat(1100, "<i4")), (128, 128, 128)),
    "e.tif": (tiff_of(flat(1100.5, ">f4")), (128, 128, 128)),  # 128.1
    "f.png": (png_of(flat((1100, 1001, 9999))), (128, 0, 255)),
    "g.tif": (tiff_of(flat((1001, 1100, 1199)), deflate=True), (0, 128, 255)),
    "h.tif": (tiff_of(flat(1199), {262: (0,)}), (0, 0, 0)),  # the least value is white
    "i.png": (saved(Image.new("L", (SIDE, SIDE), 77), "PNG"), (77, 77, 77)),  # of 8 bits: as it is
}


def test_deep_images_are_scaled_by_the_range_of_the_training_images(
    tmp_path: Path, served: Callable[..., np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = run(tmp_path, every_split({name: data for name, (data, _) in DEEP.items()}, gradient))
    assert dataset.depth_range == dataset.about["depth_range"] == [1001.0, 1199.0]
    assert dataset.about["repaired"]["depth_reduced"] == len(DEEP) - 1 + 6
    for name, (data, colour) in DEEP.items():
        pixels = stored(dataset, name)
        assert (pixels == colour).all(), name
        path = tmp_path / "raw" / "test" / "cat" / name
        for photograph in (path, data, Image.open(path)) if colour[0] == colour[2] else (path, data):
            assert (served(dataset, photograph) == pixels).all(), name
    assert (served(dataset, flat(1100)) == 128).all() and (served(dataset, flat(1100.5, "<f8")) == 128).all()
    assert (served(dataset, flat(1100, "<i2")) == 128).all() and (served(dataset, flat(1100, "<i4")) == 128).all()
    said = capsys.readouterr().out
    assert "14 images of more than 8 bits: values 1001 to 1199 (0.5 to 99.5 % of what the training images hold)" in said


def test_a_range_that_is_set_is_taken(tmp_path: Path, served: Callable[..., np.ndarray]) -> None:
    files = every_split({"a.png": png_of(flat(1500))}, gradient)
    dataset = run(tmp_path, files, {"depth_range": [1000, 2000]}, channels=1)
    assert dataset.depth_range == [1000, 2000] and dataset.about["settings"]["depth_range"] == [1000, 2000]
    assert (stored(dataset, "a.png") == 128).all() and (served(dataset, files["test/cat/a.png"]) == 128).all()


def test_a_range_comes_from_the_command_line() -> None:
    with initialize_config_dir(str(Path(__file__).parents[2] / "conf"), version_base="1.3"):
        given = compose(
            "preprocess", ["data=folder", "raw_dir=a", "output_dir=b", "data.path=c", "data.depth_range=[-100,21.5]"]
        )
        config = parse(given)
    assert config.data.depth_range == [-100, 21.5]


@pytest.mark.parametrize("given", [[1], [2, 1], [1, 1], [1, 2, 3]])
def test_a_range_that_is_none_is_refused(given: list[float]) -> None:
    with pytest.raises(MiradaError, match=r"data\.depth_range must be \[low,high\]"):
        DataConfig(depth_range=given)


def test_deep_images_without_one_to_train_on(tmp_path: Path, served: Callable[..., np.ndarray]) -> None:
    """The upper 8 bits of 16, as a model without a range takes them; of floats nothing is known."""
    files = every_split({"a.png": png_of(flat(0x1234)), "b.tif": tiff_of(flat(0.5, "<f4"))}, plain)
    dataset = run(tmp_path, files)
    assert dataset.depth_range is None
    assert (stored(dataset, "a.png") == 0x12).all() and (served(dataset, files["test/cat/a.png"]) == 0x12).all()
    with (tmp_path / "out" / "rejected.csv").open(newline="") as file:
        rows = [(row["file"], row["reason"]) for row in csv.DictReader(file)]
    assert rows == [("test/cat/b.tif", "depth_unknown")]
    with pytest.raises(MiradaError, match="unknown range"):
        served(dataset, files["test/cat/b.tif"])


def test_8_bit_images_leave_no_word_of_depth(tmp_path: Path) -> None:
    dataset = run(tmp_path, every_split({}, plain))
    assert dataset.depth_range is None
    assert "depth" not in (tmp_path / "out" / "dataset.json").read_text()


def test_deep_images_are_equalized_like_others(tmp_path: Path, served: Callable[..., np.ndarray]) -> None:
    """Three shades, 352, 320 and 352 pixels of 1024: (1024 - 352) // 255 = 2 pixels a step, the second comes after 176."""
    shades = np.repeat(np.array([1090, 1100, 1110], "<u2"), (11, 10, 11))[:, None].repeat(SIDE, 1)
    files = every_split({"a.png": png_of(shades)}, gradient)
    dataset = run(tmp_path, files, channels=1, enhance="equalize")
    found = stored(dataset, "a.png")
    assert [found[row, 0, 0] for row in (0, 16, 31)] == [0, 176, 255]
    assert (served(dataset, files["test/cat/a.png"]) == found).all()


def test_tiles_by_area_take_their_range_from_the_training_side(tmp_path: Path) -> None:
    """A map of 16 bits whose test side is a hundred times brighter; photographs that are cut out are served as they are."""
    values = np.tile(DEPTHS.reshape(-1)[:200], (200, 2))
    values[:, 200:] *= 40
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "map.png").write_bytes(png_of(values))
    box = "<bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>"
    places = [(x, y, x + 8, y + 8) for x in range(4, 390, 16) for y in range(4, 190, 16)]
    objects = "".join(f"<object><name>cat</name>{box.format(*place)}</object>" for place in places)
    (raw / "map.xml").write_text(f"<annotation>{objects}</annotation>")
    data = {
        "task": "detection",
        "format": "voc",
        "split": SplitConfig(kind="area", val=0.2, test=0.3),
        "tile": TileConfig(size=SIDE, overlap=0.0),
    }
    dataset = run(tmp_path, {}, data, channels=1)
    assert dataset.depth_range is not None and 1000 <= dataset.depth_range[0] < dataset.depth_range[1] <= 1200
    kept = next(dataset.whole_photographs("test"))
    assert Image.open(io.BytesIO(kept.image)).mode in ("L", "RGB")
    low, high = dataset.depth_range
    x, y = int(kept.placement[4]), int(kept.placement[5])
    expected = np.clip(np.rint((values[y, x] - low) * 255 / (high - low)), 0, 255)
    assert decode(kept.image, 1)[0, 0, 0] == expected


def frames(form: str, **options: Any) -> bytes:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    first, *rest = (Image.new("RGB", (SIDE, SIDE), colour) for colour in colours)
    return saved(first, form, save_all=True, append_images=rest, **options)


def transparent(mode: str) -> Image.Image:
    image = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 128))  # half of black on white: 255 * 127 / 255
    return image if mode == "RGBA" else image.convert(mode)


def half_clear_palette() -> bytes:
    image = Image.new("P", (SIDE, SIDE), 0)
    image.putpalette([0, 0, 0, 255, 255, 255])
    return saved(image, "PNG", transparency=bytes([128, 255]))


def ink(*values: int) -> Image.Image:
    return Image.new("CMYK", (SIDE, SIDE), values)


def ycck(*values: int) -> bytes:
    """A JPEG whose four numbers, as stored, are luma, two chromas and the inverse of black."""
    data = saved(ink(*(255 - value for value in values)), "JPEG", quality=100, subsampling=0)
    adobe = data.index(b"Adobe")
    return data[: adobe + 11] + b"\x02" + data[adobe + 12 :]


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # no profile is applied
KINDS: dict[str, tuple[bytes, tuple[int, int, int], int, str | None]] = {  # bytes, colour, tolerance, repair
    "rgba.png": (saved(transparent("RGBA"), "PNG"), (127, 127, 127), 0, None),
    "la.png": (saved(transparent("LA"), "PNG"), (127, 127, 127), 0, None),
    "palette.png": (half_clear_palette(), (127, 127, 127), 0, None),
    "clear.webp": (saved(Image.new("RGBA", (SIDE, SIDE)), "WEBP", lossless=True), (255, 255, 255), 0, None),
    "clear.gif": (saved(Image.new("P", (SIDE, SIDE), 0), "GIF", transparency=0), (255, 255, 255), 0, None),
    "bit.png": (saved(Image.new("1", (SIDE, SIDE), 1), "PNG"), (255, 255, 255), 0, None),
    "bit.tif": (saved(Image.new("1", (SIDE, SIDE), 0), "TIFF", compression="group4"), (0, 0, 0), 0, None),
    "grey.jpg": (saved(Image.new("L", (SIDE, SIDE), 90), "JPEG"), (90, 90, 90), 1, None),
    "profile.png": (saved(Image.new("L", (SIDE, SIDE), 90), "PNG", icc_profile=SRGB), (90, 90, 90), 0, None),
    "cmyk.tif": (saved(ink(255, 0, 0, 0), "TIFF"), (0, 255, 255), 0, None),
    "cmyk.jpg": (saved(ink(0, 255, 255, 51), "JPEG", quality=95), (204, 0, 0), 3, None),  # a fifth of black
    "ycck.jpg": (ycck(0, 128, 128, 255), (255, 255, 255), 2, None),  # no ink
    "ycck_red.jpg": (ycck(179, 171, 1, 255), (255, 0, 0), 3, None),  # ink of 0, 255, 255 as YCbCr
    "frames.gif": (frames("GIF"), (200, 0, 0), 0, "first_frame_taken"),
    "frames.png": (frames("PNG"), (200, 0, 0), 0, "first_frame_taken"),
    "frames.webp": (frames("WEBP", lossless=True), (200, 0, 0), 0, "first_frame_taken"),
    "pages.tif": (frames("TIFF"), (200, 0, 0), 0, "first_frame_taken"),
    "frames.avif": (frames("AVIF", quality=100), (200, 0, 0), 3, "first_frame_taken"),
    "twin.mpo": (frames("MPO", quality=95), (200, 0, 0), 3, None),
    "avif.jpg": (saved(Image.new("RGB", (SIDE, SIDE), (9, 90, 200)), "AVIF"), (9, 90, 200), 4, "extension_wrong"),
    "film.jpg": (
        saved(Image.new("RGB", (SIDE, SIDE), (9, 90, 200)), "JPEG") + b"\0\0\0\x18ftypmp42" + b"\xff\xda\xff\xd8" * 500,
        (9, 90, 200),
        3,
        None,
    ),
}


if opens_heic():
    import pillow_heif

    _photo = pillow_heif.from_pillow(Image.new("RGB", (SIDE, SIDE), (200, 60, 30)))
    _content = io.BytesIO()
    _photo.save(_content, quality=95)
    KINDS["photo.heic"] = (_content.getvalue(), (200, 60, 30), 4, None)


def test_every_kind_of_file_shows_its_colours(tmp_path: Path, served: Callable[..., np.ndarray]) -> None:
    dataset = run(tmp_path, every_split({name: kind[0] for name, kind in KINDS.items()}, plain))
    for name, (data, colour, tolerance, _) in KINDS.items():
        pixels = stored(dataset, name)
        assert np.abs(pixels.astype(int) - colour).max() <= tolerance, (name, pixels[0, 0])
        assert (served(dataset, data) == pixels).all(), name
    counts = [kind[3] for kind in KINDS.values() if kind[3]]
    assert dataset.about["repaired"] == {code: counts.count(code) for code in sorted(set(counts))}
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["about"]["rejected"] == 0


CORNERS = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}
"""EXIF orientation -> where the stored image's upper left corner is shown: right, low."""


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_all_eight_orientations_turn_image_and_boxes(
    tmp_path: Path, form: str, served: Callable[..., np.ndarray]
) -> None:
    """A red quarter, shown where the orientation says; its box, as a viewer shows it, is on it."""
    files: dict[str, bytes] = {}
    for orientation, (right, low) in CORNERS.items():
        image = Image.new("RGB", (SIDE, SIDE // 2), (0, 0, 255))
        image.paste((255, 0, 0), (0, 0, SIDE // 2, SIDE // 4))
        exif = Image.Exif()
        exif[0x0112] = orientation
        lossless = {"lossless": True} if form == "WEBP" else {"subsampling": 0, "quality": 95} if form == "JPEG" else {}
        row = f"0 {0.25 + right / 2} {0.25 + low / 2} 0.5 0.5\n".encode()
        for split in ("train", "val", "test"):
            name = f"{split}/images/{orientation}"
            exif[0x010E] = split  # no two files alike
            files[f"{name}.{form.lower()}"] = saved(image, form, exif=exif, **lossless)
            files[name.replace("images", "labels") + ".txt"] = row
    dataset = run(tmp_path, files | {"data.yaml": b"names: [red]\n"}, {"task": "detection", "format": "yolo"})
    assert dataset.splits["test"]["images"] == 8
    for example in dataset.examples("test"):
        pixels = decode(example.image).astype(int)
        x1, y1, x2, y2 = example.boxes_xyxy[0].astype(int)
        assert (x2 - x1, y2 - y1) == ((16, 8) if int(Path(example.source).stem) < 5 else (8, 16))
        assert np.abs(pixels[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1] - (255, 0, 0)).max() < 40, example.source
        assert (np.abs(pixels - (255, 0, 0)).max(axis=2) < 100).sum() == pytest.approx(16 * 8, abs=8)
        assert (served(dataset, files[example.source]) == decode(example.image)).all()
