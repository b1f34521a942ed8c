"""A stage of an experiment: run here, or taken from a job that has run the same.

Evaluate always runs: it measures times, and these are of the machine and the hour.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mirada import tracking
from mirada.config import TrainConfig
from mirada.data.records import sha256_of
from mirada.data.stored_data import open_dataset
from mirada.errors import MiradaError
from mirada.inference.card import load_card, save_card
from mirada.sweeps import runs as sweep_runs
from mirada.sweeps.fingerprint import job_key
from mirada.sweeps.job import job_name, job_tags, note, params_of
from mirada.sweeps.search import pruning
from mirada.sweeps.stage_store import StageStore, unlink_shared
from mirada.tasks import get_task
from mirada.tracking.clock import end_run
from mirada.tracking.run_copy import read_names, read_record, write_metrics

OUTPUTS = {
    "fetch": ("raw",),
    "preprocess": ("processed", "processed.timing.json"),
    "train": tuple(
        f"models/train/{name}"
        for name in ("model.keras", "model.json", "history.csv", "batch.png", "input_timing.csv", "input_timeline.png")
    ),
    "quantize": ("models/quantize",),
}
"""Stage -> what of its output is kept for others, below the job's folder; a training's checkpoints are not."""
TRACKED = ("train", "quantize")
TRAINED_IN, QUANTIZED_IN = "trained_in", "quantized_in"
"""Tags of a run: the run whose model it took, the run whose variants."""
_OF_A_JOB = (
    sweep_runs.JOB_KEY,
    sweep_runs.OUTPUT_DIR,
    sweep_runs.OVERRIDES,
    sweep_runs.PROCESS,
    TRAINED_IN,
    QUANTIZED_IN,
)


class Sharing:
    """The stages of one job, with a store that other jobs use too."""

    def __init__(self, store_dir: str, job_dir: str, *, take: bool) -> None:
        """Prepare it.

        Args:
            store_dir: of the store.
            job_dir: the job's own folder.
            take: whether stages may be taken from the store; without, they run and are kept there.
        """
        self._store, self._job_dir, self._take = StageStore(Path(store_dir)), Path(job_dir), take

    def run(self, stage: str, config: Any) -> Any:
        """Run a stage, or take its output; returns what the stage does where it is never shared."""
        if stage not in OUTPUTS:
            return run_stage(stage, config)
        key = stage_key(stage, config)
        with self._store.locked(
            stage, key, lambda: print(f"{stage}: another job is at it, waiting for it", flush=True)
        ):
            told = self._store.take(stage, key, self._job_dir) if self._take else None
            if told is None:
                self._make(stage, key, config)
                return None
        where = os.path.relpath(told["job"])
        print(f"{stage}: as in {where}, taken from the store", flush=True)
        if stage == "train":
            tell_search(Path(config.output_dir))
        if told["record"] is not None:
            (_record_training if stage == "train" else _record_quantization)(config, told["record"])
        return None

    def _make(self, stage: str, key: str, config: Any) -> None:
        unlink_shared(self._job_dir, OUTPUTS[stage])
        record, complete = None, True
        if stage in TRACKED:
            known = [] if stage == "train" else _recorded(config)
            run_stage(stage, config)
            record, complete = _read(stage, config, known)
        else:
            run_stage(stage, config)
        if not complete:
            print(f"{stage}: not kept for other jobs, MLflow does not show its run yet", flush=True)
            return
        told = {"job": str(self._job_dir.absolute()), "record": record}
        try:
            self._store.publish(stage, key, self._job_dir, OUTPUTS[stage], told)
        except OSError as error:
            print(f"{stage}: not kept for other jobs ({error})", flush=True)


def run_stage(stage: str, config: Any) -> Any:
    """Run a stage by its name."""
    return importlib.import_module(f"mirada.stages.{stage}").run(config)


def stage_key(stage: str, config: Any) -> str:
    """The key of a stage whose inputs are there: settings, content of the inputs, code."""
    if stage == "fetch":  # of the data's settings most are for preprocess
        return job_key(stage, config.data.source, {"source": source_digest(config)})
    if stage == "preprocess":
        return job_key(stage, config, {"raw": sha256_of(Path(config.raw_dir) / "SOURCE.json")})
    inputs = {"dataset": sha256_of(Path(config.data_dir) / "dataset.json"), "tracked": str(config.tracking.enabled)}
    if stage == "quantize":
        card = {k: v for k, v in asdict(load_card(config.model_dir)).items() if k not in ("run_id", "tracking_uri")}
        inputs["card"] = hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
        inputs["model"] = sha256_of(Path(config.model_dir) / "model.keras")
    return job_key(stage, config, inputs)


def job_key_of(configs: Mapping[str, Any]) -> str:
    """The key of a whole job, before any of its stages has run: each stage's input is what the ones before make."""
    key = ""
    for stage, config in configs.items():
        if stage == "fetch":
            key = job_key(stage, config.data.source, {"source": source_digest(config)})
        else:
            key = job_key(stage, config, {"before": key})
    return key


def source_digest(config: Any) -> str:
    """Digest of what fetch would bring."""
    from mirada.stages import fetch

    return fetch.source_digest(config.data)


def tell_search(model_dir: Path) -> None:
    """Add the curve of a training that did not run here to those that a search prunes by."""
    if (model_dir / "model.json").is_file():
        metric = get_task(load_card(model_dir).task).main_metric
        pruning.watch().finish(pruning.read_history(model_dir / "history.csv"), f"val_{metric}")


# -- MLflow ------------------------------------------------------------------------------------------------------------


def set_status(config: TrainConfig, status: str) -> None:
    """Say how it stands with the run of the model in a training's folder, where there is one."""
    run_id = load_card(config.output_dir).run_id if config.tracking.enabled else None
    if run_id is None:
        return
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException, MiradaError):  # the stages themselves say that the store is away
        tracking.connect(config.tracking)
        import mlflow

        client = mlflow.MlflowClient()
        if status == "RUNNING":
            client.update_run(run_id, status=status)
        else:
            end_run(client, run_id, status)


def _recorded(config: Any) -> list[str]:
    """What the model's run holds before the stage; nothing where there is none."""
    from mlflow.exceptions import MlflowException

    run_id = load_card(config.model_dir).run_id
    if not config.tracking.enabled or run_id is None:
        return []
    try:
        tracking.connect(config.tracking)
        return read_names(run_id)
    except (MlflowException, MiradaError):
        return []


def _read(stage: str, config: Any, known: list[str]) -> tuple[dict[str, Any] | None, bool]:
    """What the stage recorded, and whether that is all; nothing is all where it was not tracked."""
    run_id = load_card(config.output_dir if stage == "train" else config.model_dir).run_id
    if not config.tracking.enabled or run_id is None:
        return None, True
    from mlflow.exceptions import MlflowException

    if stage == "quantize" and not known:
        return None, False
    try:
        tracking.connect(config.tracking)
        record = read_record(stage, run_id, known)
    except (MlflowException, MiradaError):
        return None, False
    return record, record is not None


def _record_training(config: TrainConfig, record: Mapping[str, Any]) -> None:
    """Give the job a run of its own that says what the trained one does, and a card that names it."""
    output_dir, dataset = Path(config.output_dir), open_dataset(config.data_dir)
    own = {k: v for k, v in params_of(config).items() if k.endswith("_dir") or k.startswith("tracking.")}
    timing = {name: values for name, values in record["metrics"].items() if not name.startswith("preprocess_")}
    tags = _tags(record, config.output_dir) | {TRAINED_IN: record["run_id"]}
    with tracking.start_run(config.tracking, job_name(record["name"]), tags=tags) as run:
        note(run.id)
        run.log_params(record["params"] | own)
        write_metrics(run, timing)
        run.log_metrics(_preprocess_timing(config))
        run.log_dataset(dataset)
        run.log_text(json.dumps(asdict(config), indent=2), "config/train.json")
        card = replace(load_card(output_dir), run_id=run.id, tracking_uri=run.uri)
        save_card(card, output_dir / "model.json")
        for name in (Path(path).name for path in OUTPUTS["train"]):
            if (output_dir / name).is_file():
                run.log_artifacts(output_dir / name, "train")


def _preprocess_timing(config: TrainConfig) -> dict[str, float]:
    """The speed of the preprocessing that this job stands on, which may be another one than the trained run's."""
    path = Path(f"{config.data_dir.rstrip('/')}.timing.json")
    return {f"preprocess_{name}": value for name, value in json.loads(path.read_text()).items()}


def _record_quantization(config: Any, record: Mapping[str, Any]) -> None:
    """Add to the job's run what quantize recorded in the other one's."""
    with tracking.resume_run(config.tracking, load_card(config.model_dir)) as run:
        run.log_params(record["params"])
        run.set_tags(_tags(record, None) | {QUANTIZED_IN: record["run_id"]})
        write_metrics(run, record["metrics"])
        run.log_artifacts(Path(config.output_dir), "quantize")


def _tags(record: Mapping[str, Any], output_dir: str | None) -> dict[str, str]:
    """The recorded tags without those that tell one job from another; the job's own where it gets a run."""
    tags = {name: text for name, text in record["tags"].items() if name not in _OF_A_JOB}
    if output_dir is not None:
        tags |= job_tags("", output_dir)
        del tags[sweep_runs.JOB_KEY]
    return tags
