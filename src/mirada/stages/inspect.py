"""The stage `inspect`: raw data in, a page of findings out; nothing is changed, and nothing after it needs the page."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from mirada.config import InspectConfig
from mirada.data.stored_data import raw_folder
from mirada.errors import MiradaError
from mirada.files import write_whole
from mirada.inspection.checks import CHECKS
from mirada.inspection.finding import Finding, breaks, many, worst_first
from mirada.inspection.page import print_lines, render_off, render_page
from mirada.inspection.pictures import draw_examples
from mirada.inspection.survey import Survey, collect
from mirada.terminal import image_progress
from mirada.workers.executors import make_executor, map_bounded
from mirada.workers.folder_lock import alone_in_output_dir

PRELOAD = ("mirada.inspection.looking", "mirada.cli", "PIL.JpegImagePlugin", "PIL.PngImagePlugin")
_CHUNK = 8


@alone_in_output_dir
def run(config: InspectConfig) -> list[Finding]:
    """Look at the raw data, and write `index.html`, `findings.json` and, with a model, `labels/` into `output_dir`.

    `<output_dir>.verdict.json` beside it says whether `fail_on` lets the data pass: what comes after depends on that, and
    not on the page.

    Returns:
        The findings, the worst first.

    Raises:
        MiradaError: there is nothing to look at, or a finding is one that `fail_on` names.
    """
    folder = Path(config.output_dir)
    shutil.rmtree(folder / "labels", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    verdict = folder.with_name(f"{folder.name}.verdict.json")
    verdict.unlink(missing_ok=True)
    if not config.enabled:
        _write(folder, render_off(config), {"enabled": False, "findings": []})
        findings: list[Finding] = []
        print(f"enabled=false: nothing was looked at; {folder / 'index.html'} says so")
    else:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
            source = str(config.raw_dir or config.data.path or Path("data/raw") / config.data.name)
            raw_dir = raw_folder(source, Path(place) / "raw", follow_links=config.data.follow_links)
            findings = _look(config, raw_dir, folder)
    if broken := breaks(findings, config.fail_on):
        raise MiradaError(
            f"fail_on={config.fail_on} stops here, for {many(len(broken), 'finding')}: {broken[0].sentence} "
            f"{folder / 'index.html'} shows them; mend the data, or set fail_on=never."
        )
    write_whole(verdict, '{"passed": true}\n')
    return findings


def _look(config: InspectConfig, raw_dir: Path, folder: Path) -> list[Finding]:
    """Survey, check, draw and write."""
    started = time.perf_counter()
    with image_progress() as progress:
        with make_executor(config.workers, preload=PRELOAD) as executor:

            def work(function: Callable[..., Any], items: list[Any], name: Callable[[Any], str]) -> Iterable[Any]:
                bar = progress.add_task("looking", total=len(items))
                chunk = max(1, min(_CHUNK, len(items) // (32 * config.workers)))
                return map_bounded(
                    executor, function, items, chunk=chunk, window=3 * config.workers, name=name,
                    on_done=lambda done: progress.advance(bar, done),
                )  # fmt: skip

            survey = collect(config, raw_dir, work)
        doubted = _look_for_suspects(survey, folder / "labels", progress) if config.model_dir else []
    findings = worst_first([*doubted, *(found for check in CHECKS for found in check(survey))])
    pictures = {finding.id: draw_examples(survey, finding, config.examples) for finding in findings}
    page = render_page(survey, findings, pictures, time.perf_counter() - started)
    _write(folder, page, _as_json(survey, findings))
    print(*print_lines(survey, findings, folder / "index.html"), sep="\n")
    return findings


def _look_for_suspects(survey: Survey, folder: Path, progress: Progress) -> list[Finding]:
    """Likely label errors, by the trained model that is given."""
    from mirada.inspection import suspects

    engine = suspects.open_model(survey)
    bar = progress.add_task("asking the model", total=len(survey.images))
    found = suspects.find_suspects(survey, engine, partial(progress.advance, bar))[: survey.config.suspects]
    if found:
        suspects.write_suspects(found, survey.classes, folder)
    return suspects.told_as_finding(found, survey, folder)


def _as_json(survey: Survey, findings: Sequence[Finding]) -> dict[str, Any]:
    config = survey.config
    return {
        "enabled": True,
        "data": config.data.name,
        "format": config.data.format,
        "task": config.data.task,
        "input_size": config.input_size,
        "tile_size": config.data.tile.size,
        "images": len(survey.seen),
        "left_out": len(survey.rejected),
        "units": dict(survey.units),
        "objects": {split: dict(counts) for split, counts in survey.boxes.items()},
        "notes": survey.notes,
        "findings": [finding.as_json() for finding in findings],
    }


def _write(folder: Path, page: str, content: dict[str, Any]) -> None:
    write_whole(folder / "index.html", page)
    write_whole(folder / "findings.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
