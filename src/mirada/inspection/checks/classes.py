"""How many of what there is: classes that are rare, absent from a split, or outnumbered; images without objects."""

from __future__ import annotations

from collections import Counter

from mirada.config import TASKS
from mirada.data.records import SPLITS
from mirada.inspection.finding import Example, Finding, many, percent
from mirada.inspection.survey import Survey

FEW_TO_LEARN = 30  # objects in train
FEW_TO_JUDGE = 10  # objects in test
UNEQUAL = 10.0  # the most frequent class against the rarest


def find_missing(survey: Survey) -> list[Finding]:
    """Classes without an object in a split that has images."""
    findings = []
    for split in ("train", "val", "test"):
        if not survey.units.get(split):
            continue
        missing = [label for label in survey.classes if not survey.boxes[split][label]]
        if missing and split != "train":  # without training images the data are refused
            sentence = f"{many(len(missing), 'class', 'classes')} without an object in {split}: {_some(missing)}."
            mend = "data.split.kind=ratio gives every split its share of each class, or add images of them"
            findings.append(Finding(f"class_missing.{split}", "warning", len(missing), sentence, mend))
    return findings


def find_rare(survey: Survey) -> list[Finding]:
    """Classes of few objects, and those that others outnumber."""
    if not survey.boxes:
        return []
    findings = []
    train, test = survey.boxes["train"], survey.boxes["test"]
    few = [label for label in survey.classes if 0 < train[label] < FEW_TO_LEARN]
    if few:
        listed = _some([f"{label} ({train[label]})" for label in few])
        sentence = f"{many(len(few), 'class', 'classes')} with fewer than {FEW_TO_LEARN} in train: {listed}."
        mend = "add images of them, or put classes together with data.rename"
        examples = _show(survey, few)
        findings.append(Finding("class_rare", "warning", len(few), sentence, mend, examples))
    hard = [label for label in survey.classes if 0 < test[label] < FEW_TO_JUDGE]
    if hard:
        listed = _some([f"{label} ({test[label]})" for label in hard])
        number = many(len(hard), "class", "classes")
        sentence = f"{number} with fewer than {FEW_TO_JUDGE} in test, too few to judge by: {listed}."
        findings.append(Finding("class_hard_to_judge", "note", len(hard), sentence, "raise data.split.test"))
    counts = Counter({label: train[label] for label in survey.classes if train[label]})
    if len(counts) > 1:
        (most, large), (least, small) = counts.most_common()[0], counts.most_common()[-1]
        if large >= UNEQUAL * small:
            label_task = TASKS[survey.config.data.task] == "label"
            mend = (
                "train.class_weight=loss"
                if label_task
                else "add images of the rare classes: photographs that hold them"
            )
            sentence = f"{most!r} is {large / small:.0f} times as frequent in train as {least!r} ({large} to {small})."
            findings.append(Finding("class_imbalance", "warning", len(counts), sentence, mend))
    return findings


def _show(survey: Survey, labels: list[str]) -> tuple[Example, ...]:
    """Training images of some classes, one of each class before a second of any."""
    turns = Counter[str]()
    found: list[tuple[int, int, Example]] = []
    for image in survey.images:
        boxes = tuple(box for box in image.boxes if box.label in labels)
        if boxes and survey.split_of(image.source) in ("train", ""):
            label = boxes[0].label
            found.append((turns[label], labels.index(label), Example(image.source, label, boxes)))
            turns[label] += 1
    return tuple(example for *_, example in sorted(found, key=lambda one: one[:2]))


def find_without_objects(survey: Survey) -> list[Finding]:
    """Images that show nothing that is to be found."""
    if TASKS[survey.config.data.task] != "objects":
        return []
    empty = [image for image in survey.images if not image.boxes]
    if not empty:
        return []
    share = len(empty) / len(survey.images)
    severity = "warning" if share > 0.5 else "note"
    sentence = (
        f"{many(len(empty), 'image')} ({percent(share)}) without an object: they teach what background looks like."
    )
    examples = tuple(Example(image.source, survey.split_of(image.source)) for image in empty)
    mend = "look whether objects were forgotten in them"
    return [Finding("image_without_objects", severity, len(empty), sentence, mend, examples)]


def count_table(survey: Survey) -> tuple[tuple[str, ...], ...]:
    """Images, and objects of each class, by split: the head, then a row a line."""
    splits = [split for split in SPLITS if survey.units.get(split)]
    if not splits:
        return ()
    what = "tiles" if survey.config.data.tile.size else "images"
    rows = [("", *splits, "all"), (what, *(str(survey.units[s]) for s in splits), str(sum(survey.units.values())))]
    totals = Counter({label: sum(survey.boxes[s][label] for s in splits) for label in survey.classes})
    for label, total in sorted(totals.items(), key=lambda pair: (-pair[1], pair[0])):
        rows.append((label, *(str(survey.boxes[s][label]) for s in splits), str(total)))
    return tuple(rows)


def _some(words: list[str], most: int = 8) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
