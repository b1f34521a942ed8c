"""The pipeline's stages for candidates: each with its own input size, shared where two candidates need the same."""

from __future__ import annotations

import csv
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mirada.config import ExportConfig, FitConfig, TrainConfig
from mirada.data.records import Dataset
from mirada.data.stored_data import open_dataset
from mirada.errors import MiradaError
from mirada.evaluation.records.quantization import read_quantization
from mirada.fitting.plan import Trained
from mirada.fitting.space import Candidate
from mirada.inference.card import load_card
from mirada.stages.fitting.shipping import VARIANT, BoardAccuracy, ship
from mirada.stages.sharing import Sharing
from mirada.sweeps.fit_settings import FitSettings
from mirada.tasks import get_task

_OVERHEAD = 1.2  # of a training's time to that of its steps: validation, writing; where it was not measured here
_HELD: list[FileLock] = []  # a lock ends with its object
_FREEZE_SHARE = 3  # a short training freezes pretrained layers for a third of its epochs at most


def hold_alone(folder: Path) -> None:
    """Hold a search's folder until this process ends.

    Raises:
        MiradaError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise MiradaError(f"the same search is at work in another process ({folder}): wait for it.") from None
    _HELD.append(lock)


@dataclass(frozen=True)
class Finished:
    """A candidate after all stages.

    Attributes:
        figures: variant -> its figures on test. ladder: `ladder.json`, what became of the budget of accuracy.
        run_id: in MLflow. bundle: its folder.
        value: the main figure on val, as the full training ended.
        accuracy: of the bundle's file in TensorFlow Lite Micro and in LiteRT.
    """

    figures: dict[str, dict[str, float]]
    ladder: dict[str, Any]
    run_id: str | None
    bundle: Path
    value: float
    accuracy: BoardAccuracy


class Workshop:
    """Runs stages for candidates.

    Args:
        config: of the search. settings: of the stages.

    Attributes:
        folder: where candidates are worked on; what a kill leaves there is taken up the next time.
    """

    def __init__(self, config: FitConfig, settings: FitSettings) -> None:
        self.config, self.settings, self.folder = config, settings, Path(config.output_dir)
        self._made: dict[tuple[int, int], str] = {}

    def _share(self, stage: str, config: Any, job_dir: Path) -> None:
        Sharing(self.config.store_dir, str(job_dir), take=True).run(stage, config)

    def data(self, input_size: int, channels: int) -> str:
        """The folder of the data as an input of this size takes them; fetched and preprocessed once."""
        if (found := self._made.get((input_size, channels))) is not None:
            return found
        raw = Path(self.config.output_dir) / "data"
        if not self._made:
            self._share("fetch", replace(self.settings.stages["fetch"], output_dir=str(raw / "raw")), raw)
        job = raw / f"{input_size}x{channels}"
        done = str(job / "processed")
        config = replace(
            self.settings.stages["preprocess"], raw_dir=str(raw / "raw"), output_dir=done, input_size=input_size,
            channels=channels,
        )  # fmt: skip
        self._share("preprocess", config, job)
        self._made[input_size, channels] = done
        return done

    def dataset(self, input_size: int, channels: int) -> Dataset:
        """The same, opened."""
        return open_dataset(self.data(input_size, channels))

    def train_shortly(self, candidate: Candidate, epochs: int) -> Trained:
        """Train so many epochs from the start; only figures are kept, beside what the store keeps."""
        job = self.folder / candidate.key / str(epochs)
        config = self._train_config(candidate, epochs, job)
        began = time.perf_counter()
        self._share("train", config, job)
        seconds = time.perf_counter() - began
        card = load_card(config.output_dir)
        with (Path(config.output_dir) / "history.csv").open(newline="", encoding="utf-8") as file:
            steps = sum(float(row["seconds"]) for row in csv.DictReader(file))
        shutil.rmtree(job)
        value = card.metrics[get_task(card.task).main_metric]
        return Trained(value, max(seconds, _OVERHEAD * steps) / epochs, card.run_id)

    def _train_config(self, candidate: Candidate, epochs: int, job: Path) -> TrainConfig:
        base: TrainConfig = self.settings.stages["train"]
        return replace(
            base,
            model=candidate.configure(self.settings.models[candidate.model]),
            tracking=replace(base.tracking, run_name=f"{candidate.title}, {epochs} epochs"),
            data_dir=self.data(candidate.input_size, candidate.channels),
            output_dir=str(job / "models/train"),
            epochs=epochs,
            freeze_epochs=min(base.freeze_epochs, epochs // _FREEZE_SHARE),
            compare_epochs=min(base.compare_epochs, epochs),
        )

    def finish(self, candidate: Candidate, epochs: int) -> Finished:
        """All stages for the chosen one: trained, made int8 within the budget, tested once, and put into a bundle.

        Raises:
            MiradaError: a stage does.
        """
        from mirada.stages import evaluate, export

        job = self.folder / candidate.key / "full"
        train = replace(self._train_config(candidate, epochs, job), resume=True)
        data_dir, quantized, reports = train.data_dir, str(job / "models/quantize"), str(job / "reports/evaluate")
        self._share("train", train, job)
        folders = {"model_dir": train.output_dir, "data_dir": data_dir}
        own = {"device": self.config.device} if self.config.io == "uint8" else {}
        self._share("quantize", replace(self.settings.stages["quantize"], **folders, **own, output_dir=quantized), job)
        judged = replace(self.settings.stages["evaluate"], **folders, variants_dir=quantized, output_dir=reports)
        shipped, accuracy = ship(self.config, judged, job / "shipped")
        figures = evaluate.run_shipped(judged, shipped)
        bundle = Path(self.config.output_dir) / "bundle"
        export.run(
            ExportConfig(
                device=self.config.device,
                model_dir=train.output_dir,
                data_dir=data_dir,
                variants_dir=quantized,
                reports_dir=reports,
                variant=VARIANT,
                io=self.config.io,
                strips=self.config.in_strips,
                output_dir=str(bundle),
            )  # fmt: skip
        )
        shutil.copytree(reports, Path(self.config.output_dir) / "evaluate", dirs_exist_ok=True)
        card, ladder = load_card(train.output_dir), read_quantization(Path(quantized)).ladder
        value = card.metrics[get_task(card.task).main_metric]
        return Finished(figures, ladder, card.run_id, bundle, value, accuracy)
