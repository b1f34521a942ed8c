"""The C that is written compiles without a warning and says what the Python decoder says."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada.errors import MiradaError
from mirada.export.c_code import PARTS, model_array, write_c_code, write_decoder
from mirada.export.c_proof import ARM64, HERE, Target, compile_decoder, run_decoder
from mirada.inference.card import Card
from mirada.inference.file_tables import OutputTensor
from mirada.inference.maps import Quantized
from mirada.inference.prediction import (
    STANDARD,
    Classification,
    Decoding,
    Detections,
    Localization,
    Prediction,
    decode_outputs,
)
from tests.cards import BOX_CARD, CARD, MAP_CARD

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

TREES = Card(
    "detection", ["tree"], 96, 3, "letterbox", [8, 16], {"objectness": ["o8", "o16"], "distances": ["d8", "d16"]},
    "drawn", "0", {},
)  # fmt: skip
KINDS = replace(TREES, labels=[f"kind {i}" for i in range(11)], outputs={**TREES.outputs, "classes": ["c8", "c16"]})
ALL = replace(STANDARD, candidates=180)  # every cell of TREES

Codes = dict[str, np.ndarray]


def outputs_of(card: Card) -> list[OutputTensor]:
    """Quantized as a converter could have done it, each output in its own way."""
    channels = {"objectness": 1, "scores": 1, "distances": 4, "box": 4, "classes": len(card.labels)}
    found: list[OutputTensor] = []
    for part in PARTS[card.task]:
        for level, name in enumerate(card.outputs.get(part, [])):
            side = card.input_size // card.strides[level] if card.strides else 0
            shape = (1, side, side, channels[part]) if side else (1, channels[part])
            number = len(found)
            scale = float(np.float32(0.3 if part == "box" else 0.047 + 0.0111 * number))
            found.append(OutputTensor(name, part, number, shape, "int8", scale, 17 * number - 30))
    return found


def extremes(outputs: list[OutputTensor], count: int) -> list[Codes]:
    """Random tensors: all codes, the lowest, the highest, one alone, and few that are alike."""
    rng, images = np.random.default_rng(7), []
    ranges = [(-128, 128), (-128, -110), (100, 128), (127, 128), (-128, -127), (-2, 2)]
    for k in range(count):
        low, high = ranges[k % len(ranges)]
        images.append({output.name: rng.integers(low, high, output.shape).astype(np.int8) for output in outputs})
        if k % 7 == 6:  # the parts apart: few objects, of any size
            images[-1] = {
                output.name: rng.integers(-128, 128, output.shape).astype(np.int8)
                if output.part != "objectness"
                else np.where(rng.random(output.shape) < 0.05, 127, -128).astype(np.int8)
                for output in outputs
            }
    return images


def decode_both(
    card: Card, images: list[Codes], folder: Path, decoding: Decoding = STANDARD, target: Target = HERE
) -> list[tuple[Prediction, Prediction]]:
    """What C and Python say of each."""
    outputs = outputs_of(card)
    write_decoder(outputs, card, folder / "c", decoding)
    compile_decoder(folder / "c", folder / "program", target)
    tensors = [[codes[o.name] for o in outputs] for codes in images]
    spoken = run_decoder(folder / "program", card, tensors, folder, target)
    quantized = [{o.name: Quantized(codes[o.name], o.scale, o.zero_point) for o in outputs} for codes in images]
    return [(c, decode_outputs(codes, card, decoding)) for c, codes in zip(spoken, quantized, strict=True)]


@pytest.mark.parametrize("target", [HERE, ARM64], ids=["here", "arm64"])
def test_of_one_label_the_objects_are_those_of_python_to_the_last_bit(target: Target, tmp_path: Path) -> None:
    if reason := target.why_not():
        pytest.skip(reason)
    objects = 0
    for c, python in decode_both(TREES, extremes(outputs_of(TREES), 140), tmp_path, ALL, target):
        assert isinstance(c, Detections) and isinstance(python, Detections)
        assert c.scores.tolist() == python.scores.tolist()
        assert c.boxes_xyxy.tolist() == python.boxes_xyxy.tolist()
        assert c.labels.tolist() == python.labels.tolist()
        objects += len(c)
    assert objects > 2000


@pytest.mark.parametrize("labels", [2, 7, 8, 11, 130])
def test_of_several_labels_scores_differ_in_their_last_bits_alone(labels: int, tmp_path: Path) -> None:
    card = replace(KINDS, labels=[f"kind {i}" for i in range(labels)])
    decoding, objects = replace(ALL, max_detections=None), 0
    for c, python in decode_both(card, extremes(outputs_of(card), 42), tmp_path, decoding):
        assert isinstance(c, Detections) and isinstance(python, Detections)
        assert len(c) == len(python)
        np.testing.assert_array_max_ulp(c.scores, python.scores, 4)
        rows = [
            np.lexsort((*found.boxes_xyxy.T, found.labels)) for found in (c, python)
        ]  # equal scores may change places
        assert c.boxes_xyxy[rows[0]].tolist() == python.boxes_xyxy[rows[1]].tolist()
        assert c.labels[rows[0]].tolist() == python.labels[rows[1]].tolist()
        objects += len(c)
    assert objects > 500


def test_floor_overlap_and_number_are_those_that_were_asked_for(tmp_path: Path) -> None:
    decoding = Decoding(score_floor=0.3, nms_iou=0.2, max_detections=7, candidates=180)
    pairs = decode_both(TREES, extremes(outputs_of(TREES), 28), tmp_path, decoding)
    for c, python in pairs:
        assert isinstance(c, Detections) and isinstance(python, Detections)
        assert c.boxes_xyxy.tolist() == python.boxes_xyxy.tolist()
        assert all(score >= np.float32(0.3) for score in c.scores)
    assert max(len(c) for c, _ in pairs if isinstance(c, Detections)) == 7


def test_of_candidates_with_equal_scores_the_first_stay(tmp_path: Path) -> None:
    outputs = outputs_of(TREES)
    codes = {
        o.name: np.full(o.shape, 127 if o.part == "objectness" and o.name == "o8" else -128, np.int8) for o in outputs
    }
    codes["o8"][0, 5, 5] = 126
    write_decoder(outputs, TREES, tmp_path / "c", replace(STANDARD, candidates=3))
    compile_decoder(tmp_path / "c", tmp_path / "program")
    (found,) = run_decoder(tmp_path / "program", TREES, [[codes[o.name] for o in outputs]], tmp_path)
    assert isinstance(found, Detections)
    assert ((found.boxes_xyxy[:, 0] + found.boxes_xyxy[:, 2]) / 2).round(3).tolist() == [4, 12, 20]


def make_labels(card: Card, count: int) -> Card:
    return replace(card, labels=[f"kind {i}" for i in range(count)])


@pytest.mark.parametrize("card", [CARD, BOX_CARD, MAP_CARD], ids=["classification", "box", "maps"])
@pytest.mark.parametrize("labels", [2, 3, 9])
def test_single_answers_are_those_of_python(card: Card, labels: int, tmp_path: Path) -> None:
    card = replace(make_labels(card, labels), threshold=0.37)
    chosen = set()
    for c, python in decode_both(card, extremes(outputs_of(card), 70), tmp_path):
        assert isinstance(c, Classification) and isinstance(python, Classification)
        np.testing.assert_allclose(c.probabilities, python.probabilities, rtol=1e-12)
        assert c.label == python.label
        chosen.add(c.label)
        if isinstance(c, Localization):
            assert isinstance(python, Localization)
            np.testing.assert_array_max_ulp(c.box_xyxy, python.box_xyxy, 1)
    assert len(chosen) > 1


def test_labels_of_any_letters_are_printed_as_they_are(tmp_path: Path) -> None:
    import subprocess

    label = 'Bäum "one" \\n ??= 木 %s'
    card = replace(TREES, labels=[label])
    outputs = outputs_of(card)
    write_decoder(outputs, card, tmp_path / "c")
    compile_decoder(tmp_path / "c", tmp_path / "program")
    (tmp_path / "one").write_bytes(b"\x7f" * sum(output.size for output in outputs))
    done = subprocess.run([tmp_path / "program", tmp_path / "one"], capture_output=True, check=True)
    assert done.stdout.decode().splitlines()[1].endswith(f" {label}")


def test_tensors_of_another_size_are_refused(tmp_path: Path) -> None:
    write_decoder(outputs_of(TREES), TREES, tmp_path / "c")
    compile_decoder(tmp_path / "c", tmp_path / "program")
    with pytest.raises(MiradaError, match="does not hold the 900 bytes"):
        run_decoder(tmp_path / "program", TREES, [[np.zeros(10, np.int8)]], tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [({"dtype": "float32"}, "gives o8 as float32"), ({"shape": (1, 3, 3, 1)}, "the card's stride says 12 x 12 cells")],
)
def test_outputs_that_the_decoder_does_not_read_are_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    outputs = outputs_of(TREES)
    with pytest.raises(MiradaError, match=message):
        write_decoder([replace(outputs[0], **change), *outputs[1:]], TREES, tmp_path / "c")  # type: ignore[arg-type]
    assert not (tmp_path / "c").exists()


def test_the_model_is_an_aligned_array_of_the_same_bytes(tmp_path: Path) -> None:
    import subprocess

    content = bytes(range(256)) * 3 + b"end"
    header, source = model_array(content)
    assert (header, source) == model_array(content)
    (tmp_path / "mirada_model.h").write_text(header)
    (tmp_path / "mirada_model.c").write_text(source)
    (tmp_path / "main.c").write_text(
        '#include <stdint.h>\n#include <stdio.h>\n#include "mirada_model.h"\nint main(void) {\n'
        "  fwrite(mirada_model, 1, MIRADA_MODEL_SIZE, stdout);\n  return (int)((uintptr_t)mirada_model % 16);\n}\n"
    )
    program = tmp_path / "program"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    subprocess.run(["gcc", *flags, "main.c", "mirada_model.c", "-o", program], cwd=tmp_path, check=True)
    assert subprocess.run([program], capture_output=True, check=True).stdout == content


@pytest.mark.slow
def test_a_real_file_becomes_c_that_answers_as_its_model(squares_folder: Path, tmp_path: Path) -> None:
    from mirada.data.images import decode
    from mirada.inference.card import load_card
    from mirada.inference.file_tables import read_outputs
    from mirada.inference.litert import Model
    from tests.squares import draw_example

    path, card = squares_folder / "model" / "int8.tflite", load_card(squares_folder / "model")
    write: Callable[[Path], list[Path]] = lambda folder: write_c_code(path, card, folder)  # noqa: E731
    files = write(tmp_path / "c")
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in write(tmp_path / "again")]
    outputs, model = read_outputs(path, card, PARTS[card.task]), Model(path, card)
    images, expected = [], []
    for number in range(200):
        model.set_image(decode(draw_example(number).image))
        model.invoke()
        read = model.read_codes()
        images.append([read[output.name].codes for output in outputs])  # type: ignore[union-attr]
        expected.append(decode_outputs(read, card))
    compile_decoder(tmp_path / "c", tmp_path / "program")
    for c, python in zip(run_decoder(tmp_path / "program", card, images, tmp_path), expected, strict=True):
        assert isinstance(c, Detections) and isinstance(python, Detections)
        assert c.boxes_xyxy.tolist() == python.boxes_xyxy.tolist()
        assert c.labels.tolist() == python.labels.tolist()
        np.testing.assert_array_max_ulp(c.scores, python.scores, 4)
    assert sum(len(found) for found in expected if isinstance(found, Detections)) > 200
