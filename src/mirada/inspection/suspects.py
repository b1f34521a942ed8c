"""Labels that a trained model doubts, the worst first: likely mistakes, for a person to decide.

Of whole labels cleanlab decides (Northcutt, Jiang and Chuang, Confident Learning, JAIR 2021). Its measure of boxes takes a
minute for an image of 600 objects, and doubts nothing that a model scores below 0.95; so that of boxes is our own, of the
three kinds of ObjectLab (Tkachenko, Thyagarajan and Mueller, 2023), a swapped class, an object overlooked and a box
misplaced, and of a fourth: a box where the model sees nothing.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mirada.data.annotations import RawImage
from mirada.data.formats import WRITERS
from mirada.data.formats.writing import LabelSet, Written
from mirada.data.images import open_image
from mirada.data.records import Box
from mirada.errors import MiradaError
from mirada.inference.boxes import iou_matrix
from mirada.inference.engine import Engine, open_engine
from mirada.inference.prediction import Classification, Decoding, Detections, Localization, Prediction
from mirada.inspection.finding import Example, Finding, many
from mirada.inspection.survey import Survey

MET, NEAR = 0.5, 0.2  # overlap from which a detection is of an object; from which it is not nowhere near one
SEEN, SURE = 0.1, 0.5  # scores from which a detection counts at all; from which it may name an object overlooked
DOUBTED = 0.5  # doubt from which a label is told as a likely mistake
_KINDS = {
    "swapped": "of another class",
    "overlooked": "missing where the model is sure",
    "misplaced": "beside what the model sees",
    "unseen": "where the model sees nothing",
    "label": "of another class",
}


@dataclass(frozen=True)
class Suspect:
    """A label that may be wrong.

    Attributes:
        image: where.
        kind: one of _KINDS.
        doubt: 0..1, above 0.5 a likely mistake.
        box: the labelled box, or of what was overlooked the one that the model sees.
        seen: what the model sees instead, if it is elsewhere.
        note: a few words.
    """

    image: RawImage
    kind: str
    doubt: float
    box: Box
    seen: Box | None
    note: str


def open_model(survey: Survey) -> Engine:
    """The model of `model_dir`, which must be of the data's task and classes.

    Raises:
        MiradaError: it is not, or can't be opened.
    """
    config = survey.config
    folder = Path(str(config.model_dir))
    engine = open_engine(folder, config.variant, decoding=Decoding(score_floor=SEEN), threads=config.workers)
    if engine.card.task != config.data.task:
        raise MiradaError(
            f"model_dir={folder} is a model for {engine.card.task}, and data.task is {config.data.task}: give one for that."
        )
    if survey.classes and not set(survey.classes) & set(engine.card.labels):
        raise MiradaError(
            f"model_dir={folder} knows {', '.join(engine.card.labels[:5])}, and the data have "
            f"{', '.join(survey.classes[:5])}: give a model of these classes, or bring the names together by data.rename."
        )
    if engine.card.task != "detection":
        _cleanlab()
    return engine


def _cleanlab() -> Any:
    """The module of cleanlab that finds wrong labels; imported here, as it brings pandas and scikit-learn."""
    try:
        from cleanlab import filter as issues
    except ImportError as error:
        raise MiradaError(
            "model_dir looks for wrong labels of whole images by cleanlab, which is not installed: pip install cleanlab, or "
            "leave model_dir out."
        ) from error
    return issues


def find_suspects(survey: Survey, engine: Engine, on_done: Callable[[], object] = lambda: None) -> list[Suspect]:
    """Show every image to the model, and list what it doubts, the worst first.

    Args:
        survey: of the data.
        engine: of `open_model`.
        on_done: called after each image.

    Raises:
        MiradaError: an image can't be decoded.
    """
    told: list[tuple[RawImage, Prediction]] = []
    doubtful: list[Suspect] = []
    found, objects = 0, 0
    for image in survey.images:
        photograph: Path | bytes | Image.Image = image.content
        if "exif_ignored" in image.repairs:  # which the engine would not ignore
            card = engine.card
            photograph = open_image(image.content, channels=card.channels, depth_range=card.depth_range)
        prediction = engine.predict(photograph).prediction
        if isinstance(prediction, Detections):
            suspects, met = doubt_boxes(image, prediction, engine.card.labels)
            doubtful += suspects
            found, objects = found + met, objects + len(image.boxes)
        else:
            told.append((image, prediction))
        on_done()
    if told:
        return doubt_labels(told, engine.card.labels)
    recall = found / max(1, objects)  # a model that finds half of the objects says little by finding nothing
    doubtful = [replace(one, doubt=recall * one.doubt) if one.kind == "unseen" else one for one in doubtful]
    return sorted(doubtful, key=lambda one: (-one.doubt, one.image.source, one.box.x1))


def doubt_boxes(image: RawImage, found: Detections, labels: Sequence[str]) -> tuple[list[Suspect], int]:
    """What a detector doubts in one image, and how many of its objects it found.

    Args:
        image: with its labelled boxes; difficult ones are not doubted.
        found: detections in pixels of the image.
        labels: the model's classes.
    """
    suspects: list[Suspect] = []
    truth = np.array([(box.x1, box.y1, box.x2, box.y2) for box in image.boxes], float).reshape(-1, 4)
    boxes = np.asarray(found.boxes_xyxy, float)
    overlap = iou_matrix(truth, boxes)
    met = 0
    for box, row in zip(image.boxes, overlap, strict=True):
        same = np.array([labels[label] == box.label for label in found.labels], bool)
        rightly = float(np.max(found.scores, where=same & (row >= MET), initial=0.0))
        met += rightly > 0
        if box.difficult or box.label not in labels:
            continue
        other = np.where(~same & (row >= MET), found.scores, 0.0)
        beside = np.where(same & (row >= NEAR) & (row < MET), found.scores, 0.0)
        if len(other) and (doubt := other.max() * (1 - rightly)) >= SEEN and other.max() > rightly:
            name = labels[found.labels[other.argmax()]]
            note = f"labelled {box.label}, the model says {name} ({other.max():.2f})"
            suspects.append(Suspect(image, "swapped", float(doubt), box, None, note))
        elif not rightly and len(beside) and beside.max() > 0:
            at = int(beside.argmax())
            note = f"{box.label}: overlaps by {row[at]:.2f} with what the model sees ({beside[at]:.2f})"
            doubt = float(beside[at] * (1 - row[at]))
            suspects.append(Suspect(image, "misplaced", doubt, box, _box(boxes[at], box.label), note))
        elif not (row >= NEAR).any():
            suspects.append(Suspect(image, "unseen", 0.6, box, None, f"labelled {box.label}, the model sees nothing"))
    return suspects + _overlooked(image, found, overlap, labels), met


def _overlooked(image: RawImage, found: Detections, overlap: np.ndarray, labels: Sequence[str]) -> list[Suspect]:
    """What a detector is sure of where there is no label; several boxes of one thing count once."""
    boxes = np.asarray(found.boxes_xyxy, float)
    told: list[int] = []
    for at in map(int, np.flatnonzero(~(overlap >= NEAR).any(axis=0) & (found.scores >= SURE))):  # the best first
        if not told or iou_matrix(boxes[[at]], boxes[told]).max() < NEAR:
            told.append(at)
    return [
        Suspect(
            image, "overlooked", float(found.scores[at]), _box(boxes[at], labels[found.labels[at]]), None,
            f"no label, the model says {labels[found.labels[at]]} ({found.scores[at]:.2f})",
        )
        for at in told
    ]  # fmt: skip


def _box(corners: np.ndarray, label: str) -> Box:
    x1, y1, x2, y2 = (float(value) for value in corners)
    return Box(x1, y1, x2, y2, label)


def doubt_labels(told: Sequence[tuple[RawImage, Prediction]], labels: Sequence[str]) -> list[Suspect]:
    """The images whose label cleanlab takes for a mistake, and those whose one box lies elsewhere, the worst first.

    Raises:
        MiradaError: cleanlab is not installed.
    """
    known = [(image, said) for image, said in told if image.boxes and image.boxes[0].label in labels]
    if not known:
        return []
    given = np.array([labels.index(image.boxes[0].label) for image, _ in known])
    table = np.array([_probabilities(said) for _, said in known])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with few images it finds less, and says so
        issues = _cleanlab().find_label_issues(given, table, return_indices_ranked_by="self_confidence", n_jobs=1)
    suspects = []
    for at in issues:
        image, said = known[at]
        name, doubt = labels[int(table[at].argmax())], 1 - float(table[at, given[at]])
        note = f"labelled {image.boxes[0].label}, the model says {name} ({table[at].max():.2f})"
        seen = _box(said.box_xyxy, name) if isinstance(said, Localization) else None
        suspects.append(Suspect(image, "label", doubt, image.boxes[0], seen, note))
    named = {suspect.image.source for suspect in suspects}
    boxed = [(image, said) for image, said in known if isinstance(said, Localization) and image.source not in named]
    for image, said in boxed:
        box = image.boxes[0]
        overlap = float(
            iou_matrix(np.array([[box.x1, box.y1, box.x2, box.y2]]), said.box_xyxy[None].astype(float))[0, 0]
        )
        if overlap < NEAR:
            note = f"overlaps by {overlap:.2f} with where the model sees it"
            seen = _box(said.box_xyxy, box.label)
            suspects.append(Suspect(image, "misplaced", (1 - overlap) * said.probability, box, seen, note))
    return sorted(suspects, key=lambda one: (-one.doubt, one.image.source))


def _probabilities(said: Prediction) -> np.ndarray:
    assert isinstance(said, Classification)
    return said.probabilities / said.probabilities.sum()


def told_as_finding(suspects: Sequence[Suspect], survey: Survey, folder: Path) -> list[Finding]:
    """The finding, where there are likely mistakes among the suspects."""
    likely = [suspect for suspect in suspects if suspect.doubt >= DOUBTED]
    if not likely:
        return []
    counts = {kind: sum(suspect.kind == kind for suspect in likely) for kind in _KINDS}
    kinds = ", ".join(f"{count} {_KINDS[kind]}" for kind, count in counts.items() if count)
    images = len({suspect.image.source for suspect in likely})
    sentence = f"The model doubts {many(len(likely), 'label')} in {many(images, 'image')}: {kinds}."
    if "train" in {survey.split_of(suspect.image.source) for suspect in likely}:
        sentence += " Of images that it was trained on it doubts too little."
    mend = f"look at them, the worst first: {folder / 'suspects.csv'}; correct them in Label Studio: {folder / 'tasks.json'}"
    examples = tuple(
        Example(suspect.image.source, suspect.note, (suspect.box,), (suspect.seen,) if suspect.seen else ())
        for suspect in likely
    )
    return [Finding("label_errors", "warning", len(likely), sentence, mend, examples)]


def write_suspects(suspects: Iterable[Suspect], classes: Sequence[str], folder: Path) -> None:
    """Write `suspects.csv`, and what Label Studio opens: `tasks.json`, the labels as they are, and `view.xml`.

    Images stand there as they come in the list, the worst first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images: dict[str, RawImage] = {}
    with (folder / "suspects.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "kind", "doubt", "label", "x1", "y1", "x2", "y2", "why"))
        for one in suspects:
            images.setdefault(one.image.source, one.image)
            corners = (f"{value:.1f}" for value in (one.box.x1, one.box.y1, one.box.x2, one.box.y2))
            writer.writerow((one.image.source, one.kind, f"{one.doubt:.3f}", one.box.label, *corners, one.note))
    written = [Written(source, image.width, image.height, image.boxes) for source, image in images.items()]
    WRITERS["label_studio"].store(LabelSet(written, classes), folder)
