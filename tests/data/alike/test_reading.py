"""Hashes of files as they lie in the raw folder."""

import numpy as np
from PIL import Image

from mirada.data.alike.groups import alike
from mirada.data.alike.reading import read_hashes
from mirada.data.annotations import RawImage


def raw(path, size):
    return RawImage(
        source=path.name, path=path, width=size, height=size, split=None, transpose=False, boxes=(), repairs=()
    )


def test_images_of_16_bits_are_told_apart_by_what_they_show(tmp_path):
    """Their upper 8 bits alone are a few greys, of which all of them would look the same."""
    rng = np.random.default_rng(0)
    hashes = {}
    for name in ("a", "b"):
        greys = Image.fromarray(rng.integers(7000, 8000, (8, 8)).astype(np.int32))
        coarse = greys.resize((128, 128), Image.Resampling.BICUBIC)
        values = np.asarray(coarse).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
        hashes[name] = read_hashes(raw(tmp_path / f"{name}.png", 128))
    Image.fromarray(values).save(tmp_path / "c.tif")
    hashes["c"] = read_hashes(raw(tmp_path / "c.tif", 128))
    assert [group.images for group in alike(hashes)] == [("b", "c")]


def test_what_can_not_be_decoded_has_none(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert read_hashes(raw(tmp_path / "a.png", 8)) is None
