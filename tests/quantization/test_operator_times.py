import json

import numpy as np
import pytest

from mirada.quantization.operator_times import OperatorTimes, _alone, schema, time_operators
from mirada.quantization.operators import Opened


def alone(content: bytes) -> list[bytes]:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    return [_alone(model, operator) for operator in model.subgraphs[0].operators]


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_an_operator_alone_computes_what_it_does_in_the_model(squares_folder, variant):
    from ai_edge_litert.interpreter import Interpreter

    content = (squares_folder / "model" / f"{variant}.tflite").read_bytes()
    whole = Opened(content)
    dtype = np.uint8 if whole.takes_pixels else np.float32
    whole.run(np.random.default_rng(0).integers(0, 2, (64, 64, 3)).astype(dtype))
    files = alone(content)
    assert len(files) == len(whole.operators) > 3
    for operator, file in zip(whole.operators, files, strict=True):
        single = Interpreter(model_content=file)
        single.allocate_tensors()
        computed = [i for i in operator.inputs if i in whole.tensors and i not in whole.constants(operator)]
        for details, index in zip(single.get_input_details(), computed, strict=True):
            single.set_tensor(details["index"], whole.value(index))
        single.invoke()
        found = single.get_tensor(single.get_output_details()[0]["index"]).astype(float)
        wanted = whole.value(operator.output).astype(float)
        # XNNPACK may round an int8 value to the one beside it
        np.testing.assert_allclose(found, wanted, atol=1 if variant == "int8" else 1e-5, err_msg=operator.name)


def test_every_operator_and_the_whole_model_have_a_time(squares_folder):
    content = (squares_folder / "model" / "int8.tflite").read_bytes()
    times = time_operators(content)
    names = [operator.layer for operator in Opened(content).operators]
    assert len(times.alone) == len(names) and min(times.alone) > 0 and times.whole > 0
    of = dict(zip(names, times.alone, strict=True))
    first = next(name for name in names if name.startswith("conv2d"))  # reads the picture, the other 8 x 8 cells
    assert of[first] > of["objectness_8"], json.dumps(of)


def test_the_sum_is_told_beside_the_whole():
    assert OperatorTimes([0.5, 1.0, 0.25], 2.0).sentence == (
        "Its operators, each alone, take 1.75 ms together, 0.88 of the whole model's 2.00 ms."
    )
