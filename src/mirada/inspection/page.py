"""The page of findings, and the lines that are printed."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mirada.config import SEVERITIES, InspectConfig
from mirada.inspection.checks.classes import count_table
from mirada.inspection.checks.sizes import SMALL, STRIDES, network_sizes
from mirada.inspection.finding import Example, Finding, many
from mirada.inspection.survey import Survey
from mirada.pages import data_url, render
from mirada.plots import ink_colour, line_colour, new_figure, to_png

TEMPLATE = Path(__file__).with_name("inspect.html.j2")
_DISTRIBUTED = 10  # images that have a distribution
_ROWS, _NOTES, _WIDE = 12, 5, 118  # classes and notes that are printed, characters of a line

Pictures = Mapping[str, Sequence[tuple[Example, bytes | None]]]
"""Finding's id -> its examples and their pictures."""


def render_page(survey: Survey, findings: Sequence[Finding], pictures: Pictures, seconds: float) -> str:
    """The page, with style, plots and pictures inside it.

    Args:
        survey: of the data.
        findings: the worst first.
        pictures: of the findings that have any.
        seconds: that it took.
    """
    config = survey.config
    counts = count_table(survey)
    shown = [
        {
            "finding": finding,
            "pictures": [
                {"example": example, "data": data_url(content, "webp") if content else ""}
                for example, content in pictures.get(finding.id, ())
            ],
            "more": finding.count > len(finding.examples[: config.examples]) > 0,
        }
        for finding in findings
    ]
    return render(
        TEMPLATE,
        title=f"{name_of(survey)}: what the data look like",
        sentence=key_sentence(survey, findings),
        tiles=_tiles(survey, findings),
        notes=survey.notes,
        counts={"head": counts[0], "rows": counts[1:]} if counts else None,
        findings=shown,
        plots=_plots(survey),
        about=_about(survey, seconds),
        severities=SEVERITIES,
    )


def name_of(survey: Survey) -> str:
    """What the data are called: a folder that was looked at where it lies has its own name."""
    config = survey.config
    return Path(config.data.path).name if config.data.path and not config.raw_dir else config.data.name


def render_off(config: InspectConfig) -> str:
    """The page where `enabled` is false."""
    return render(
        TEMPLATE,
        title=f"{config.data.name}: not looked at",
        sentence="enabled=false: nothing was looked at.",
        tiles=[], notes=[], counts=None, findings=[], plots=[], about=[], severities=SEVERITIES,
    )  # fmt: skip


def key_sentence(survey: Survey, findings: Sequence[Finding]) -> str:
    """The result in a sentence."""
    numbers = Counter(finding.severity for finding in findings)
    if not findings:
        return "Nothing was noticed."
    told = ", ".join(many(numbers[severity], severity) for severity in SEVERITIES if numbers[severity])
    return f"{told} about {many(len(survey.seen), 'image')}. {findings[0].sentence}"


def _tiles(survey: Survey, findings: Sequence[Finding]) -> list[dict[str, str]]:
    numbers = Counter(finding.severity for finding in findings)
    objects = sum(len(image.boxes) for image in survey.images)
    tiles = [
        {"name": "images", "value": f"{len(survey.seen)}", "detail": f"{many(len(survey.rejected), 'file')} left out"},
        {"name": "classes", "value": str(len(survey.classes)), "detail": survey.config.data.task},
    ]
    if survey.shows_boxes:
        tiles.insert(1, {"name": "objects", "value": str(objects), "detail": f"{survey.books.get('found', 0)} found"})
        if objects:
            median = f"{np.median(network_sizes(survey)):.0f} px"
            detail = f"in an input of {survey.config.input_size}"
            tiles.append({"name": "median object, network's pixels", "value": median, "detail": detail})
    told = ", ".join(many(numbers[severity], severity) for severity in SEVERITIES)
    return [*tiles, {"name": "findings", "value": str(len(findings)), "detail": told}]


def _about(survey: Survey, seconds: float) -> list[tuple[str, str]]:
    config = survey.config
    return [
        ("Folder", str(survey.raw_dir)),
        ("Format, task", f"{config.data.format}, {config.data.task}"),
        ("Measured for", f"input_size={config.input_size} fit={config.fit} data.tile.size={config.data.tile.size}"),
        ("Time", f"{seconds:.1f} s with workers={config.workers}"),
    ]


def _plots(survey: Survey) -> list[dict[str, str]]:
    plots = []
    if survey.images and survey.shows_boxes and any(image.boxes for image in survey.images):
        sizes = network_sizes(survey)
        if len(sizes):
            caption = (
                f"The root of an object's area, as the network sees it. Lines: the strides of the detector, "
                f"{', '.join(map(str, STRIDES))}; an object below {SMALL:g} is hard to find."
            )
            plots.append(_plot("Sizes of objects", caption, lambda dark: plot_sizes(sizes, dark=dark)))
    if len(survey.images) >= _DISTRIBUTED:
        sides = np.array([(image.width, image.height) for image in survey.images])
        light = np.array([survey.seen[image.source].brightness for image in survey.images])
        plots.append(
            _plot(
                "Sizes of images",
                "Width and height in pixels, a point an image.",
                lambda dark: plot_shapes(sides, dark=dark),
            )
        )
        caption = "Mean brightness of each image, 0 black, 255 white."
        plots.append(_plot("Brightness", caption, lambda dark: plot_brightness(light, dark=dark)))
    return plots


def _plot(title: str, caption: str, draw: Any) -> dict[str, str]:
    return {"title": title, "caption": caption, "light": data_url(draw(False)), "dark": data_url(draw(True))}


def plot_sizes(sizes: np.ndarray, *, dark: bool = False) -> bytes:
    """A histogram over network pixels, with the detector's strides, as a PNG."""
    figure, axes = new_figure(dark, 6.4, 3.6)
    low, high = max(1.0, min(6.0, float(sizes.min()))), max(64.0, float(sizes.max()))
    axes.hist(np.maximum(sizes, 1), np.geomspace(low, high, 40).tolist(), color=line_colour(0))
    for stride in STRIDES:
        axes.axvline(stride, color=line_colour(1), linestyle="--", linewidth=1.2)
        at = axes.get_ylim()[1]
        axes.text(stride * 1.03, at, str(stride), color=ink_colour(dark), fontsize=8, va="top")
    ticks = [value for value in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if low <= value <= high]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="size in network pixels", ylabel="objects")
    return to_png(figure)


def plot_shapes(sides: np.ndarray, *, dark: bool = False) -> bytes:
    """Width over height of (N, 2) image sizes, as a PNG; larger marks where many are of one size."""
    figure, axes = new_figure(dark, 6.4, 3.6)
    shapes, counts = np.unique(sides, axis=0, return_counts=True)
    marks = 14 + 300 * counts / counts.sum()
    axes.scatter(shapes[:, 0], shapes[:, 1], marks, color=line_colour(0), alpha=0.6, linewidths=0)
    axes.set(xlabel="width", ylabel="height")
    axes.set_xlim(0, 1.08 * sides[:, 0].max())
    axes.set_ylim(0, 1.12 * sides[:, 1].max())
    return to_png(figure)


def plot_brightness(light: np.ndarray, *, dark: bool = False) -> bytes:
    """A histogram of brightness, as a PNG."""
    figure, axes = new_figure(dark, 6.4, 3.6)
    axes.hist(light, np.linspace(0, 255, 52).tolist(), color=line_colour(0))
    axes.set(xlabel="mean brightness", ylabel="images", xlim=(0, 255))
    return to_png(figure)


def print_lines(survey: Survey, findings: Sequence[Finding], page: Path) -> list[str]:
    """What was taken for what, the counts, the three worst findings and where the page is: less than a screen."""
    notes = [_cut(note) for note in survey.notes[:_NOTES]]
    if len(survey.notes) > _NOTES:
        notes.append(f"and {len(survey.notes) - _NOTES} more of the kind")
    table = count_table(survey)
    lines = [*notes, *_columns(table[: _ROWS + 2])]
    if len(table) > _ROWS + 2:
        lines.append(f"and {len(table) - _ROWS - 2} more classes")
    for finding in findings[:3]:
        lines.append(_cut(f"{finding.severity}: {finding.sentence}"))
        if finding.mend:
            lines.append(_cut(f"    {finding.mend}"))
    numbers = Counter(finding.severity for finding in findings)
    told = ", ".join(many(numbers[severity], severity) for severity in SEVERITIES)
    files = f"{many(len(survey.seen), 'image')}, {many(len(survey.rejected), 'file')} left out"
    return [*lines, f"{files}; {told}: {shlex.quote(str(page))}"]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of text, its first column to the left, the others to the right."""
    if not rows:
        return []
    widths = [min(40, max(len(row[at]) for row in rows)) for at in range(len(rows[0]))]
    return [
        "  ".join(
            cell[: widths[at]].ljust(widths[at]) if at == 0 else cell.rjust(widths[at]) for at, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]


def _cut(text: str) -> str:
    """A sentence on at most two lines of a terminal."""
    return text if len(text) <= 2 * _WIDE else f"{text[: 2 * _WIDE - 1]}…"
