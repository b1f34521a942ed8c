"""What the pixels are like: images of one brightness, too dark or bright, grey ones kept as RGB, odd sizes and aspects."""

from __future__ import annotations

import numpy as np

from mirada.inspection.finding import Example, Finding, many, percent
from mirada.inspection.survey import Survey

FLAT = 4.0  # between the 1st and the 99th percentile of the brightness, 0..255
DARK, BRIGHT = 40.0, 215.0  # nothing is brighter than that, nothing darker
FAR = 4.5  # robust standard deviations from the median
LEAST_SPREAD = 8.0  # of brightness: in very even data nothing is an outlier for a trifle
GREY = 1.5  # mean distance between red, green and blue, 0..255; JPEG alone makes about one
WIDE = 0.4  # share of the network's input that is padding


def _mad(values: np.ndarray) -> tuple[float, float]:
    """Median, and a standard deviation that outliers don't move."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))


def find_constant(survey: Survey) -> list[Finding]:
    """Images without a picture."""
    flat = [(source, seen) for source, seen in survey.seen.items() if seen.high - seen.low < FLAT]
    if not flat:
        return []
    examples = tuple(
        Example(source, f"brightness {seen.brightness:.0f}") for source, seen in sorted(flat, key=_by_source)
    )
    sentence = f"{many(len(flat), 'image')} of one brightness: there is nothing to see."
    return [Finding("image_constant", "warning", len(flat), sentence, "remove them, or export them again", examples)]


def _by_source(item: tuple[str, object]) -> str:
    return item[0]


def find_brightness(survey: Survey) -> list[Finding]:
    """Images that are nearly black or white, or far from how bright the others are."""
    shown = {source: seen for source, seen in survey.seen.items() if seen.high - seen.low >= FLAT}
    if not shown:
        return []
    findings = []
    dark = sorted((seen.high, source) for source, seen in shown.items() if seen.high < DARK)
    if dark:
        examples = tuple(Example(source, f"brightest {high:.0f} of 255") for high, source in dark)
        sentence = f"{many(len(dark), 'image')} nearly black: 99 % of the pixels are darker than {DARK:g} of 255."
        mend = "were they saved with more than eight bits? export them with their range stretched, or remove them"
        findings.append(Finding("image_dark", "warning", len(dark), sentence, mend, examples))
    bright = sorted((-seen.low, source) for source, seen in shown.items() if seen.low > BRIGHT)
    if bright:
        examples = tuple(Example(source, f"darkest {-low:.0f} of 255") for low, source in bright)
        sentence = f"{many(len(bright), 'image')} nearly white: 99 % of the pixels are brighter than {BRIGHT:g} of 255."
        findings.append(Finding("image_bright", "warning", len(bright), sentence, "look at their exposure", examples))
    values = np.array([seen.brightness for seen in shown.values()])
    middle, spread = _mad(values)
    far = np.abs(values - middle) / max(spread, LEAST_SPREAD)
    told = {source for _, source in (*dark, *bright)}
    outliers = sorted(
        (
            (-distance, source)
            for distance, source in zip(far, shown, strict=True)
            if distance > FAR and source not in told
        )
    )
    if outliers and len(values) >= 20:
        examples = tuple(
            Example(source, f"brightness {shown[source].brightness:.0f}, median {middle:.0f}") for _, source in outliers
        )
        sentence = (
            f"{many(len(outliers), 'image')} far brighter or darker than the others (median {middle:.0f} of 255)."
        )
        mend = "look whether they belong here"
        findings.append(Finding("brightness_outlier", "note", len(outliers), sentence, mend, examples))
    return findings


def find_grey(survey: Survey) -> list[Finding]:
    """Grey images kept with three channels, and grey ones among coloured ones."""
    grey = sorted(source for source, seen in survey.seen.items() if seen.colour < GREY)
    if not grey:
        return []
    share = len(grey) / len(survey.seen)
    stored = sum(
        survey.seen[source].mode not in ("L", "1") and not survey.seen[source].mode.startswith("I") for source in grey
    )
    examples = tuple(Example(source, survey.seen[source].mode) for source in grey)
    if share >= 0.99:
        if survey.config.channels == 1:
            return []
        kept = many(stored, "of them is", "of them are")
        sentence = f"All images are grey, {kept} stored in colour: two of three channels say nothing new."
        return [Finding("all_grey", "note", len(grey), sentence, "channels=1", examples)]
    if survey.config.channels == 1:
        return []
    sentence = f"{many(len(grey), 'image')} ({percent(share)}) are grey, the others coloured."
    mend = "channels=1, if colour says nothing; else look whether grey goes with a class or a split"
    return [Finding("some_grey", "note", len(grey), sentence, mend, examples)]


def find_shapes(survey: Survey) -> list[Finding]:
    """Sizes and aspects that cost much of the network's input."""
    config, findings = survey.config, list[Finding]()
    if not survey.images:
        return []
    longer = np.array([max(image.width, image.height) for image in survey.images], float)
    shorter = np.array([min(image.width, image.height) for image in survey.images], float)
    padding = 1 - shorter / longer
    if not config.data.tile.size and config.fit == "letterbox" and float(np.median(padding)) > WIDE:
        order = np.argsort(-padding, kind="stable")
        examples = tuple(
            Example(survey.images[i].source, f"{survey.images[i].width} × {survey.images[i].height}") for i in order
        )
        wasted = percent(float(np.median(padding)))
        sentence = f"Half of the images are so long that {wasted} of the network's input is padding, or more."
        mend = f"data.tile.size={max(32, int(np.median(shorter) // 32 * 32))}, or fit=stretch"
        findings.append(Finding("aspect_long", "note", int((padding > WIDE).sum()), sentence, mend, examples))
    small = np.flatnonzero(longer < config.input_size / 2)
    if len(small) and not config.data.tile.size:
        share = len(small) / len(longer)
        order = small[np.argsort(longer[small], kind="stable")]
        examples = tuple(
            Example(survey.images[i].source, f"{survey.images[i].width} × {survey.images[i].height}") for i in order
        )
        sentence = f"{many(len(small), 'image')} ({percent(share)}) are less than half as large as the network's input."
        side = max(32, int(-(-np.median(longer) // 32) * 32))
        mend = f"input_size={side}" if share > 0.5 else "get the originals: are these previews?"
        findings.append(
            Finding("image_small", "warning" if share > 0.5 else "note", len(small), sentence, mend, examples)
        )
    low, high = np.percentile(longer, (5, 95))
    if high >= 4 * low and not config.data.tile.size:
        sentence = f"Sizes differ much: one image in twenty is below {low:.0f} pixels, one in twenty above {high:.0f}."
        mend = "look whether the same things come at the same scale in the small and in the large ones"
        findings.append(Finding("sizes_mixed", "note", len(longer), sentence, mend))
    return findings
