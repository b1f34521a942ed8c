"""`README.md` of a bundle: a model card for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mirada.config import DeviceConfig
from mirada.evaluation.figures import COSTS
from mirada.export.bundle import model_file
from mirada.export.bundle.content import BundleContent
from mirada.inference.card import Card
from mirada.inference.tflite_file import read_tables
from mirada.tables import signed_text
from mirada.tasks import get_task

_PURPOSE = {
    "detection": "Finds objects in pictures: a box, a label and a score for each.",
    "localization": "Says what a picture's one object is, and where: a label with its probability, and a box.",
    "classification": "Says what a picture shows: a label with its probability.",
}
_OBJECTS = {"detection": "boxes", "localization": "a label and a box", "classification": "a label"}
_INPUTS = {
    "uint8": "the pixels as they are, 0 to 255.",
    "int8": "the pixels less 128.",
    "float32": "pixel × {scale:.9g} + {offset:.9g}.",
}
_FILES = {
    "model.tflite": "the model; labels and normalisation are in it as TFLite Metadata",
    "model.json": "the model's card: what a program needs to know",
    "labels.txt": "a label a line, in the order of the classes",
    "run.py": "predict, selftest and benchmark in one file, for Python 3.11 and later",
    "golden": "test pictures with exact input, outputs and objects",
    "bundle.json": "what was exported, for which device",
    "c": "the model as an array, its operators for TensorFlow Lite Micro, a decoder in C99 with an example, and the arena",
    "npu": "the model compiled by Vela, what it is estimated to cost, and its layers as a table and a plot",
    "memory.png": "the memory of an inference over its operators, a tensor an area, the peak marked",
    "memory.csv": "the same, a tensor a line",
    "proof.md": "what each runtime that could be had answered to the golden pictures, beside LiteRT's reference kernels",
    "proof.json": "the same, for programs",
    "SHA256SUMS": "the digest of every other file",
}
_FACTS = {
    "operators": "operators",
    "cores": "cores",
    "clock_mhz": "clock",
    "ram_bytes": "RAM",
    "flash_bytes": "flash",
    "time_known": "time of an inference",
    "vela": "compiled for",
}
_OPERATORS = {
    "litert": "those of LiteRT",
    "tflm": "those of TensorFlow Lite Micro",
    "edgetpu": "those of the Edge TPU's compiler",
}
_UNITS = {"clock_mhz": " MHz", "ram_bytes": " bytes", "flash_bytes": " bytes"}
_BOARD = (
    "`run.py` runs on a computer, not on the board: that runs `model.tflite` with TensorFlow Lite Micro. What the board "
    "must give for the pictures of `golden/` lies in each .npz under `reference/`, from LiteRT's reference kernels."
)
_RUNTIMES = {
    "litert": "",
    "tflm": _BOARD,
    "vela": f"{_BOARD} The NPU takes what Vela compiles of it with the settings below.",
    "edgetpu": "`run.py` runs on the host's processor. For the Edge TPU, `model.tflite` was checked and no more: it is int8 "
    "between its ends, and its operators are among those that Google's compiler takes; compile it with `edgetpu_compiler`.",
}
_TIMES = {
    "measured": "An inference's time on this device is measured.",
    "simulated": "An inference's time on this device is simulated by Vela, not measured.",
    "unknown": "How long an inference takes on this device is not known: nobody has timed it there.",
}


def write_readme(bundle: BundleContent, folder: Path) -> list[Path]:
    """Write it; the folder holds all other files by then."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    card, device = bundle.card, bundle.device
    input_type, outputs = model_file.types_of_ends(read_tables(bundle.model))
    sizes = [f"{size:g}" for size in card.object_sizes]
    text = environment.get_template("readme.md.j2").render(
        card=card, device=device, variant=bundle.variant, notes=bundle.notes, purpose=_PURPOSE[card.task],
        runtime=_RUNTIMES[device.runtime], view=_view_text(card), objects=_OBJECTS[card.task], input_type=input_type,
        input_text=_INPUTS[input_type].format(scale=card.input_scale, offset=card.input_offset),
        output_types=" and ".join(sorted(set(outputs))), source=_source_text(bundle.about_data),
        licence=bundle.about_data.get("source", {}).get("licence", ""), counts=bundle.about_data.get("counts", ""),
        figures=_figures(bundle), facts=_facts(device), time_text=_TIMES[device.time_known], sizes=sizes,
        files=_files(folder),
    )  # fmt: skip
    path = folder / "README.md"
    path.write_text(text, encoding="utf-8")
    return [path]


def _view_text(card: Card) -> str:
    if card.tile_size:
        return (
            f"A picture is looked at in overlapping tiles of {card.tile_size} pixels, each enlarged to {card.input_size}, "
            "as the training saw them; `--view whole` scales it into the input at once."
        )
    how = {"letterbox": "keeps its shape and is padded with grey", "stretch": "is stretched into the square"}
    return f"A picture is scaled to {card.input_size} pixels; it {how[card.fit]}."


def _source_text(about: dict[str, Any]) -> str:
    source = about.get("source", {})
    words = [str(source[key]) for key in ("package", "version", "path", "url", "kaggle") if source.get(key)]
    return f", from {' '.join(words)}" if words else ""


def _figures(bundle: BundleContent) -> list[tuple[str, str]]:
    figures, task = bundle.figures, get_task(bundle.card.task)
    rows = []
    for column in (*task.main_columns, *task.more_columns):
        if column.key in figures:
            text = f"{figures[column.key]:.{column.digits}f}"
            low, high = (figures.get(f"{column.key}_{end}") for end in ("low", "high"))
            rows.append((column.heading, text if low is None or high is None else f"{text} ({low:.3f} to {high:.3f})"))
    if "drop" in figures:
        interval = [signed_text(figures[key]) for key in ("drop_low", "drop_high") if key in figures]
        rows.append(("drop", signed_text(figures["drop"]) + (f" ({' to '.join(interval)})" if interval else "")))
    return rows + [(cost.heading, cost.text(figures[cost.key])) for cost in COSTS if cost.key in figures]


def _facts(device: DeviceConfig) -> list[tuple[str, str, str]]:
    rows = []
    for key, name in _FACTS.items():
        value = getattr(device, key)
        if key == "vela" and value is not None:
            value = f"{value.accelerator}, {value.system_config}, {value.memory_mode}"
        if key == "operators":
            value = _OPERATORS[value]
        if value is None and key == "vela":
            continue
        text = f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        text = "not known" if value is None else text + _UNITS.get(key, "")
        rows.append((name, text, device.sources.get(key, "")))
    return rows


def _files(folder: Path) -> list[tuple[str, str]]:
    """The bundle's files and folders, those that other parts wrote with no more than their name."""
    there = {path.name for path in folder.iterdir()} | {"SHA256SUMS"}
    named = [(name + "/" * (folder / name).is_dir(), text) for name, text in _FILES.items() if name in there]
    return named + [(name + "/" * (folder / name).is_dir(), "") for name in sorted(there - set(_FILES))]
