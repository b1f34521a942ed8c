"""Run a `.tflite` file with LiteRT: pixels in, named float maps out, timed and weighed.

LiteRT hands float and int8 operators to XNNPACK by default, and so does this module.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mirada.data.images import decode
from mirada.data.records import Example
from mirada.errors import MiradaError
from mirada.inference.card import Card
from mirada.inference.maps import Output, Quantized, to_floats
from mirada.inference.prediction import STANDARD, Decoding, Prediction, decode_outputs
from mirada.quiet import quiet_libraries

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

SIGNATURE = "serving_default"
TURN = 10  # inferences of one model before another has its turn

# Only what inference needs is imported here. ru_maxrss would do outside Linux; on Linux a child begins with its
# parent's, so there the peak is read from /proc.
_MEMORY_SCRIPT = """
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

def peak():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except OSError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)

before = peak()
interpreter = Interpreter(model_path=sys.argv[1], num_threads=int(sys.argv[2]))
interpreter.allocate_tensors()
details = interpreter.get_input_details()[0]
for _ in range(3):
    interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
    interpreter.invoke()
print(json.dumps({"before": before, "peak": peak()}))
"""


class Model:
    """A `.tflite` variant, ready to run one image at a time.

    Args:
        path: the file.
        card: how pixels become its input, and the names of its outputs.
        num_threads: threads an inference may use.
        reference: run LiteRT's reference kernels: slow, and the same bytes on every machine.

    Attributes:
        load_ms: time it took to read the file and to prepare it for inference.

    Raises:
        MiradaError: the file is absent or damaged, or does not fit the card.
    """

    def __init__(self, path: str | Path, card: Card, num_threads: int = 1, *, reference: bool = False) -> None:
        self.path, self.card = Path(path), card
        indices = _output_indices(self.path)  # first: it imports LiteRT, which is not part of the time below
        started = time.perf_counter()
        self._interpreter = _open(self.path, num_threads, reference=reference)
        self.load_ms = (time.perf_counter() - started) * 1000
        self._input = self._interpreter.get_input_details()[0]
        self._check_input()
        wanted = [name for names in card.outputs.values() for name in names]
        if lacking := [name for name in wanted if name not in indices]:
            raise MiradaError(f"{self.path} has no output {lacking[0]!r}, which the card names: quantize again.")
        details = {entry["index"]: entry for entry in self._interpreter.get_output_details()}
        self._outputs = {name: details[indices[name]] for name in wanted}

    def _check_input(self) -> None:
        side, channels = self.card.input_size, self.card.channels
        if tuple(self._input["shape"]) != (1, side, side, channels):
            raise MiradaError(
                f"{self.path} takes {tuple(map(int, self._input['shape']))}, the card says (1, {side}, {side}, "
                f"{channels}): quantize the model of this card again."
            )
        if self._input["dtype"] not in (np.float32, np.uint8, np.int8):
            raise MiradaError(
                f"{self.path} takes {self._input['dtype'].__name__}, expected float32, uint8 or int8: quantize again."
            )

    def predict(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Run one image.

        Args:
            image: (S, S, C) uint8 pixels. A uint8 variant takes them as they are, an int8 one less 128, a float one scaled
                as the card says.

        Returns:
            Output name -> (1, H, W, channels) float32; quantized outputs are dequantized.
        """
        self.set_image(image)
        self.invoke()
        return self.read()

    def find(self, image: np.ndarray, decoding: Decoding = STANDARD) -> Prediction:
        """Run one image, (S, S, C) uint8 pixels, and decode what comes out."""
        self.set_image(image)
        self.invoke()
        return decode_outputs(self.read_codes(), self.card, decoding)

    def set_image(self, image: np.ndarray) -> None:
        """Put (S, S, C) uint8 pixels where the next inference reads them."""
        tensor = self.to_tensor(image)
        if tensor.shape != tuple(self._input["shape"]):
            raise ValueError(f"the network takes {tuple(self._input['shape'][1:])} pixels, not {image.shape}")
        # Written straight into the tensor, `set_tensor` copies twice; a view that is kept would forbid `invoke`.
        self._interpreter.tensor(self._input["index"])()[:] = tensor

    def to_tensor(self, image: np.ndarray) -> np.ndarray:
        """(S, S, C) uint8 pixels as the input tensor that they become, (1, S, S, C)."""
        if self._input["dtype"] == np.float32:
            image = pixels_to_input(image, self.card)
        elif self._input["dtype"] == np.int8:
            image = (image ^ 128).view(np.int8)
        return image[None]

    def invoke(self) -> None:
        """Run the image set last; other threads go on meanwhile."""
        self._interpreter.invoke()

    def read(self) -> dict[str, np.ndarray]:
        """The outputs of the last inference, as `predict` gives them."""
        return {name: to_floats(output) for name, output in self.read_codes().items()}

    def read_codes(self) -> dict[str, Output]:
        """The outputs of the last inference; those that are quantized stay so."""
        return {name: self._read(details) for name, details in self._outputs.items()}

    def read_tensors(self) -> dict[str, np.ndarray]:
        """Likewise, as the network gives them, in its own type."""
        return {name: self._interpreter.get_tensor(details["index"]) for name, details in self._outputs.items()}

    def _read(self, details: dict[str, Any]) -> Output:
        value: np.ndarray = self._interpreter.get_tensor(details["index"])
        return value if value.dtype == np.float32 else Quantized(value, *details["quantization"])

    def time_inference(self, runs: int, warmup: int = 0) -> np.ndarray:
        """(runs,) milliseconds of each inference alone on the image set last, after `warmup` untimed ones."""
        invoke, clock = self._interpreter.invoke, time.perf_counter
        for _ in range(warmup):
            invoke()
        latencies = np.empty(runs)
        for i in range(runs):
            started = clock()
            invoke()
            latencies[i] = clock() - started
        return latencies * 1000


def predict_examples(
    models: Mapping[str, Model],
    examples: Iterable[Example],
    decoding: Decoding = STANDARD,
    advance: Callable[[], object] = lambda: None,
) -> tuple[list[Example], dict[str, list[Any]]]:
    """Run stored examples through models of one card, each example through all before the next.

    Args:
        models: name -> model; at least one.
        examples: as `Dataset.examples` gives them.
        decoding: of detections.
        advance: called after each example.

    Returns:
        The examples without their images, and name -> the predictions in the same order.
    """
    truths: list[Example] = []
    predictions: dict[str, list[Any]] = {name: [] for name in models}
    for example in examples:
        for name, found in find_in(models, example, decoding).items():
            predictions[name].append(found)
        truths.append(replace(example, image=b""))
        advance()
    return truths, predictions


def find_in(models: Mapping[str, Model], example: Example, decoding: Decoding = STANDARD) -> dict[str, Prediction]:
    """What each of several models of one card finds in a stored example."""
    image = decode(example.image, next(iter(models.values())).card.channels)
    return {name: model.find(image, decoding) for name, model in models.items()}


class Timed(Protocol):
    """What can be timed: a `Model`, or something to measure it by."""

    def set_image(self, image: np.ndarray) -> None:
        """Put pixels where the next inference reads them."""

    def time_inference(self, runs: int, warmup: int = 0) -> np.ndarray:
        """(runs,) milliseconds, after `warmup` untimed ones."""


def measure_latencies(
    models: Mapping[str, Timed],
    image: np.ndarray,
    runs: int,
    warmup: int,
    advance: Callable[[], object] = lambda: None,
) -> dict[str, np.ndarray]:
    """Time several models against each other.

    They take turns, a few inferences at a time and each round in another order, so that a machine that grows slower
    or faster meanwhile does so for all of them.

    Args:
        models: name -> model.
        image: (S, S, C) uint8 pixels.
        runs: timed inferences of each.
        warmup: untimed inferences of each at the start; one more begins each turn.
        advance: called after each turn.

    Returns:
        Name -> (runs,) milliseconds.
    """
    for model in models.values():
        model.set_image(image)
        model.time_inference(0, warmup)
    names = list(models)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for turn, done in enumerate(range(0, runs, TURN)):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            parts[name].append(models[name].time_inference(min(TURN, runs - done), warmup=1))
            advance()
    return {name: np.concatenate(times) for name, times in parts.items()}


def _open(path: Path, num_threads: int = 1, *, delegates: bool = True, reference: bool = False) -> Interpreter:
    """An interpreter with its tensors allocated.

    Args:
        path: the file.
        num_threads: threads an inference may use.
        delegates: hand operators to XNNPACK.
        reference: run the plain kernels, which give the same bytes on every machine.

    Raises:
        MiradaError: the file is absent or damaged.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    if not path.is_file():
        raise MiradaError(f"{path} is missing: run the quantize stage first (`dvc repro quantize`).")
    resolver = OpResolverType.AUTO if delegates else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    resolver = OpResolverType.BUILTIN_REF if reference else resolver
    try:
        with quiet_libraries():  # notes about the delegate
            interpreter = Interpreter(str(path), num_threads=num_threads, experimental_op_resolver_type=resolver)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise MiradaError(f"{path} is no usable .tflite file ({reason}): run the quantize stage again.") from error
    return interpreter


def _output_indices(path: Path) -> dict[str, int]:
    """Output name -> tensor index, from the signature.

    The converter reorders and renames outputs, so only the signature tells them apart. It is read from an interpreter
    of its own: one that has given out a signature runner may refuse to `invoke`.
    """
    interpreter = _open(path, delegates=False)
    if SIGNATURE not in interpreter.get_signature_list():
        raise MiradaError(f"{path} has no signature {SIGNATURE!r}: run the quantize stage again.")
    details = interpreter.get_signature_runner(SIGNATURE).get_output_details()
    return {name: int(entry["index"]) for name, entry in details.items()}


def gzip_size(content: bytes) -> int:
    """Bytes that a file takes after gzip at its usual level: what is stored in an archive or sent over a network."""
    return len(gzip.compress(content, 6, mtime=0))


def float_operators(path: str | Path) -> list[str]:
    """The operators that read or write floating-point tensors, as 'KIND (name of its first output)'.

    Delegates are left out, so that each operator of the file is seen. Empty for a full-integer model.
    """
    interpreter = _open(Path(path), delegates=False)
    tensors = {entry["index"]: entry for entry in interpreter.get_tensor_details()}
    found = []
    for operator in interpreter._get_ops_details():  # no public call lists operators
        used = [tensors[i] for i in (*operator["inputs"], *operator["outputs"]) if i in tensors]
        if any(np.issubdtype(entry["dtype"], np.floating) for entry in used):
            found.append(f"{operator['op_name']} ({tensors[operator['outputs'][0]]['name']})")
    return found


def peak_memory_mb(path: str | Path, num_threads: int = 1) -> tuple[float, float]:
    """Peak resident memory of a fresh process that does nothing but load the model and run it three times.

    Returns:
        The peak of the whole process, and what Python with NumPy and LiteRT had taken before the model; both in MiB.

    Raises:
        MiradaError: that process failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY_SCRIPT, str(path), str(num_threads)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MiradaError(f"The memory of {path} can't be measured ({reason}): run the quantize stage again.")
    figures = json.loads(done.stdout.splitlines()[-1])
    return figures["peak"], figures["before"]


def pixels_to_input(image: np.ndarray, card: Card) -> np.ndarray:
    """(S, S, C) uint8 pixels as a float network takes them."""
    return image.astype(np.float32) * np.float32(card.input_scale) + np.float32(card.input_offset)
