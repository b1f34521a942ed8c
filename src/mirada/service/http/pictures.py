"""The picture with boxes that the API gives back: made anew, so that nothing of the upload but pixels is in it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

from mirada.data.images import open_image
from mirada.tasks.pictures import annotate

MAX_SIDE = 2048
THUMBNAIL_SIDE = 256


def draw_found(
    data: bytes,
    detections: Sequence[dict[str, Any]],
    labels: Sequence[str],
    *,
    side: int = MAX_SIDE,
    png: bool = False,
    depth_range: Sequence[float] | None = None,
) -> bytes:
    """An image with its detections, as the bytes of a JPEG or PNG.

    Args:
        data: the image file's bytes, checked by `safety.check_image`.
        detections: as the API gives them, boxes in pixels of the image as displayed.
        labels: of the card; a label's place is its colour.
        side: a larger image is scaled down so that its longer side has so many pixels.
        png: as PNG, else JPEG.
        depth_range: of the card.
    """
    picture = open_image(data, transpose=True, depth_range=depth_range)
    scale = min(1.0, side / max(picture.size))
    if scale < 1:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    boxes = [None if found["box"] is None else [scale * corner for corner in found["box"]] for found in detections]
    texts = [
        f"{found['label']} {found['score']:.2f}" if len(labels) > 1 else f"{found['score']:.2f}" for found in detections
    ]
    if side == THUMBNAIL_SIDE:
        texts = ["" for _ in texts]
    annotate(picture, boxes, [labels.index(found["label"]) for found in detections], texts)
    buffer = io.BytesIO()
    if png:
        picture.save(buffer, "PNG", compress_level=3)
    else:
        picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
