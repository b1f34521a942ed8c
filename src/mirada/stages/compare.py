"""Compare: any set of MLflow runs in, a table, a CSV, plots and one page out."""

from __future__ import annotations

from pathlib import Path

from mirada.comparison.report import compare_runs
from mirada.config import CompareConfig


def run(config: CompareConfig) -> Path:
    """Compare runs and write what came of it to `config.output_dir`; returns the page, `index.html`.

    Raises:
        MiradaError: there is no such store, experiment or run, or a variant or metric that no run has.
    """
    return compare_runs(config)
