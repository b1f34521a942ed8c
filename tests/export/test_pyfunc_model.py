import base64

import numpy as np
import pytest

from mirada.data.images import decode, encode, open_image
from mirada.errors import MiradaError
from mirada.inference.card import Card
from mirada.inference.prediction import Classification, Detections, Localization
from mirada.inference.tiling import Viewing

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own

CARD = Card(
    task="detection", labels=["a", "b"], input_size=100, channels=3, fit="letterbox", strides=[], outputs={},
    dataset="x", data_digest="0", model={},
)  # fmt: skip


@pytest.fixture(scope="module")
def served():
    from mirada.export import pyfunc_model

    return pyfunc_model


def test_an_image_comes_as_bytes_base64_or_pixels(served):
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    data = encode(pixels, "png")
    text = base64.encodebytes(data).decode()  # with line ends, as MLflow writes it
    for image in (data, bytearray(data), text, text.encode(), pixels):
        assert (decode(served.read_bytes(image, 0)) == pixels).all()
    assert decode(served.read_bytes(pixels[..., 0], 0), channels=1)[..., 0].tolist() == pixels[..., 0].tolist()
    deep = np.array([[0, 1000, 3000]], np.uint16)
    assert open_image(served.read_bytes(deep, 0), channels=1, depth_range=[0, 3000]).getpixel((1, 0)) == 85


@pytest.mark.parametrize("image", ["no base64!", 3, None, np.zeros((5, 4, 3)), np.zeros((2, 2, 2), np.uint8)])
def test_anything_else_is_refused_with_its_number(served, image):
    with pytest.raises(MiradaError, match="image 7 is"):
        served.read_bytes(image, 7)


def test_detections_below_the_score_go_and_the_rest_is_rounded(served):
    boxes = np.array([[20.004, 10, 120, 90.126], [0, 0, 200, 100], [0, 0, 2, 2]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.5, 0.1], np.float32), np.array([1, 0, 0]))
    answer = served.served_answer(found, CARD, min_score=0.2)
    assert answer == {
        "detections": [
            {"label": "b", "score": 0.9, "box": [20.0, 10.0, 120.0, 90.13]},
            {"label": "a", "score": 0.5, "box": [0.0, 0.0, 200.0, 100.0]},
        ]
    }


def test_a_label_has_its_probabilities_and_a_location_its_box(served):
    label = Classification(np.array([0.25, 0.75]), 1)
    answer = {"label": "b", "probability": 0.75, "probabilities": {"a": 0.25, "b": 0.75}}
    assert served.served_answer(label, CARD) == answer
    place = Localization(np.array([0.25, 0.75]), 1, np.array([20, 10, 120, 90], np.float32), 100)
    assert served.served_answer(place, CARD) == answer | {"box": [20.0, 10.0, 120.0, 90.0]}


def test_how_to_look_is_a_parameter_and_what_is_absent_the_model_decides(served):
    assert served.read_viewing({}) == Viewing()
    assert served.read_viewing({"view": None, "tile": None, "overlap": None}) == Viewing()
    assert served.read_viewing({"view": "tiles", "tile": np.int32(96), "overlap": 0.25}) == Viewing("tiles", 96, 0.25)
    with pytest.raises(MiradaError, match="view must be one of auto, whole, tiles"):
        served.read_viewing({"view": "halves"})
