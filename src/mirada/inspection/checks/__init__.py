"""What is looked for: every check takes the survey and returns what it noticed. A file a kind of finding."""

from __future__ import annotations

from collections.abc import Callable

from mirada.inspection.checks import alike, boxes, classes, files, names, pixels, shift, sizes
from mirada.inspection.finding import Finding
from mirada.inspection.survey import Survey

Check = Callable[[Survey], list[Finding]]

# In the order in which findings of one severity are told. What a check needs of the pixels is in `survey.seen`, which
# `looking.measure` fills while each image is open anyway: statistics, and a thumbnail of which hashes can be made.
CHECKS: tuple[Check, ...] = (
    files.find_refusals,
    files.find_left_out,
    files.find_repaired,
    files.find_odd,
    names.find_copies,
    alike.find_alike,
    names.find_originals,
    names.find_scenes,
    shift.find_shift,
    classes.find_missing,
    classes.find_rare,
    classes.find_without_objects,
    sizes.find_small,
    sizes.find_cut,
    boxes.find_overlaps,
    boxes.find_tiny,
    boxes.find_covering,
    pixels.find_constant,
    pixels.find_brightness,
    pixels.find_grey,
    pixels.find_shapes,
)
