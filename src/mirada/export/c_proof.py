"""The C decoder, compiled here with every warning an error and the sanitizers on, and asked what it finds."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mirada.errors import MiradaError
from mirada.export.c_code import pack_codes
from mirada.inference.card import Card
from mirada.inference.prediction import Classification, Detections, Localization, Prediction

FLAGS = (
    "-std=c99", "-O1", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
    "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
)  # fmt: skip
_AT_ONCE = 500  # files of one call


def why_not(compiler: str = "gcc") -> str:
    """A sentence where there is no compiler, else nothing."""
    return "" if shutil.which(compiler) else f"{compiler} is not installed: install it to have the C decoder compiled."


def compile_decoder(
    sources: Path, program: Path, compiler: str = "gcc", flags: Sequence[str] = FLAGS, more: Sequence[str] = ()
) -> None:
    """Make a program of what `write_decoder` wrote.

    Args:
        sources: the folder.
        program: the file to write.
        compiler: its command.
        flags: of the compiler; more: in addition, such as '-static'.

    Raises:
        MiradaError: there is no such compiler, or it has something to say.
    """
    if reason := why_not(compiler):
        raise MiradaError(reason)
    files = [path for path in sorted(sources.glob("mirada_*.c")) if path.name != "mirada_model.c"]
    command = [compiler, *flags, *more, *map(str, files), "-o", str(program), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MiradaError(f"{compiler} refuses the C decoder in {sources}: {_first_line(done.stderr)}")


def run_decoder(
    program: Path, card: Card, images: Sequence[Sequence[np.ndarray]], work: Path, before: Sequence[str] = ()
) -> list[Prediction]:
    """What the program finds.

    Args:
        program: what `compile_decoder` made.
        card: of the model.
        images: of each the int8 codes of the outputs, in the order of `mirada_outputs`.
        work: a folder for the tensors.
        before: the command that runs the program, where it is not this machine's.

    Raises:
        MiradaError: the program failed, or a sanitizer found something.
    """
    found: list[Prediction] = []
    for start in range(0, len(images), _AT_ONCE):
        files = []
        for number, outputs in enumerate(images[start : start + _AT_ONCE]):
            files.append(work / f"{number}.tensors")
            files[-1].write_bytes(pack_codes(outputs))
        command = [*before, str(program), *map(str, files)]
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
