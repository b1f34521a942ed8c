"""A few steps of training that leave no trace: what a rate does is seen, and then all is as it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

from mirada.config import TrainConfig
from mirada.learning.course.schedule import block_shares
from mirada.learning.dataset import TrainingInput, share_out
from mirada.learning.step import TrainStep

_FIRST_EPOCH = 1_000_000  # of the order and the changes of images: no training gets there


class Stretch:
    """Takes steps on batches that the training itself never sees.

    Args:
        step: takes them.
        batches: the training split.
        config: the training's settings.
        draws: random states, which a step changes along with what it holds itself.
    """

    def __init__(
        self, step: TrainStep, batches: TrainingInput, config: TrainConfig, draws: Sequence[tf.Variable]
    ) -> None:
        self.step, self.batches, self.accumulate = step, batches, config.accumulate
        self._shares = block_shares(config, batches.steps, step.depths, math.inf)
        optimizers = [variable for optimizer in step.optimizers for variable in optimizer.variables]
        changed = [*step.model.variables, *step.average.variables, *optimizers, *draws]
        # Of each replica its own: batch statistics differ between them, and their mean is not what they were.
        self._parts = [part for variable in changed for part in step.strategy.experimental_local_results(variable)]

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside is taken back at the end."""
        kept = [tf.identity(part) for part in self._parts]
        loss_scale = self.step.loss_scaling
        try:
            yield
        finally:
            for part, value in zip(self._parts, kept, strict=True):
                part.assign(value)
            self.step.loss_scaling = loss_scale

    def losses(self, steps: int, frozen: bool, set_rates: Callable[[int], None]) -> Iterator[float]:
        """The loss of each step, before that step has learnt from its images.

        Args:
            steps: how many.
            frozen: whether the pretrained layers stand still.
            set_rates: called with the number of a step, from 0, before it is taken.
        """
        batches = self._batches()
        for number in range(steps):
            taken = [share_out(next(batches), self.step.strategy) for _ in range(self.accumulate)]
            set_rates(number)
            yield float(self.step(taken, 0.0, frozen, self._shares)[0])

    def _batches(self) -> Iterator[dict[str, tf.Tensor]]:
        epoch = _FIRST_EPOCH
        while True:
            yield from self.batches.epoch(epoch)
            epoch += 1
