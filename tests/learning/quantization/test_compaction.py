import numpy as np
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter

from mirada.learning.quantization import conversion
from mirada.learning.quantization.compaction import share_vectors


def run(content, image):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}


def test_the_file_gets_smaller_and_the_answers_stay_the_same(monkeypatch):
    monkeypatch.setattr(conversion, "share_vectors", lambda content: content)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(64, 3, activation="relu")(image)
    x = keras.layers.Conv2D(64, 3, activation="relu")(x)
    model = keras.Model(image, {"maps": x})
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (4, 32, 32, 3)).astype(np.uint8)
    content = conversion.convert(model, "int8", lambda: pictures)
    shared = share_vectors(content)
    assert (
        len(shared) <= len(content) - 3 * 64 * 8
    )  # zero points of two weights and two biases, once instead of 4 times
    before, after = run(content, pictures[:1]), run(shared, pictures[:1])
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    assert share_vectors(shared) == shared
    runner = Interpreter(model_content=shared).get_signature_runner("serving_default")
    assert list(runner.get_output_details()) == ["maps"]
