"""All stages in one folder of its own, without DVC.

A run is described as for the single stages, each key under its stage's name: `train.epochs=5`, `train.model=tiny`,
`evaluate.split=val`; `data=…` and `data.…` describe the data for `fetch` and `preprocess`. The folders of the stages
are chosen here, so that several experiments share nothing and a sweep (`-m`) can hold one a job.

A recipe (`experiment=study1`, a file of `conf/experiment`) is a set of such settings; the command line's come first.

In a sweep, a stage that another job has run the same is taken from a store (`stages/sharing.py`), and a job that has
finished before is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

Figures = dict[str, dict[str, float]]
"""Variant -> its figures, as in evaluate's `metrics.json`."""


def run(
    configs: Mapping[str, Any],
    *,
    output_dir: str,
    store_dir: str | None = None,
    sweep: bool = False,
    force: bool = False,
) -> Figures:
    """Run the stages one after the other.

    Args:
        configs: stage -> its configuration, as `compose_stages` returns it.
        output_dir: the experiment's folder.
        store_dir: where outputs of stages are kept for other jobs; None: nowhere.
        sweep: this is a job of a sweep: it takes from there, and is skipped when it has finished before.
        force: neither.

    Returns:
        What evaluate returns.
    """
    from mirada.stages import sharing
    from mirada.sweeps import job as sweep_job
    from mirada.tracking.overview import told_once

    train = replace(configs["train"], force=force)
    key = sharing.job_key_of(configs)
    if sweep and (found := sweep_job.finished_job(train, key, whole=True)):
        sharing.tell_search(Path(found.output_dir) / "models/train")
        return _figures_of(found)
    shared = None if store_dir is None else sharing.Sharing(store_dir, output_dir, take=sweep and not force)
    result: Figures = {}
    opened = False
    try:
        with told_once():
            for stage, config in configs.items():
                result = shared.run(stage, config) if shared else sharing.run_stage(stage, config)
                if stage in sharing.TRACKED:  # it ended the run, which is the whole job's
                    sharing.set_status(train, "RUNNING")
                    opened = True
    except BaseException as error:
        if opened:
            sharing.set_status(train, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    _mark_finished(train, key, output_dir, result)
    return result


def _figures_of(found: Any) -> Figures:
    from mirada.comparison.groups import run_record

    return run_record(found.id, "", "FINISHED", found.params, found.metrics, found.tags).figures


def _mark_finished(train: Any, key: str, output_dir: str, figures: Figures) -> None:
    """Tell the sweep what came of the job, and later sweeps that it is done."""
    from mirada import tracking
    from mirada.inference.card import load_card
    from mirada.sweeps import job as sweep_job

    card = load_card(train.output_dir)
    flat = {f"{name}/{key}": value for name, row in figures.items() for key, value in row.items()}
    sweep_job.note(card.run_id, flat, task=card.task)
    if card.run_id is not None:
        with tracking.resume_run(train.tracking, card) as run:
            run.set_tags(sweep_job.job_tags(key, output_dir))


# -- the sweep ---------------------------------------------------------------------------------------------------------
