"""How detections are judged, and what is resampled where there are few photographs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mirada.inference.card import Card
from mirada.inference.prediction import Detections
from mirada.tasks.resampling import Blocks

FEW = 30  # fewer photographs are resampled in blocks


@dataclass(frozen=True)
class Judging:
    """How detections are judged; the other tasks have no use for it.

    Attributes:
        max_detections: an image and class, the best first, that count.
        by_size: also measure small, medium and large objects, and average recall.
        blocks: what images fall into where they are resampled; None: they are whole.
    """

    max_detections: int = 100
    by_size: bool = False
    blocks: Blocks | None = None


PLAINLY = Judging()


def judging_of(card: Card, sizes: Sequence[tuple[int, int]], predictions: Iterable[Any]) -> Judging:
    """Every detection counts; few photographs that are looked at in tiles fall into blocks as large as a tile.

    Args:
        card: of the model.
        sizes: width and height of each photograph in pixels.
        predictions: all that are to be judged.
    """
    most = max((len(found) for found in predictions if isinstance(found, Detections)), default=0)
    blocks = Blocks(card.tile_size, tuple(sizes)) if card.tile_size and len(sizes) < FEW else None
    return Judging(max(PLAINLY.max_detections, most), by_size=True, blocks=blocks)
