"""The file that leaves for the board: made before the test, whose page shows it, and shown to TensorFlow Lite Micro."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mirada.boards import tflm
from mirada.boards.asking import board_judge
from mirada.config import EvaluateConfig, FitConfig
from mirada.data.images import decode
from mirada.data.stored_data import open_dataset
from mirada.evaluation.on_board import Shipped
from mirada.evaluation.runtimes import Runtimes
from mirada.evaluation.weaknesses.robustness import pick_examples
from mirada.export.bundle.assembly import assemble, licence_of
from mirada.export.outside.beside import show_runtimes
from mirada.export.runtimes import REFERENCE, TFLM, XNNPACK, Runtime
from mirada.inference.card import Card, load_card
from mirada.inference.litert import Model
from mirada.inference.prediction import Decoding
from mirada.inference.variants import load_variants
from mirada.tasks import get_task

VARIANT = "best"  # what is shipped: the one within the budget


@dataclass(frozen=True)
class BoardAccuracy:
    """One file's main figure in TensorFlow Lite Micro and in LiteRT, on the same inputs of the network.

    Attributes:
        metric: key of the figure. name: what people call it. unit: 'tiles' or 'images', of the split.
        tflm, litert, reference: by TensorFlow Lite Micro, LiteRT with XNNPACK, LiteRT's reference kernels; None: not known.
        images: that were shown; of: that the split has.
        equal: of which TensorFlow Lite Micro gives the reference kernels' bytes.
        seconds: that it took.
        why: of a figure that is None, why; of a board that is no microcontroller what was shown instead; else nothing.
    """

    metric: str
    name: str
    unit: str
    split: str
    tflm: float | None
    litert: float | None
    reference: float | None
    images: int
    of: int
    equal: int
    seconds: float
    why: str = ""

    @property
    def difference(self) -> float | None:
        """By how much TensorFlow Lite Micro's is better than LiteRT's."""
        return None if self.tflm is None or self.litert is None else self.tflm - self.litert

    def record(self) -> dict[str, object]:
        """All of it for JSON."""
        return {**asdict(self), "difference": self.difference}

    def figures(self) -> dict[str, float]:
        """What is known, for the search's run in MLflow."""
        known = {f"chosen/tflm_{self.metric}": self.tflm, "chosen/tflm_difference": self.difference}
        return {name: value for name, value in known.items() if value is not None}

    def sentence(self) -> str:
        """For people."""
        if self.tflm is None or self.litert is None or self.difference is None:
            return f"its accuracy in {tflm.TITLE} is not known: {self.why}"
        number = f"all {self.of}" if self.images == self.of else f"{self.images} of {self.of}"
        more = f" ({self.why})" if self.why else ""
        return (
            f"in {tflm.TITLE} its {self.name} is {self.tflm:.4f}, in LiteRT {self.litert:.4f}, {abs(self.difference):.4f} "
            f"apart, on {number} {self.split} {self.unit}; the outputs of {self.equal} are the reference kernels'{more}"
        )


def ship(config: FitConfig, judged: EvaluateConfig, folder: Path) -> tuple[Shipped, BoardAccuracy]:
    """Make the file as the export will, and show the test split to it in every runtime.

    Args:
        config: of the search. judged: of the stage evaluate. folder: for the file.

    Raises:
        MiradaError: the board has no use for the file.
    """
    card, dataset = load_card(judged.model_dir), open_dataset(judged.data_dir)
    variant = load_variants(Path(judged.variants_dir))[VARIANT]
    content, shown = assemble(
        variant, card, VARIANT, config.device, config.io, licence_of(dataset), strips=config.in_strips
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.tflite"
    path.write_bytes(content)
    total = int(dataset.splits[judged.split]["images"])
    first = pick_examples(dataset, judged.split, 1)[0]
    image = Model(path, shown).to_tensor(decode(first.image, card.channels))
    most = most_images(path, image, 60 * config.tflm_minutes, total)
    within = Decoding(judged.score_floor, judged.nms_iou)  # as the stage judges tiles
    beside = show_runtimes(VARIANT, path, shown, dataset, judged.split, most, within)
    how = f"input {config.io}{', wide layers in strips of rows' if config.in_strips else ''}"
    shipped = Shipped(path, variant, board_judge(config.device), how, beside)
    return shipped, compare_accuracy(beside, card, judged.split, total, config.device.runtime)


def most_images(
    path: Path,
    image: np.ndarray,
    seconds: float,
    total: int,
    runtimes: tuple[Runtime, ...] = (REFERENCE, TFLM),
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """How many of so many images the slow runtimes get through in the time, by how long each takes for one; at least one.

    Args:
        path: the file. image: (1, S, S, C) as it takes it. runtimes: those that compute without vectors.
    """
    each = 0.0
    for runtime in (one for one in runtimes if not one.why_not()):
        times = []
        for count in (1, 2):
            began = clock()
            runtime.run(path, np.repeat(image, count, axis=0))
            times.append(clock() - began)
        each += max(times[1] - times[0], 0.0)  # without the start
    return min(total, max(1, int(seconds / each))) if each else total


def compare_accuracy(beside: Runtimes, card: Card, split: str, total: int, runtime: str) -> BoardAccuracy:
    """What the runtimes' answers come to.

    Args:
        beside: their answers. card: of the model. split: of the data. total: inputs in it. runtime: the board's.
    """
    task = get_task(card.task)
    why = beside.absent.get(TFLM.name, "")
    if not why and not beside.figures:
        why = "there is nothing to find in what was shown"
    if not why and runtime == "vela":
        why = "the file before Vela: an NPU's own arithmetic is not simulated here"
    figures = beside.figures
    return BoardAccuracy(
        task.main_metric, task.metric_name, "tiles" if card.tile_size else "images", split, figures.get(TFLM.name),
        figures.get(XNNPACK.name), figures.get(REFERENCE.name), beside.images, total, beside.equal.get(TFLM.name, 0),
        round(beside.seconds, 1), why,
    )  # fmt: skip
