"""Mirada trains small vision models, shrinks them to int8 and measures what the shrinking cost.

For notebooks and scripts, without TensorFlow and MLflow:

    import mirada

    model = mirada.load("models/quantize", variant="best")
    found = model.predict("photograph.jpg").prediction
    print(found.boxes_xyxy, found.scores, [model.card.labels[label] for label in found.labels])
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirada.inference.engine import Engine

__all__ = ["load"]


def load(
    folder: str | Path,
    variant: str | None = None,
    *,
    view: str = "auto",
    tile: int | None = None,
    overlap: float | None = None,
    scales: tuple[float, ...] = (1.0,),
    min_score: float | None = 0.001,
    max_detections: int | None = None,
    threads: int = 1,
) -> Engine:
    """A model that is ready for photographs: `load(...).predict(photograph)`.

    Args:
        folder: what the stage quantize wrote, such as `models/quantize`.
        variant: its name; None: 'best' where there is one, else 'int8', else the first.
        view: 'auto' looks at a photograph as the training did, 'whole' scales it into the input, 'tiles' cuts it.
        tile: side of a tile in pixels of the photograph; None: the card's.
        overlap: share of a tile's side by which neighbours overlap, 0..0.8; None: a half.
        scales: sizes at which the photograph is looked at.
        min_score: detections with a lower score are left out, 0..1; None: the card's, chosen on
            validation images as `predict` and the service have it.
        max_detections: how many are kept; None: 100 in a whole view, all that tiles find. What is left out is counted.
        threads: inferences at a time in tiles, threads of one inference in a whole view.

    Raises:
        MiradaError: a stage has not run, a file is damaged, there is no such variant, or a value is out of range.
    """
    from mirada.inference.engine import open_engine
    from mirada.inference.prediction import Decoding
    from mirada.inference.tiling import Viewing

    viewing = Viewing(view, tile, overlap, tuple(scales))
    decoding = Decoding(max_detections=max_detections)
    engine = open_engine(folder, variant, viewing=viewing, decoding=decoding, threads=threads)
    least = engine.card.min_score if min_score is None else min_score
    engine.decoding = replace(decoding, score_floor=least)
    return engine
