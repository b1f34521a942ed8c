"""Whether processed data suits a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mirada.data.records import Dataset
from mirada.errors import MiradaError
from mirada.inference.card import Card, load_card

Misfits = dict[str, tuple[Any, Any]]  # key of the card -> what the model was made for, what the data has


def find_misfits(card: Card, dataset: Dataset) -> Misfits:
    """In what the data differs from what the model was trained on; what hinders most comes first."""
    given = {"task": dataset.task, "labels": dataset.classes, "input_size": dataset.input_size}
    given |= {"channels": dataset.channels, "fit": dataset.fit, "enhance": dataset.enhance}
    given |= {"depth_range": dataset.depth_range}
    return {key: (getattr(card, key), value) for key, value in given.items() if getattr(card, key) != value}


def check_suits(card: Card, dataset: Dataset, data_dir: str, model_dir: str, *, for_answers: bool = True) -> list[str]:
    """Refuse data that the model can't work on; return what a reader has to be warned of.

    Args:
        card: the model's card.
        dataset: the processed data.
        data_dir, model_dir: where they lie, for the sentences.
        for_answers: the model's answers are held against the data's; else it only looks at the images.

    Raises:
        MiradaError: input size or channels differ; task or labels do, and answers are wanted.
    """
    misfits = find_misfits(card, dataset)
    for key in ("task", "labels", "input_size", "channels"):
        if key in misfits and (for_answers or key in ("input_size", "channels")):
            raise MiradaError(_refusal(key, *misfits[key], data_dir, f"the model in {model_dir}"))
    notes = []
    if dataset.digest != card.data_digest:
        notes.append(f"The model was trained on other data ({card.dataset}, digest {card.data_digest[:12]}).")
    for key in ("fit", "enhance", "depth_range"):
        if key in misfits:
            made_for, given = misfits[key]
            notes.append(f"The images were prepared with {key}={given}, those of the training with {key}={made_for}.")
    return notes


def check_teacher(key: str, model_dir: str, dataset: Dataset, output_dir: str) -> None:
    """Refuse a teacher that can't speak of these data, whatever its network and input size are.

    Args:
        key: that names it, for the sentences.
        model_dir: its folder.
        dataset: what the student learns from.
        output_dir: where the student is written.

    Raises:
        MiradaError: it is not there, would be overwritten, or task, labels, channels or how images are prepared differ.
    """
    path = Path(model_dir) / "model.keras"
    if not path.is_file():
        raise MiradaError(
            f"{key}={model_dir}: there is no {path}: name the folder of a trained model, with model.keras and model.json."
        )
    if Path(model_dir).resolve() == Path(output_dir).resolve():
        raise MiradaError(f"{key}={model_dir} is output_dir itself, and would be overwritten: take another output_dir.")
    misfits = find_misfits(load_card(model_dir), dataset)
    for name in ("task", "labels", "channels", "fit", "enhance"):
        if name in misfits:
            made_for, given = (", ".join(v) if isinstance(v, list) else v for v in misfits[name])
            raise MiradaError(
                f"{key}={model_dir} was trained with {name}={made_for}, the data have {name}={given}: take a teacher that "
                "was trained with the same."
            )


def _refusal(key: str, made_for: Any, given: Any, data_dir: str, model: str) -> str:
    if key == "task":
        return f"{data_dir} is for {given}, {model} for {made_for}: take data for the same task."
    if key == "labels":
        return (
            f"{data_dir} has the classes {', '.join(given)}, {model} was trained for {', '.join(made_for)}: take data "
            "with the same classes."
        )
    unit = "pixels" if key == "input_size" else "channels"
    return (
        f"{data_dir} has images of {given} {unit}, {model} takes {made_for}: preprocess with {key}={made_for}, or train "
        "again."
    )
