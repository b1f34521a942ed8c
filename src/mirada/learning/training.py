"""The training loop: two learning rates, moving-average weights, checkpoints that a kill can't spoil.

A loop of our own and not `fit`, because a step has to know its files (a NaN names them), the wait for input is a figure of
its own, and a resumed epoch must be the very epoch that was interrupted.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from mirada.config import TrainConfig
from mirada.config.influence import NOT_IN_WEIGHTS, check_resumed, shaping_settings
from mirada.data.images import decode
from mirada.data.records import Dataset, Example, digest_of
from mirada.errors import MiradaError
from mirada.files import write_whole
from mirada.inference.card import Card
from mirada.inference.prediction import decode_outputs
from mirada.learning.dataset import BatchSettings, TrainingInput, id_hash, scale_pixels, share_out
from mirada.learning.devices import Devices
from mirada.learning.models import build_model
from mirada.learning.step import Batch, TrainStep, adapt
from mirada.learning.tasks import learning_task
from mirada.learning.timeline import StepTimes
from mirada.tasks import get_task
from mirada.workers.usage import UsageMeter

_VALIDATION_BATCH = 8


@dataclass
class State:
    """What a resumed training has to know besides the weights."""

    settings: dict[str, Any]  # all that decides the weights; it must be the same, save epochs
    data: str  # digest
    epoch: int = 0  # epochs finished
    step: int = 0
    best_epoch: int = 0
    best_metric: float = -1.0
    better_epoch: int = 0  # the last one that was better, not only as good
    checkpoint: str = ""
    run_id: str | None = None
    loss_scale: float = 0.0  # of float16; 0: the usual one
    history: list[dict[str, float]] = field(default_factory=list)

    def digest(self) -> int:
        """Of settings and data, for workers to compare."""
        return int(digest_of([json.dumps(self.settings, sort_keys=True), self.data])[:12], 16)


class Trainer:
    """Trains one network and keeps its best weights.

    Args:
        config: the stage's settings.
        dataset: the processed data.
        devices: where to train.
        card: how pixels become inputs, and how outputs are decoded when validating.
        build: makes the network; called twice, the second one holds the moving average. None: as `config.model` says.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        devices: Devices,
        card: Card,
        build: Callable[[], keras.Model] | None = None,
    ) -> None:
        self.config, self.dataset, self.devices, self.card = config, dataset, devices, card
        self.task, learning = get_task(dataset.task), learning_task(dataset.task)
        self.losses = ("loss", *learning.LOSSES)
        self.learning_rate = config.learning_rate or self.task.learning_rate
        self.folder = Path(config.output_dir) / "checkpoints"
        keras.backend.experimental.enable_tf_random_generator()  # dropout's state can then be kept
        keras.utils.set_random_seed(config.seed)
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        batches = BatchSettings(
            batch_size=config.batch_size, seed=config.seed, augmentation=config.augment, accumulate=config.accumulate,
            scale=card.input_scale, offset=card.input_offset,
            plain_from=max(0, config.epochs - config.augment.plain_epochs),
            part=(devices.cluster.index, devices.workers) if devices.cluster else (0, 1),
        )  # fmt: skip
        self.input = TrainingInput(dataset, batches, config=config.input, workers=config.workers)
        self.state = State(shaping_settings(config, NOT_IN_WEIGHTS), dataset.digest)
        self.begun_epochs = config.epochs  # of the training that is resumed, as it was begun
        if len(set(devices.gather(self.state.digest()))) > 1:
            raise MiradaError(
                "The workers of TF_CONFIG have different settings or data: give all of them the same command."
            )
        self.timelines: list[list[StepTimes]] = []  # of the first `compare_epochs` epochs
        self._make_networks(build)
        with devices.strategy.scope():
            self.loss = learning.make_loss(config, dataset)
            self.step = TrainStep(
                config, devices.strategy, self.model, self.average, self.loss, self.losses[1:], self.learning_rate
            )
        draws = {
            f"random_{layer.name}": layer._random_generator._generator
            for layer in self.model.layers
            if isinstance(layer, keras.layers.Dropout)
        }  # Keras leaves them out of checkpoints
        self.checkpoint = tf.train.Checkpoint(
            model=self.model,
            average=self.average,
            backbone=self.step.optimizers[0],
            head=self.step.optimizers[1],
            **draws,
        )
        self._forward = tf.function(lambda images: self.average(images, training=False))

    def _build(self) -> keras.Model:
        data = self.dataset
        return build_model(self.config.model, data.task, data.input_size, data.channels, len(data.classes))

    def _make_networks(self, build: Callable[[], keras.Model] | None) -> None:
        """Make what is trained, and the average, which is always the plain float32 network that will be written."""
        config, devices = self.config, self.devices
        synchronize = bool(devices.cluster) if config.sync_batch_norm is None else config.sync_batch_norm
        synchronize = synchronize and devices.replicas > 1 and build is None
        if config.precision == "fp32" and not (synchronize or config.xla or devices.cluster):
            with devices.strategy.scope():
                self.model = (build or self._build)()
                self.average = build() if build else keras.models.clone_model(self.model)
                self.average.set_weights(self.model.get_weights())
            return
        # Each worker has an average of its own, so that measuring and writing it needs no other worker.
        with devices.strategy.scope() if devices.replicas == 1 else nullcontext():
            self.average = (build or self._build)()
        with devices.strategy.scope():
            self.model = adapt(self.average, config.precision, synchronize, config.xla)

    # -- resume ----------------------------------------------------------------------------------------------------

    def restore(self, folder: Path | None = None) -> bool:
        """Take up the last finished epoch; False when there is none.

        Args:
            folder: of the checkpoints; None: the output folder's.

        Raises:
            MiradaError: what lies there was trained otherwise, or longer; or workers found different epochs.
        """
        folder = folder or self.folder
        found = self._restore(folder)
        epochs = self.devices.gather(self.state.epoch)
        if len(set(epochs)) > 1:
            raise MiradaError(
                f"The workers can't go on together: in {folder} the chief finds epoch {epochs[0]:.0f}, another one "
                f"{next(epoch for epoch in epochs if epoch != epochs[0]):.0f}: output_dir must be a folder that all share."
            )
        return found

    def _restore(self, folder: Path) -> bool:
        path = folder / "state.json"
        if not path.is_file():
            return False
        try:
            state = State(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise MiradaError(f"{path} is corrupt ({error}): train anew with resume=false.") from error
        check_resumed(state.settings, self.state.settings, path, same_data=state.data == self.state.data)
        if self.config.epochs < state.epoch:
            raise MiradaError(f"{path} has finished {state.epoch} epochs: set epochs to that or more, or resume=false.")
        self.begun_epochs, state.settings = state.settings["epochs"], self.state.settings
        self.checkpoint.read(str(folder / state.checkpoint)).assert_consumed()
        self.state = state
        self.step.scale = state.loss_scale or self.step.scale
        return True

    def _save(self) -> None:
        """Write the weights first and the state that points to them last, so a kill leaves one or the other whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = self.state
        state.loss_scale = self.step.scale
        state.checkpoint = f"epoch-{state.epoch:04d}"
        self.checkpoint.write(str(self.folder / state.checkpoint))
        write_whole(self.folder / "state.json", json.dumps(asdict(state), indent=1))
        for file in self.folder.glob("epoch-*"):
            if file.name.split(".")[0] != state.checkpoint:
                file.unlink()
        for file in self.folder.glob("best-*.h5"):
            if file != self._best_path():
                file.unlink()

    def _best_path(self) -> Path:
        return self.folder / f"best-{self.state.best_epoch:04d}.h5"

    def best_model(self) -> keras.Model:
        """The network with the best epoch's weights."""
        self.average.load_weights(str(self._best_path()))
        return self.average

    # -- the epochs ------------------------------------------------------------------------------------------------

    def fit(self, advance: Callable[[int, int], None] = lambda epoch, step: None) -> Iterator[dict[str, float]]:
        """Train until the last epoch or until patience ends.

        Args:
            advance: called after each step with the epoch (from 1) and the step in it (from 1).

        Yields:
            After each epoch: loss and its parts, the task's figures on val as val_<name>, images_per_s, wait_share (of the
            epoch's time that went into waiting for input), seconds, learning_rate, and what `UsageMeter.figures` tells.

        Raises:
            MiradaError: the loss is not finite; the message names step and files.
        """
        while self.state.epoch < self.config.epochs and not self._out_of_patience():
            figures = self.train_epoch(self.state.epoch, advance)
            if self.state.epoch < self.config.compare_epochs:
                self.timelines.append(self.timeline)
            self.state.epoch += 1
            if self.state.epoch % self.config.val_every == 0 or self.state.epoch == self.config.epochs:
                figures |= self.validate() if self.devices.is_chief else {}
            metric = figures.get(f"val_{self.task.main_metric}", -1.0 if self._validates else float(self.state.epoch))
            metric = self.devices.gather(metric)[0]  # what the chief measured decides for all
            # Of equal epochs the later one is kept, as its learning rate was lower.
            if metric > self.state.best_metric or self.state.epoch == 1:
                self.state.better_epoch = self.state.epoch
            if metric >= self.state.best_metric or self.state.epoch == 1:
                self.state.best_metric, self.state.best_epoch = metric, self.state.epoch
                self.folder.mkdir(parents=True, exist_ok=True)
                self.average.save_weights(str(self._best_path()))
            self.state.history.append({"epoch": self.state.epoch, **figures})
            self._save()
            yield figures

    @property
    def _validates(self) -> bool:
        return self.dataset.splits["val"]["images"] > 0

    def _out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.state.epoch - self.state.better_epoch and self.state.better_epoch > 0

    def train_epoch(
        self, epoch: int, advance: Callable[[int, int], None] = lambda epoch, step: None
    ) -> dict[str, float]:
        """Train one epoch, from 0, without validation; nothing is written.

        Returns:
            What `fit` yields, without the validation's figures; `self.timeline` then has the times of each step.
        """
        self.timeline: list[StepTimes] = []
        with UsageMeter(0.5, self.devices.gpus_physical) as meter:
            sums, waited = self._run_steps(epoch, advance)
        rate = float(self.step.optimizers[1].learning_rate.numpy())
        return {name: float(total) / self.input.steps for name, total in zip(self.losses, sums, strict=True)} | {
            "images_per_s": self.input.steps * self.config.accumulate * self.config.batch_size / meter.seconds,
            "wait_share": waited / meter.seconds,
            "seconds": meter.seconds,
            "learning_rate": rate,
            **meter.figures(),
        }

    def _run_steps(self, epoch: int, advance: Callable[[int, int], None]) -> tuple[np.ndarray, float]:
        """The epoch's steps; gives the sums of the losses, and the seconds that went into waiting for input."""
        start = time.perf_counter()
        batches, sums, waiting = iter(self.input.epoch(epoch)), np.zeros(len(self.losses)), start
        for step in range(self.input.steps):
            taken = [share_out(next(batches), self.devices.strategy) for _ in range(self.config.accumulate)]
            working = time.perf_counter()
            self._set_learning_rates(epoch + step / self.input.steps)
            decay = min(self.config.ema_decay, (1 + self.state.step) / (10 + self.state.step))
            losses = self.step(taken, decay, epoch < self.config.freeze_epochs)
            if not np.isfinite(losses[0]):
                raise MiradaError(
                    f"The loss became {losses[0]} in epoch {epoch + 1}, step {step + 1}, with the images "
                    f"{', '.join(self._names(taken))}: look at these files, or lower learning_rate."
                )
            sums += losses
            self.state.step += 1
            advance(epoch + 1, step + 1)
            done = time.perf_counter()
            self.timeline.append(StepTimes(waiting - start, working - start, done - start))
            waiting = done
        del batches  # its threads end here, and what that takes is waiting, too
        return sums, sum(times.waited for times in self.timeline) + time.perf_counter() - waiting

    def _set_learning_rates(self, epoch: float) -> tuple[float, float]:
        """Linear warm-up, then constant or a cosine down to a hundredth; the backbone warms up again when it is let go."""
        config = self.config
        cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
        decay = cosine if config.schedule == "cosine" else 1.0
        thawed = epoch - config.freeze_epochs
        rates = []
        for since, scale in ((thawed, config.backbone_lr_scale), (epoch, 1.0)):
            ramp = min(1.0, (since + 1 / self.input.steps) / config.warmup_epochs) if config.warmup_epochs else 1.0
            rates.append(self.learning_rate * scale * decay * max(ramp, 0.0))
        for optimizer, rate in zip(self.step.optimizers, rates, strict=True):
            optimizer.learning_rate.assign(rate)
        return rates[0], rates[1]

    def _names(self, batches: Sequence[Batch]) -> list[str]:
        """The images of batches, as far as this worker has them."""
        parts = self.devices.strategy.experimental_local_results
        wanted = np.concatenate([part.numpy() for batch in batches for part in parts(batch["id"])])
        names = [example.image_id for example in self.dataset.examples("train")]
        table = dict(zip(id_hash(tf.constant(names)).numpy().tolist(), names, strict=True))
        return [table[number] for number in wanted.tolist()]

    # -- validation ------------------------------------------------------------------------------------------------

    def validate(self) -> dict[str, float]:
        """Measure the moving-average weights on the val split, each figure as val_<name>; empty when the split is."""
        if not self._validates:
            return {}
        figures = self.task.evaluate(*self.predict("val"), self.dataset.classes).figures
        return {f"val_{key}": value for key, value in figures.items() if value is not None}

    def predict(self, split: str) -> tuple[list[Example], list[Any]]:
        """The examples of a split, without their images, and what the moving-average weights say to each."""
        truths: list[Example] = []
        predictions: list[Any] = []
        examples = self.dataset.examples(split)
        while chunk := list(itertools.islice(examples, _VALIDATION_BATCH)):
            predictions += self._predict(chunk)
            truths += [replace(example, image=b"") for example in chunk]
        return truths, predictions

    def _predict(self, examples: list[Example]) -> list[Any]:
        images = np.stack([decode(example.image, self.card.channels) for example in examples])
        spare = _VALIDATION_BATCH - len(images)  # full batches only, so the network is traced once
        images = np.pad(images, ((0, spare), (0, 0), (0, 0), (0, 0)))
        inputs = scale_pixels(images, self.card.input_scale, self.card.input_offset)
        outputs = {name: value.numpy() for name, value in self._forward(inputs).items()}
        return [
            decode_outputs({name: value[i : i + 1] for name, value in outputs.items()}, self.card)
            for i in range(len(examples))
        ]
