"""How long each operator of a `.tflite` takes: each one alone, as a model of its own.

LiteRT's Python interpreter tells only the time of whole inferences. So each operator is written to a `.tflite` that holds
nothing else, with its weights and settings, and timed on random values as it would run in the whole model: with XNNPACK
at one thread. What operators cost or spare each other there (values that stay in the cache, layouts that suit the next
one) is not in these times; their sum against the whole model's time says how much that is. Of many runs the fastest counts,
as in `timeit`: other work on the machine only ever adds, and more to a long inference than to a short operator.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from mirada.inference.tflite_file import read_tables, to_bytes
from mirada.quiet import quiet_libraries

_RUNS, _WARMUP = 20, 3
_ROUNDS = 3  # each operator is timed so often, with all the others in between, so that a busy moment counts once


@dataclass
class OperatorTimes:
    """Milliseconds, of the fastest run.

    Attributes:
        alone: of each operator in the file's order.
        whole: of an inference of the whole model.
    """

    alone: list[float]
    whole: float

    @property
    def sentence(self) -> str:
        """How the two agree, for people."""
        total = sum(self.alone)
        return (
            f"Its operators, each alone, take {total:.2f} ms together, {total / self.whole:.2f} of the whole model's "
            f"{self.whole:.2f} ms."
        )


def time_operators(content: bytes) -> OperatorTimes:
    """Time each operator of a `.tflite` with one subgraph, and the whole.

    Args:
        content: the file's bytes.
    """
    model = read_tables(content)
    files = [_alone(model, operator) for operator in model.subgraphs[0].operators]
    interpreters = [_open(file) for file in (*files, content)]
    rounds = [[_fastest_ms(interpreter) for interpreter in interpreters] for _ in range(_ROUNDS)]
    *alone, whole = np.min(rounds, axis=0).tolist()
    return OperatorTimes(alone, whole)


def _alone(model: schema.ModelT, operator: schema.OperatorT) -> bytes:
    """A `.tflite` of one operator; its inputs that are no constants become the model's."""
    tensors, buffers = model.subgraphs[0].tensors, model.buffers
    used = list(dict.fromkeys(int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0))
    places = {old: new for new, old in enumerate(used)} | {-1: -1}
    graph, own = schema.SubGraphT(), schema.ModelT()
    graph.tensors, own.buffers = [], [schema.BufferT()]
    graph.inputs, graph.outputs = [], [places[int(i)] for i in operator.outputs]
    for old in used:
        tensor = _copy(tensors[old])
        data = buffers[tensor.buffer].data
        if data is not None and len(data):
            own.buffers.append(buffers[tensor.buffer])
            tensor.buffer = len(own.buffers) - 1
        else:
            tensor.buffer = 0
            if old not in operator.outputs:
                graph.inputs.append(places[old])
        graph.tensors.append(tensor)
    step = _copy(operator)
    step.inputs, step.outputs = ([places[int(i)] for i in ends] for ends in (operator.inputs, operator.outputs))
    step.opcodeIndex = 0
    graph.operators = [step]
    own.version, own.subgraphs = model.version, [graph]
    own.operatorCodes = [model.operatorCodes[operator.opcodeIndex]]
    return to_bytes(own)


def _copy(entry: Any) -> Any:
    """Shallow: what is inside is not changed."""
    other = type(entry)()
    other.__dict__.update(entry.__dict__)
    return other


def _open(content: bytes) -> Interpreter:
    with quiet_libraries():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for details in interpreter.get_input_details():
        shape, dtype = details["shape"], np.dtype(details["dtype"])
        if np.issubdtype(dtype, np.integer):
            low, high = (max(np.iinfo(dtype).min, -128), min(np.iinfo(dtype).max, 255))
            values = rng.integers(low, high, shape, endpoint=True).astype(dtype)
        else:
            values = rng.uniform(-1, 1, shape).astype(dtype)
        interpreter.set_tensor(details["index"], values)
    return interpreter


def _fastest_ms(interpreter: Interpreter) -> float:
    for _ in range(_WARMUP):
        interpreter.invoke()
    times = np.empty(_RUNS)
    for run in range(_RUNS):
        started = time.perf_counter()
        interpreter.invoke()
        times[run] = time.perf_counter() - started
    return float(times.min() * 1000)
