"""The end of a sweep of experiments: its jobs side by side, and what those come to that differ in seed or fold alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mirada.comparison.groups import RunRecord, run_record
from mirada.config import CompareConfig, TrackingConfig
from mirada.quantization.out_of_fold import OUTCOMES_FILE
from mirada.sweeps.runs import OUTPUT_DIR
from mirada.sweeps.table import DONE, SKIPPED, JobRecord

_NAMES = {"data.split.fold": "fold", "data.split.kfold": "kfold"}
"""Key of a command line -> the param that a run has of it; a training's have lost their stage's name."""


def compare_jobs(run_ids: Sequence[str], settings: TrackingConfig, output_dir: Path, parent: str) -> None:
    """Compare a sweep's jobs, those that were skipped among them, in its folder and in its run.

    Args:
        run_ids: of the jobs.
        settings: where they are recorded.
        output_dir: the sweep's folder: `index.html`, `compare.csv`, `plots/`, and of repeats `repeats.csv` and `pooled.csv`.
        parent: the sweep's run.

    Raises:
        MiradaError: the store does not answer.
    """
    from mirada.comparison.report import compare_runs

    config = CompareConfig(
        runs=list(run_ids), experiment=settings.experiment, uri=settings.uri, output_dir=str(output_dir)
    )
    compare_runs(config, record_in=parent)


def compare_untracked(jobs: Sequence[JobRecord], output_dir: Path) -> None:
    """The same for jobs that nobody recorded, from what they told the sweep and from their folders.

    Args:
        jobs: at least one that came to its end.
        output_dir: the sweep's folder.
    """
    from mirada.comparison.report import compare_records

    about = [("Runs from", f"{output_dir}, which is not recorded in MLflow")]
    task = next((job.task for job in jobs if job.task), "")  # a job that failed may not have told
    records = [record_of(replace(job, task=job.task or task)) for job in jobs]
    compare_records(records, CompareConfig(output_dir=str(output_dir)), about, _outcomes_of)


def record_of(job: JobRecord) -> RunRecord:
    """A job of experiments as a comparison knows runs."""
    params = {_NAMES.get(key, key.removeprefix("train.")): value for key, value in job.settings.items()}
    params = {"evaluate.split": "test", "seed": "0", "dataset": params.get("data", "")} | params
    tags = {OUTPUT_DIR: job.output_dir, "task": job.task, "error": job.reason}
    status = "FINISHED" if job.status in (DONE, SKIPPED) else "FAILED"
    return run_record(f"job {job.number}", f"job {job.number}", status, params, job.figures, tags)


def _outcomes_of(run: RunRecord) -> Path | None:
    path = Path(run.tags[OUTPUT_DIR]) / "models/quantize" / OUTCOMES_FILE
    return path if path.is_file() else None
