"""The C decoder, compiled with every warning an error, and asked what it finds: here with the sanitizers, and for arm64."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mirada.errors import MiradaError
from mirada.export import arm64
from mirada.export.c_code import pack_codes
from mirada.inference.card import Card
from mirada.inference.prediction import Classification, Detections, Localization, Prediction

STRICT = ("-std=c99", "-O1", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
_AT_ONCE = 500  # files of one call


@dataclass(frozen=True)
class Target:
    """A machine that the decoder is compiled for.

    Attributes:
        name: short. title: for people.
        compiler: its command; flags: besides `STRICT`.
        emulator: the command that runs what it makes, where it is not this machine's.
        emulator_why_not: a sentence where that can't be had, else nothing.
    """

    name: str
    title: str
    compiler: str
    flags: tuple[str, ...]
    emulator: Callable[[], list[str]] = list
    emulator_why_not: Callable[[], str] = str

    def why_not(self) -> str:
        """A sentence where it can't be had, else nothing."""
        if not shutil.which(self.compiler):
            return f"{self.compiler} is not installed: install it to have the C decoder compiled and tried."
        return self.emulator_why_not()


SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
HERE = Target("c_decoder", "C decoder (gcc, address and undefined-behaviour sanitizers)", "gcc", SANITIZERS)
ARM64 = Target(
    "c_decoder_arm64",
    "C decoder for arm64 under QEMU",
    "aarch64-linux-gnu-gcc",
    ("-static",),
    arm64.emulator,
    arm64.why_not,
)
TARGETS = (HERE, ARM64)


def compile_decoder(sources: Path, program: Path, target: Target = HERE) -> None:
    """Make a program of what `write_decoder` wrote.

    Args:
        sources: the folder.
        program: the file to write.
        target: what it is for.

    Raises:
        MiradaError: there is no such compiler, or it has something to say.
    """
    if reason := target.why_not():
        raise MiradaError(reason)
    files = [path for path in sorted(sources.glob("mirada_*.c")) if path.name != "mirada_model.c"]
    command = [target.compiler, *STRICT, *target.flags, *map(str, files), "-o", str(program), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MiradaError(f"{target.compiler} refuses the C decoder in {sources}: {_first_line(done.stderr)}")


def run_decoder(
    program: Path, card: Card, images: Sequence[Sequence[np.ndarray]], work: Path, target: Target = HERE
) -> list[Prediction]:
    """What the program finds.

    Args:
        program: what `compile_decoder` made.
        card: of the model.
        images: of each the int8 codes of the outputs, in the order of `mirada_outputs`.
        work: a folder for the tensors.
        target: what it was compiled for.

    Raises:
        MiradaError: the program failed, or a sanitizer found something.
    """
    found: list[Prediction] = []
    for start in range(0, len(images), _AT_ONCE):
        files = []
        for number, outputs in enumerate(images[start : start + _AT_ONCE]):
            files.append(work / f"{number}.tensors")
            files[-1].write_bytes(pack_codes(outputs))
        command = [*target.emulator(), str(program), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MiradaError(f"The C decoder failed ({_first_line(done.stderr)}): its answers can't be compared.")
        lines = iter(done.stdout.splitlines())
        found += [_read(lines, card) for _ in files]
    return found


def _read(lines: Iterator[str], card: Card) -> Prediction:
    """One image's answer, as `mirada_main` prints it."""
    head = next(lines).split()
    if card.task == "detection":
        rows = [next(lines).split() for _ in range(int(head[1]))]
        numbers = np.array([_numbers(row[1:6]) for row in rows]).reshape(-1, 5).astype(np.float32)
        return Detections(numbers[:, 1:], numbers[:, 0], np.array([int(row[0]) for row in rows], np.int64))
    label, probabilities = int(head[1]), np.array(_numbers(next(lines).split()[1:]))
    if card.task == "classification":
        return Classification(probabilities, label)
    box = np.array(_numbers(next(lines).split()[1:])).astype(np.float32)
    return Localization(probabilities, label, box, card.input_size)


def _numbers(words: Sequence[str]) -> list[float]:
    return [float.fromhex(word) for word in words]


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no message")
