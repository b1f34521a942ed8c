"""What a stage recorded in an MLflow run, read so that another run can get the same.

A job that takes a stage's output from another one has a run of its own all the same: one row of the UI a job.
"""

from __future__ import annotations

from typing import Any

from mirada.tracking import Run

_RECORDED_LAST = {"train": "train_seconds", "quantize": "quantize_seconds"}  # recorded at the stage's end


def read_names(run_id: str) -> list[str]:
    """Params, metrics and tags that a run has, as 'params.epochs'; `tracking.connect` has chosen the store.

    Raises:
        MlflowException: the store does not answer, or has no such run.
    """
    import mlflow

    data = mlflow.MlflowClient().get_run(run_id).data
    kinds: dict[str, dict[str, Any]] = {"params": data.params, "metrics": data.metrics, "tags": data.tags}
    return [f"{kind}.{name}" for kind, entries in kinds.items() for name in entries]


def read_record(stage: str, run_id: str, known: list[str]) -> dict[str, Any] | None:
    """What a stage has added to a run.

    Args:
        stage: 'train' or 'quantize'.
        run_id: the run, in the store that `tracking.connect` has chosen.
        known: what `read_names` said before the stage.

    Returns:
        'run_id', 'name', 'params', 'tags', and 'metrics': name -> [[step, value], ...]; None when the run lacks what the
        stage records last.

    Raises:
        MlflowException: the store does not answer, or has no such run.
    """
    import mlflow

    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    if _RECORDED_LAST[stage] not in run.data.metrics:
        return None
    # Figures of the machine are left with the run that was measured, and so is what MLflow notes for itself.
    names = [name for name in run.data.metrics if f"metrics.{name}" not in known and not name.startswith("system/")]
    history = {name: [[m.step, m.value] for m in client.get_metric_history(run_id, name)] for name in names}
    params = {name: text for name, text in run.data.params.items() if f"params.{name}" not in known}
    tags = {name: text for name, text in run.data.tags.items() if f"tags.{name}" not in known}
    tags = {name: text for name, text in tags.items() if not name.startswith("mlflow.")}
    return {"run_id": run_id, "name": run.info.run_name, "params": params, "tags": tags, "metrics": history}


def write_metrics(run: Run, metrics: dict[str, list[list[float]]]) -> None:
    """Log metrics as `read_record` gives them, step by step."""
    by_step: dict[int, dict[str, float]] = {}
    for name, values in metrics.items():
        for step, value in values:
            by_step.setdefault(int(step), {})[name] = value
    for step in sorted(by_step):
        run.log_metrics(by_step[step], step=step)
