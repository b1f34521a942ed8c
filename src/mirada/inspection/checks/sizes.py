"""How large objects are where the network sees them, and which tile or input would show them larger; tried on the data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from mirada.config import TASKS
from mirada.data.records import Box
from mirada.data.tiles import Region, grid
from mirada.inspection.finding import Example, Finding, many, percent
from mirada.inspection.survey import Survey, area, zoom_of

STRIDES = (8, 16, 32)  # pixels of the network's input behind a cell, a level each
SMALL = 12.0  # network pixels: an object of one cell and a half at the finest level
WANTED = 24.0  # network pixels: three cells across
FINEST_TILE, LARGEST_INPUT, STEP = 64, 1024, 32
MAY_BE_CUT = 0.05  # share of the objects that may be longer than three quarters of a tile


@dataclass(frozen=True)
class View:
    """How large the objects come out at one tile and input size.

    Attributes:
        key: the setting that makes it so.
        median: of the objects' sizes in network pixels, a size being the root of the area.
        small: share below SMALL.
        cut: share longer than three quarters of a tile.
        looks: network inputs an image, on average.
        cost: arithmetic an image, as a multiple of what the settings make now.
    """

    key: str
    median: float
    small: float
    cut: float
    looks: float
    cost: float = 1.0


def counted_boxes(survey: Survey) -> list[tuple[str, int, int, Box]]:
    """(source, width and height of its image, box) for every object that counts."""
    return [
        (image.source, image.width, image.height, box)
        for image in survey.images
        for box in image.boxes
        if not box.difficult
    ]


def network_sizes(survey: Survey, tile_size: int | None = None, input_size: int | None = None) -> np.ndarray:
    """The root of each object's area in network pixels, in the order of `counted_boxes`.

    Args:
        survey: its objects.
        tile_size, input_size: in the place of the settings'.
    """
    config = survey.config
    tile_size = config.data.tile.size if tile_size is None else tile_size
    sizes = []
    for _, width, height, box in counted_boxes(survey):
        across, down = zoom_of(width, height, input_size or config.input_size, config.fit, tile_size)
        sizes.append((area(box) * across * down) ** 0.5)
    return np.array(sizes)


def view(survey: Survey, tile_size: int | None = None, input_size: int | None = None, key: str = "") -> View:
    """Measure one choice of tile and input size on the data."""
    config = survey.config
    tile_size = config.data.tile.size if tile_size is None else tile_size
    sizes = network_sizes(survey, tile_size, input_size)
    longest = np.array([max(box.x2 - box.x1, box.y2 - box.y1) for _, _, _, box in counted_boxes(survey)])
    looks = _looks(survey, tile_size)
    cost = looks / _looks(survey, config.data.tile.size) * ((input_size or config.input_size) / config.input_size) ** 2
    cut = float((longest > 0.75 * tile_size).mean()) if tile_size else 0.0
    return View(key, float(np.median(sizes)), float((sizes < SMALL).mean()), cut, looks, cost)


def _looks(survey: Survey, tile_size: int) -> float:
    """Network inputs an image when it is looked at as training does."""
    if not tile_size:
        return 1.0
    shapes = Counter((image.width, image.height) for image in survey.images)
    overlap = survey.config.data.tile.overlap
    tiles = sum(len(grid(Region(0, 0, *shape), tile_size, overlap)) * count for shape, count in shapes.items())
    return tiles / len(survey.images)


def recommend(survey: Survey) -> list[View]:
    """The largest tile, and the smallest input, at which half of the objects are WANTED pixels large.

    A tile that would cut many objects is not proposed; an input is proposed even where it falls short, as far as it goes.
    """
    config, views = survey.config, list[View]()
    boxes = counted_boxes(survey)
    lengths = np.array([max(box.x2 - box.x1, box.y2 - box.y1) for _, _, _, box in boxes])
    wanted = np.median([area(box) ** 0.5 for _, _, _, box in boxes]) * config.input_size / WANTED
    whole = float(np.quantile(lengths, 1 - MAY_BE_CUT, method="higher")) / 0.75
    tile = int(max(wanted // STEP * STEP, -(-whole // STEP) * STEP, FINEST_TILE))
    current = config.data.tile.size or max(max(image.width, image.height) for image in survey.images)
    if tile < 0.8 * current and TASKS[config.data.task] == "objects":
        views.append(view(survey, tile_size=tile, key=f"data.tile.size={tile}"))
    now = float(np.median(network_sizes(survey)))
    side = int(-(-config.input_size * WANTED / now // STEP) * STEP)
    side = max(config.input_size + STEP, min(side, LARGEST_INPUT))
    if config.input_size < side <= LARGEST_INPUT:
        views.append(view(survey, input_size=side, key=f"input_size={side}"))
    return views


def find_small(survey: Survey) -> list[Finding]:
    """Objects too small for the detector's strides, with what would mend it."""
    if not survey.shows_boxes or not counted_boxes(survey):
        return []
    now = view(survey, key="as it is")
    if now.small < 0.2:
        return []
    severity = "error" if now.median < STRIDES[0] else "warning" if now.small >= 0.5 else "note"
    views = recommend(survey) if now.small >= 0.5 else []
    sizes = network_sizes(survey)
    boxes = counted_boxes(survey)
    order = np.argsort(sizes, kind="stable")
    sentence = (
        f"{percent(now.small)} of {many(len(boxes), 'object')} are smaller than {SMALL:g} pixels in the network's input of "
        f"{survey.config.input_size}, the median is {now.median:.1f}: a cell of the finest level is {STRIDES[0]} wide."
    )
    mend = " or ".join(
        f"{v.key} (median {v.median:.1f}, {percent(v.small)} small, {v.cost:.1f} × the work)" for v in views
    )
    if severity == "note":
        mend = "a smaller data.tile.size or a larger input_size, if the small ones matter"
    examples = tuple(
        Example(boxes[i][0], f"{sizes[i]:.1f} network pixels", (boxes[i][3],)) for i in _one_an_image(order, boxes)
    )
    rows = (
        ("setting", "median size", f"below {SMALL:g}", "cut by tiles", "inputs an image", "work"),
        *(
            (v.key, f"{v.median:.1f}", percent(v.small), percent(v.cut), f"{v.looks:.1f}", f"{v.cost:.1f} ×")
            for v in (now, *views)
        ),
    )
    count = int((sizes < SMALL).sum())
    return [Finding("objects_small", severity, count, sentence, mend, examples, rows if views else ())]


def find_cut(survey: Survey) -> list[Finding]:
    """Objects longer than a tile, which no tile shows whole."""
    tile = survey.config.data.tile.size
    if not tile or not survey.shows_boxes:
        return []
    boxes = counted_boxes(survey)
    lengths = np.array([max(box.x2 - box.x1, box.y2 - box.y1) for _, _, _, box in boxes])
    long = np.flatnonzero(lengths > tile)
    if len(long) == 0:
        return []
    share = len(long) / len(boxes)
    side = int(-(-np.quantile(lengths, 0.98) / 0.75 // STEP) * STEP)
    order = long[np.argsort(-lengths[long], kind="stable")]
    examples = tuple(Example(boxes[i][0], f"{lengths[i]:.0f} pixels long", (boxes[i][3],)) for i in order)
    objects = f"{many(len(long), 'object')} ({percent(share)})"
    sentence = f"{objects} longer than a tile of {tile} pixels: no tile shows them whole."
    severity = "warning" if share > MAY_BE_CUT else "note"
    mend = f"data.tile.size={side}" if severity == "warning" else "nothing to do, if these are few"
    return [Finding("objects_cut", severity, len(long), sentence, mend, examples)]


def _one_an_image(order: np.ndarray, boxes: list[tuple[str, int, int, Box]]) -> list[int]:
    """The first of each image's objects, in the order given."""
    first: dict[str, int] = {}
    for i in order:
        first.setdefault(boxes[i][0], int(i))
    return list(first.values())
