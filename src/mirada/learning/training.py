"""The training loop: two learning rates, moving-average weights, an epoch after the other.

A loop of our own and not `fit`, because a step has to know its files (a NaN names them), the wait for input is a figure of
its own, and a resumed epoch must be the very epoch that was interrupted.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from mirada.config import AUTO, TrainConfig
from mirada.config.influence import NOT_IN_WEIGHTS, shaping_settings
from mirada.data.images import decode
from mirada.data.records import Dataset, Example
from mirada.errors import MiradaError
from mirada.inference.card import Card
from mirada.inference.prediction import decode_outputs
from mirada.learning.course.checkpoints import Checkpoints, State
from mirada.learning.course.course import Course
from mirada.learning.course.range_test import RangeTest, find_rate
from mirada.learning.course.schedule import block_shares, decay, rates
from mirada.learning.course.stretch import Stretch
from mirada.learning.course.thaw_trial import describe, try_scales
from mirada.learning.dataset import BatchSettings, TrainingInput, id_hash, scale_pixels, share_out
from mirada.learning.devices import Devices
from mirada.learning.models import build_model
from mirada.learning.step import Batch, TrainStep, adapt
from mirada.learning.tasks import learning_task
from mirada.learning.teacher import TEACHER, TaughtLoss, load_teacher
from mirada.learning.timeline import StepTimes
from mirada.tasks import get_task
from mirada.workers.usage import UsageMeter

_VALIDATION_BATCH = 8


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
        self.losses = ("loss", *learning.LOSSES, *([TEACHER] if config.teacher else []))
        keras.backend.experimental.enable_tf_random_generator()  # dropout's state can then be kept
        keras.utils.set_random_seed(config.seed)
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        batches = BatchSettings(
            batch_size=config.batch_size, seed=config.seed, augmentation=config.augment, accumulate=config.accumulate,
            scale=card.input_scale, offset=card.input_offset,
            plain_from=config.epochs - config.augment.plain_of(config.epochs),
            part=(devices.cluster.index, devices.workers) if devices.cluster else (0, 1),
        )  # fmt: skip
        self.input = TrainingInput(dataset, batches, config=config.input, workers=config.workers)
        self.state = State(shaping_settings(config, NOT_IN_WEIGHTS), dataset.digest)
        self.begun_epochs = config.epochs  # of the training that is resumed, as it was begun
        self.course = Course(config, self.state, self.task.learning_rate)
        if len(set(devices.gather(self.state.digest()))) > 1:
            raise MiradaError(
                "The workers of TF_CONFIG have different settings or data: give all of them the same command."
            )
        self.timelines: list[list[StepTimes]] = []  # of the first `compare_epochs` epochs
        self._make_networks(build)
        with devices.strategy.scope():
            self.loss = learning.make_loss(config, dataset)
            teacher = load_teacher(config.teacher, config, dataset, card) if config.teacher else None
            if teacher is not None:
                self.loss = TaughtLoss(self.loss, teacher.teaching, config.teacher_weight)
            parts, rate = self.losses[1:], self.course.learning_rate
            self.step = TrainStep(config, devices.strategy, self.model, self.average, self.loss, parts, rate, teacher)
        self._draws = {
            f"random_{layer.name}": layer._random_generator._generator
            for layer in self.model.layers
            if isinstance(layer, keras.layers.Dropout)
        }  # Keras leaves them out of checkpoints
        backbone, head = self.step.optimizers
        content = tf.train.Checkpoint(
            model=self.model, average=self.average, backbone=backbone, head=head, **self._draws
        )
        self.checkpoints = Checkpoints(Path(config.output_dir) / "checkpoints", content)
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
        folder = folder or self.checkpoints.folder
        if found := self.checkpoints.restore(folder, self.state):
            self.begun_epochs, found.settings = found.settings["epochs"], self.state.settings
            self.state = found
            self.course = Course(self.config, found, self.task.learning_rate)
            self.step.scale = found.loss_scale or self.step.scale
            self._note_rates()
        epochs = self.devices.gather(self.state.epoch)
        if len(set(epochs)) > 1:
            raise MiradaError(
                f"The workers can't go on together: in {folder} the chief finds epoch {epochs[0]:.0f}, another one "
                f"{next(epoch for epoch in epochs if epoch != epochs[0]):.0f}: output_dir must be a folder that all share."
            )
        return found is not None

    def best_model(self) -> keras.Model:
        """The network with the best epoch's weights."""
        self.average.load_weights(str(self.checkpoints.best_path(self.state)))
        return self.average

    # -- the epochs ------------------------------------------------------------------------------------------------

    def fit(
        self,
        advance: Callable[[int, int], None] = lambda epoch, step: None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> Iterator[dict[str, float]]:
        """Train until the last epoch or until patience ends.

        Args:
            advance: called after each step with the epoch (from 1) and the step in it (from 1).
            tell: called with a sentence where something was decided on the way.

        Yields:
            After each epoch: loss and its parts, the task's figures on val as val_<name>, images_per_s, wait_share (of its
            time, that waited for input), seconds, learning_rate, backbone_learning_rate, and `UsageMeter.figures`.

        Raises:
            MiradaError: the loss is not finite; the message names step and files.
        """
        self.find_learning_rate(tell)
        while not self.course.is_over:
            self._find_scale(tell)
            figures = self.train_epoch(self.state.epoch, advance)
            if self.state.epoch < self.config.compare_epochs:
                self.timelines.append(self.timeline)
            self.state.epoch += 1
            if self.course.validates(self.state.epoch):
                figures |= self.validate() if self.devices.is_chief else {}
            self._judge(figures, tell)
            self.state.loss_scale = self.step.scale
            self.checkpoints.save(self.state)
            yield figures

    def _judge(self, figures: dict[str, float], tell: Callable[[str], None]) -> None:
        """Keep the weights where they are the best so far, or go back to what was better before."""
        state, name = self.state, self.task.main_metric
        metric = figures.get(f"val_{name}", -1.0 if self._validates else float(state.epoch))
        metric = self.devices.gather(metric)[0]  # what the chief measured decides for all
        # Of equal epochs the later one is kept, as its learning rate was lower.
        if metric > state.best_metric or state.epoch == 1:
            state.better_epoch = state.epoch
        if metric >= state.best_metric or state.epoch == 1:
            state.best_metric, state.best_epoch = metric, state.epoch
            self.checkpoints.write_best(state, self.average)
        state.history.append({"epoch": state.epoch, **figures})
        guarded = state.guard.whole or self.step.variables[0]  # all layers, or the pretrained ones where there are any
        if guarded and self._validates and self.course.validates(state.epoch):
            self._say(self.course.guard(metric, name, self.checkpoints), tell)

    def _say(self, text: str | None, tell: Callable[[str], None]) -> None:
        if text:
            self.state.events.append(text)
            tell(text)

    @property
    def _validates(self) -> bool:
        return self.dataset.splits["val"]["images"] > 0

    def guard(self, figure: float) -> None:
        """Before `fit`: go back to the present weights, and go on more gently, where val gets worse than this figure."""
        self.course.remember(figure, self.checkpoints, whole=True)

    # -- rates that are looked for -----------------------------------------------------------------------------------

    def find_learning_rate(self, tell: Callable[[str], None] = lambda text: None) -> RangeTest | None:
        """The range test of learning_rate=auto, before the first epoch; None where there is nothing to look for."""
        if not self.course.seeks_rate:
            return None
        found = find_rate(self._stretch(), self.course)
        self.state.learning_rate = self.devices.gather(found.rate)[0]
        self._note_rates()
        self._say(found.sentence, tell)
        return found

    def _find_scale(self, tell: Callable[[str], None]) -> None:
        """What backbone_lr_scale=auto stands for, when the pretrained layers are about to be let go."""
        if self.course.seeks_scale:
            rate = self.course.learning_rate * decay(self.config, self.state.epoch)
            scale, tried = try_scales(self._stretch(), rate, (self.config.epochs - self.state.epoch) * self.input.steps)
            self.state.backbone_lr_scale = self.devices.gather(scale)[0]
            self._note_rates()
            self._say(describe(scale, tried), tell)

    def _note_rates(self) -> None:
        """The card says what was found, as if it had been given."""
        for key in ("learning_rate", "backbone_lr_scale"):
            if getattr(self.config, key) == AUTO and (found := getattr(self.state, key)) is not None:
                self.card.training[key] = found

    def _stretch(self) -> Stretch:
        return Stretch(self.step, self.input, self.config, [draws.state for draws in self._draws.values()])

    # -- an epoch --------------------------------------------------------------------------------------------------

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
        old, new = (float(optimizer.learning_rate.numpy()) for optimizer in self.step.optimizers)
        return {name: float(total) / self.input.steps for name, total in zip(self.losses, sums, strict=True)} | {
            "images_per_s": self.input.steps * self.config.accumulate * self.config.batch_size / meter.seconds,
            "wait_share": waited / meter.seconds,
            "seconds": meter.seconds,
            "learning_rate": new,
            "backbone_learning_rate": 0.0 if self.course.frozen(epoch) else old,
            **meter.figures(),
        }

    def _run_steps(self, epoch: int, advance: Callable[[int, int], None]) -> tuple[np.ndarray, float]:
        """The epoch's steps; gives the sums of the losses, and the seconds that went into waiting for input."""
        start = time.perf_counter()
        batches, sums, waiting = iter(self.input.epoch(epoch)), np.zeros(len(self.losses)), start
        for step in range(self.input.steps):
            taken = [share_out(next(batches), self.devices.strategy) for _ in range(self.config.accumulate)]
            working = time.perf_counter()
            shares = self._set_learning_rates(epoch + step / self.input.steps)
            kept = min(self.config.ema_decay, (1 + self.state.step) / (10 + self.state.step))
            losses = self.step(taken, kept, self.course.frozen(epoch), shares)
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

    def _set_learning_rates(self, epoch: float) -> list[float] | None:
        """Set both, and give what share of its own each pretrained variable has."""
        course, steps = self.course, self.input.steps
        peaks = course.learning_rate * course.backbone_lr_scale, course.learning_rate
        self.step.set_rates(*rates(self.config, steps, epoch, (course.thawed, course.started), peaks))
        return block_shares(self.config, steps, self.step.depths, epoch - course.thawed)

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
