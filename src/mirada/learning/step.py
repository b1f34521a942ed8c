"""One step of the optimizer: forward, loss, backward, update, moving average; at once, or batch by batch.

At once is the default. Batch by batch, gradients are summed first and the optimizer steps on the sum: so several batches
can make one step (`accumulate`), XLA compiles what has no communication in it (`xla`), and a step whose float16 gradients
overflowed can be left out (`precision=fp16`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from mirada.config import TrainConfig
from mirada.learning.backbones import moving_statistics
from mirada.learning.layers import makes_output
from mirada.learning.models import backbone_depths, backbone_variables
from mirada.learning.tasks import Loss
from mirada.learning.tasks.box_bins import with_bins

POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16", "fp16": "mixed_float16"}
_FIRST_SCALE = (
    2.0**15
)  # of the loss in float16, as keras.mixed_precision.LossScaleOptimizer has it; so are the next two
_STEPS_TO_GROW = 2000
_LEAST_SCALE = 2.0**-20  # below 1: here sums are differentiated, not means
_SUM = tf.distribute.ReduceOp.SUM

Batch = dict[str, Any]


class _Repeat(keras.layers.Layer):
    """What `UpSampling2D` does to the nearest, in operations that XLA can differentiate."""

    def __init__(self, times: tuple[int, int], **settings: Any) -> None:
        super().__init__(**settings)
        self.times = times

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """(batch, H, W, channels) -> (batch, times[0] * H, times[1] * W, channels)."""
        for axis, times in enumerate(self.times, start=1):
            x = tf.repeat(x, times, axis)
        return x


def adapt(model: keras.Model, precision: str, synchronize: bool, xla: bool) -> keras.Model:
    """The same network with the same weights for a training in another precision, of several replicas, or with XLA.

    Weights stay float32, and so do the layers that make outputs: a bfloat16 has 8 significant bits, too few for a box's
    corner.

    Args:
        model: a float32 network.
        precision: a key of POLICIES.
        synchronize: batch normalisations take their statistics over all replicas, in float32.
        xla: only operations that XLA knows.
    """

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        settings = layer.get_config()
        if precision != "fp32" and not makes_output(layer, model.output_names):
            settings["dtype"] = POLICIES[precision]
        if synchronize and isinstance(layer, keras.layers.BatchNormalization):
            settings |= {"synchronized": True, "dtype": "float32"}
        if xla and isinstance(layer, keras.layers.UpSampling2D) and layer.interpolation == "nearest":
            return _Repeat(layer.size, name=layer.name, dtype=settings["dtype"])
        return type(layer).from_config(settings)

    adapted = keras.models.clone_model(model, clone_function=copy)
    adapted.set_weights(model.get_weights())
    return adapted


class TrainStep:
    """Changes a network and its moving average; made in the strategy's scope.

    Args:
        config: the training's settings.
        strategy: where the network lies.
        model: what is trained.
        average: holds the moving average of its weights.
        loss: of the task.
        parts: names of the loss's parts.
        learning_rate: of new layers, at its peak.
        ask: gives a batch what a teacher says to it; None: there is no teacher.
    """

    def __init__(
        self,
        config: TrainConfig,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        average: keras.Model,
        loss: Loss,
        parts: Sequence[str],
        learning_rate: float,
        ask: Callable[[Batch], Batch] | None = None,
    ) -> None:
        self.config, self.strategy, self.model, self.average = config, strategy, model, average
        self._forward = with_bins(model)
        self.loss, self.parts, self.learning_rate = loss, parts, learning_rate
        self.ask = ask or (lambda batch: batch)
        self.optimizers = [self._optimizer(), self._optimizer()]  # of the pretrained layers, of the new ones
        self._moving = moving_statistics(model) if config.model.weights else []
        self.variables, self.depths = backbone_variables(model), backbone_depths(model)
        for optimizer, variables in zip(self.optimizers, self.variables, strict=True):
            optimizer.build(variables)
        self.scale = _FIRST_SCALE if config.precision == "fp16" else 1.0
        self._since_change = 0
        self._at_once = tf.function(self._step_at_once, reduce_retracing=True)
        self._differentiate = self._differentiate_batch
        if config.xla:
            self._differentiate = tf.function(self._differentiate_batch, jit_compile=True)
        self.batch_by_batch = config.accumulate > 1 or config.xla or config.precision == "fp16"
        if self.batch_by_batch:
            self._sums = _accumulator(tf.zeros(1 + len(parts)))
            self._gradients = [[_accumulator(tf.zeros(v.shape)) for v in variables] for variables in self.variables]
            self._add, self._finish = tf.function(self._add_batch), tf.function(self._step_on_sums)
            self._count_overflows, self._clear = tf.function(self._overflows), tf.function(self._clear_sums)

    def _optimizer(self) -> keras.optimizers.Optimizer:
        config = self.config
        optimizer = keras.optimizers.AdamW(
            self.learning_rate, weight_decay=config.weight_decay, jit_compile=config.xla and _one_gpu(self.strategy)
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        return optimizer

    def set_rates(self, backbone: float, head: float) -> None:
        """Set the learning rates of the pretrained layers and of the new ones."""
        for optimizer, rate in zip(self.optimizers, (backbone, head), strict=True):
            optimizer.learning_rate.assign(rate)

    @property
    def loss_scaling(self) -> tuple[float, int]:
        """Of float16: the loss's factor, and the steps since it was changed."""
        return self.scale, self._since_change

    @loss_scaling.setter
    def loss_scaling(self, values: tuple[float, int]) -> None:
        self.scale, self._since_change = values

    def __call__(
        self, batches: Sequence[Batch], decay: float, frozen: bool, shares: Sequence[float] | None = None
    ) -> np.ndarray:
        """Step once.

        Args:
            batches: `accumulate` of them, each shared out to the replicas of this worker.
            decay: of the moving average.
            frozen: whether the pretrained layers stand still.
            shares: what share of their learning rate each pretrained variable has; None: the whole.

        Returns:
            The loss, then its parts, over all batches and replicas.
        """
        for layer in self._moving:  # Keras then neither takes nor moves its statistics
            layer.trainable = not frozen
        parts = None if frozen or shares is None else tf.constant(shares, tf.float32)
        if not self.batch_by_batch:
            return self._at_once(batches[0], tf.constant(decay), frozen, parts).numpy()
        for batch in batches:
            self._add(batch, tf.constant(self.scale), frozen)
        if self.config.precision == "fp16" and self._overflowed(frozen):
            return self._clear(frozen).numpy()
        return self._finish(tf.constant(decay), frozen, parts).numpy()

    # -- at once ---------------------------------------------------------------------------------------------------

    def _step_at_once(self, batch: Batch, decay: tf.Tensor, frozen: bool, shares: tf.Tensor | None) -> tf.Tensor:
        before = self._before(shares)
        losses = self.strategy.run(self._replica_step, args=(batch, frozen))
        total = self.strategy.reduce(_SUM, losses, axis=None)
        self._hold_back(before, shares)
        self._move_average(decay)
        return total

    def _replica_step(self, batch: Batch, frozen: bool) -> tf.Tensor:
        context, batch = tf.distribute.get_replica_context(), self.ask(batch)
        with tf.GradientTape() as tape:
            parts = self.loss(self._forward(batch["image"], training=True), batch)
            positives = tf.maximum(context.all_reduce(_SUM, parts.pop("positives")), 1.0)
            parts = {name: value / positives for name, value in parts.items()}
            loss = tf.add_n(list(parts.values()))
        gradients = tape.gradient(loss, [variables for _, variables in self._groups(frozen)])
        self._apply(context.all_reduce(_SUM, gradients), frozen)
        return tf.stack([loss, *(parts[name] for name in self.parts)])

    def _groups(self, frozen: bool) -> list[tuple[keras.optimizers.Optimizer, list[tf.Variable]]]:
        groups = [(self.optimizers[1], self.variables[1])]
        if not frozen:
            groups.append((self.optimizers[0], self.variables[0]))
        return groups

    def _apply(self, gradients: list[list[tf.Tensor]], frozen: bool) -> None:
        if self.config.clip_norm:
            flat, _ = tf.clip_by_global_norm(tf.nest.flatten(gradients), self.config.clip_norm)
            gradients = tf.nest.pack_sequence_as(gradients, flat)
        for (optimizer, variables), clipped in zip(self._groups(frozen), gradients, strict=True):
            if variables:
                optimizer.apply_gradients(zip(clipped, variables, strict=True), skip_gradients_aggregation=True)

    def _before(self, shares: tf.Tensor | None) -> list[tf.Tensor]:
        return [] if shares is None else [tf.identity(variable) for variable in self.variables[0]]

    def _hold_back(self, before: list[tf.Tensor], shares: tf.Tensor | None) -> None:
        """Leave each pretrained variable its share of the step, as a share of the rate would: AdamW is linear in that."""
        if shares is not None:
            for old, variable, share in zip(before, self.variables[0], tf.unstack(shares, len(before)), strict=True):
                variable.assign(old + share * (variable - old))

    def _move_average(self, decay: tf.Tensor) -> None:
        for average, variable in zip(self.average.variables, self.model.variables, strict=True):
            average.assign(decay * average + (1 - decay) * variable)

    # -- batch by batch --------------------------------------------------------------------------------------------

    def _add_batch(self, batch: Batch, scale: tf.Tensor, frozen: bool) -> None:
        def add(batch: Batch) -> None:
            gradients, sums = self._differentiate(self.ask(batch), scale, frozen)
            self._sums.assign_add(sums)
            for total, gradient in zip(tf.nest.flatten(self._totals(frozen)), tf.nest.flatten(gradients), strict=True):
                total.assign_add(gradient / scale)

        self.strategy.run(add, args=(batch,))

    def _differentiate_batch(
        self, batch: Batch, scale: tf.Tensor, frozen: bool
    ) -> tuple[list[list[tf.Tensor]], tf.Tensor]:
        """Gradients of the summed loss times `scale`, and (positives, sums of the loss's parts), of one replica's batch."""
        with tf.GradientTape() as tape:
            parts = self.loss(self._forward(batch["image"], training=True), batch)
            positives = parts.pop("positives")
            loss = tf.add_n(list(parts.values())) * scale
        gradients = tape.gradient(loss, [variables for _, variables in self._groups(frozen)])
        return gradients, tf.stack([positives, *(parts[name] for name in self.parts)])

    def _totals(self, frozen: bool) -> list[list[tf.Variable]]:
        """The accumulators of the gradients, in the order of `_groups`."""
        return [self._gradients[1]] if frozen else [self._gradients[1], self._gradients[0]]

    def _overflowed(self, frozen: bool) -> bool:
        """Whether a gradient is infinite or no number; the next step's scale follows from that."""
        overflowed = bool(self._count_overflows(frozen).numpy() > 0)
        self._since_change += 1
        if overflowed:
            self.scale, self._since_change = max(self.scale / 2, _LEAST_SCALE), 0
        elif self._since_change >= _STEPS_TO_GROW:
            self.scale, self._since_change = self.scale * 2, 0
        return overflowed

    def _overflows(self, frozen: bool) -> tf.Tensor:
        def count() -> tf.Tensor:
            wrong = [
                tf.reduce_sum(tf.cast(~tf.math.is_finite(v), tf.float32)) for v in tf.nest.flatten(self._totals(frozen))
            ]
            return tf.add_n(wrong)

        return self.strategy.reduce(_SUM, self.strategy.run(count), axis=None)

    def _step_on_sums(self, decay: tf.Tensor, frozen: bool, shares: tf.Tensor | None) -> tf.Tensor:
        before = self._before(shares)

        def step() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            sums = context.all_reduce(_SUM, self._sums.read_value())
            positives = tf.maximum(sums[0], 1.0)
            local = [[total / positives for total in totals] for totals in self._totals(frozen)]
            self._apply(context.all_reduce(_SUM, local), frozen)
            return sums

        losses = self._losses(self.strategy.run(step))
        self._hold_back(before, shares)
        self._move_average(decay)
        self._zero(frozen)
        return losses

    def _clear_sums(self, frozen: bool) -> tf.Tensor:
        """Leave the step out."""

        def total() -> tf.Tensor:
            return tf.distribute.get_replica_context().all_reduce(_SUM, self._sums.read_value())

        losses = self._losses(self.strategy.run(total))
        self._zero(frozen)
        return losses

    def _losses(self, sums: Any) -> tf.Tensor:
        """The loss and its parts from sums that are the same on every replica."""
        first = self.strategy.experimental_local_results(sums)[0]
        parts = first[1:] / tf.maximum(first[0], 1.0)
        return tf.concat([tf.reduce_sum(parts, keepdims=True), parts], 0)

    def _zero(self, frozen: bool) -> None:
        def zero() -> None:
            for total in (self._sums, *tf.nest.flatten(self._totals(frozen))):
                total.assign(tf.zeros_like(total))

        self.strategy.run(zero)


def _accumulator(zeros: tf.Tensor) -> tf.Variable:
    """A variable of which each replica has its own, as many as its batches have added."""
    on_read = tf.VariableSynchronization.ON_READ
    return tf.Variable(zeros, trainable=False, synchronization=on_read, aggregation=tf.VariableAggregation.SUM)


def _one_gpu(strategy: tf.distribute.Strategy) -> bool:
    """Where Keras compiles an optimizer's update."""
    return strategy.num_replicas_in_sync == 1 and "GPU" in strategy.extended.worker_devices[0]
