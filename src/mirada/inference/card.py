"""The model card: all that whoever loads a model needs besides its `.tflite`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mirada.errors import MiradaError
from mirada.files import write_whole
from mirada.inference.prediction import check_outputs

FORMAT = 3


@dataclass
class Card:
    """The contract of a trained model.

    Attributes:
        task: its name, as in `data.task`.
        labels: class names; a class index points into it.
        input_size: side of the square input in pixels.
        channels: 3 (RGB) or 1 (grey).
        fit: how an image becomes the input: 'letterbox' (aspect kept, padded with grey 114) or 'stretch'.
        enhance: 'none' or 'equalize', done to the pixels (`images.load_input`).
        tile_size: side in pixels of the photograph of the tiles that the training saw, enlarged to `input_size`; 0: it saw
            whole images.
        tile_overlap: share of a tile's side by which the training's neighbours overlapped.
        depth_bits: of a channel of the images that the training saw.
        depth_range: the values of an image of more than 8 bits that become 0 and 255 (`pixels.depth`), in units of the
            file; None: the training saw none, and one of 16 bits keeps its upper 8. An image of 8 bits is taken as it is.
        object_sizes: sides (square root of the area) in pixels of the input of the training's objects: 5, 50 and 95 % are
            smaller; empty where a task knows no boxes.
        input_scale, input_offset: the float input tensor is `pixel * input_scale + input_offset`, pixel in 0..255.
        strides: pixels of the input to a cell of each output map, one entry a level; empty without maps.
        outputs: part -> output names, one a level, as in the signature 'serving_default'; see
            `mirada.inference.prediction` for what the parts of each task mean.
        threshold: classification with two classes: the second one's probability from which on it is chosen; 0.5, or
            chosen on validation images.
        min_score: detection: what is less sure is left out where nobody says otherwise, chosen on validation images.
        dataset: name of the data; data_digest: digest of `dataset.json`.
        model: the network's settings.
        training: the settings of its training, which quantization-aware training takes up.
        metrics: the best epoch's validation metrics.
        git_commit, git_dirty: code the model was trained with; None outside a checkout.
        run_id, tracking_uri: the MLflow run that later stages add to; None when tracking was off.
        trained_at: UTC time, ISO 8601.
    """

    task: str
    labels: list[str]
    input_size: int
    channels: int
    fit: str
    strides: list[int]
    outputs: dict[str, list[str]]
    dataset: str
    data_digest: str
    model: dict[str, Any]
    input_scale: float = 1 / 127.5
    input_offset: float = -1.0
    enhance: str = "none"
    tile_size: int = 0
    tile_overlap: float = 0.0
    depth_bits: int = 8
    depth_range: list[float] | None = None
    object_sizes: list[float] = field(default_factory=list)
    threshold: float = 0.5
    min_score: float = 0.25
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    git_commit: str | None = None
    git_dirty: bool | None = None
    run_id: str | None = None
    tracking_uri: str | None = None
    trained_at: str | None = None
    format: int = FORMAT


def save_card(card: Card, path: Path) -> None:
    """Write the card as JSON, whole or not at all; a file that was linked elsewhere stays as it is there."""
    write_whole(path, json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n")


def load_card(folder: str | Path) -> Card:
    """Read `model.json` of a folder.

    Raises:
        MiradaError: it is absent (training has not run), damaged or of another format.
    """
    path = Path(folder) / "model.json"
    if not path.is_file():
        raise MiradaError(f"{path} is missing: run the train stage first (`dvc repro train`).")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise MiradaError(f"{path} has format {content['format']}, expected {FORMAT}: train the model again.")
        card = Card(**content)
        check_outputs(card)
    except (ValueError, KeyError, TypeError) as error:
        raise MiradaError(f"{path} is corrupt ({error!r}): run the train stage again (`dvc repro train`).") from error
    return card
