"""Decoding and suppression in the file, against the engine's own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada.config import DeviceConfig
from mirada.data.images import decode
from mirada.errors import MiradaError
from mirada.export.bundle.assembly import assemble
from mirada.export.bundle.postprocess import DETECTED, add_postprocess
from mirada.export.outside.answers import ask_litert
from mirada.inference.card import load_card
from mirada.inference.litert import Model
from mirada.inference.prediction import Detections, Prediction
from mirada.inference.tflite_file import list_operators, read_tables
from tests.export.bundle.test_metadata import Reader, kinds
from tests.export.bundle.test_metadata import read as read_metadata
from tests.squares import draw_example

DESKTOP = DeviceConfig(name="desktop", title="Desktop")


@pytest.mark.parametrize("variant", ["int8", "float32"])
def test_the_file_finds_what_the_engine_finds_box_by_box(squares_folder: Path, tmp_path: Path, variant: str) -> None:
    card, path = load_card(squares_folder / "model"), squares_folder / "model" / f"{variant}.tflite"
    content, _ = assemble(path, card, variant, DESKTOP, None, "", postprocess=True)
    (tmp_path / "model.tflite").write_bytes(content)
    images = [decode(draw_example(number).image) for number in (1, 2, 3, 7, 11)]
    asking = ask_litert(tmp_path / "model.tflite", card, _inputs(path, images))
    seen: set[int] = set()
    for asked, reference in zip(asking, (True, False), strict=True):
        model = Model(path, card, reference=reference)
        for image, found in zip(images, asked.find(), strict=True):
            ours, theirs = rows_of(found), rows_of(model.find(image))
            assert len(ours) == len(theirs) > 0
            apart = ours[:, None] - theirs
            near = (np.abs(apart) < (1e-3,) * 4 + (1e-6, 0.5)).all(axis=2)
            assert near.any(axis=0).all() and near.any(axis=1).all()
            seen |= set(ours[:, 5].astype(int).tolist())
    assert seen == {0, 1}


def rows_of(found: Prediction) -> np.ndarray:
    """(N, 6) corners, score and label, of scores that noise in the last digit does not decide."""
    assert isinstance(found, Detections)
    found = found.at_least(0.05)
    return np.column_stack([found.boxes_xyxy, found.scores, found.labels]).astype(np.float64)


def _inputs(path: Path, images: list[np.ndarray]) -> np.ndarray:
    model = Model(path, load_card(path.parent))
    return np.concatenate([model.to_tensor(image) for image in images])


def test_the_network_before_it_stays_and_a_reader_finds_objects(squares_folder: Path, int8_file: Path) -> None:
    card = load_card(squares_folder / "model")
    plain = read_tables(int8_file.read_bytes())
    content, _ = assemble(int8_file, card, "int8", DESKTOP, None, "", postprocess=True)
    tables = read_tables(content)
    operators = list_operators(tables)
    assert operators[: len(list_operators(plain))] == list_operators(plain)
    assert operators[-1] == "TFLite_Detection_PostProcess"
    assert tuple(entry.name.decode() for entry in tables.signatureDefs[0].outputs) == DETECTED
    entry = next(entry for entry in tables.metadata if entry.name == b"TFLITE_METADATA")
    (graph,) = read_metadata(bytes(tables.buffers[entry.buffer].data)).many(3)
    location, category, score, number = graph.many(3)
    assert [one.text(0) for one in (location, category, score, number)] == list(DETECTED)
    boxes: Reader = location.one(3)
    assert boxes.number(0) == 3  # BoundingBoxProperties
    assert boxes.one(1).number(1, kinds.Int8Flags) == 1  # BOUNDARIES
    (file,) = category.many(6)
    assert (file.text(0), file.number(2)) == ("labels.txt", 3)  # TENSOR_VALUE_LABELS
    (group,) = graph.many(8)
    assert group.text(0) == "detection_result"
    assert not number.has(6) and not score.has(6)


def test_a_localizer_has_no_operator(squares_folder: Path, int8_file: Path) -> None:
    card = replace(load_card(squares_folder / "model"), task="localization")
    with pytest.raises(
        MiradaError, match="postprocess=graph is for detection and classification, and this model is for loc"
    ):
        add_postprocess(read_tables(int8_file.read_bytes()), card)
