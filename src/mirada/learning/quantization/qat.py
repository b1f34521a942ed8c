"""Quantization-aware training: a float model with int8's rounding in place, tuned, and made ready to convert.

Built on tensorflow-model-optimization's wrappers and quantizers, in the way of arXiv:1712.05877, with a graph pass of our
own, since the library's one leaves a convolution that a ReLU layer follows without weights in int8, quantizes depthwise
weights with one scale a tensor, and refuses `Rescaling` and a batch normalization that follows no convolution.

Batch normalizations are folded into the weights before training, so what is trained is what is converted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf
import tf_keras as keras

from mirada.inference.card import Card
from mirada.learning.layers import makes_output
from mirada.learning.quantization.rounding import (
    SHARE_RANGE,
    SMALLEST,
    ChannelQuantizer,
    KernelConfig,
    Range,
    RoundedLayer,
    input_range,
)
from mirada.learning.quantization.schemes import (
    AFFINE,
    FOLDED,
    SHARES,
    THROUGH,
    WEIGHTED,
    WEIGHTS,
    Graph,
    LayerScheme,
    preflight,
    require_schemes,
    shares_range,
)

_SUFFIX = "_range"  # of the names of layers that round an output
Compress = Callable[[keras.layers.Layer], ChannelQuantizer | None]  # what rounds a layer's kernel; None: as usual


def build_qat(model: keras.Model, card: Card, compress: Compress = lambda layer: None) -> keras.Model:
    """The model with int8's rounding in place; weights are the float model's, ranges still -6..6.

    Args:
        model: a trained float model; it is not changed.
        card: gives the input's range.
        compress: given each layer with weights, the batch normalization after it folded in, tells how to round its kernel.

    Returns:
        A model with the same input and outputs.

    Raises:
        MiradaError: layers without a scheme, by name.
    """
    return _rebuild(model, _Quantized(card, compress))


def calibrate(network: keras.Model, model: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Set the ranges by what the float model computes, so that the untrained network is about as good as that.

    A range becomes the mean of the batches' extremes, so that one strange image does not cost all others their precision;
    an output's becomes the extremes themselves.

    Args:
        network: what `build_qat` returned for the model; its ranges are set.
        model: the float model.
        batches: float inputs (B, S, S, C), at least one.
    """
    observer = _observer(model)

    @tf.function(reduce_retracing=True)
    def extremes(images: tf.Tensor) -> dict[str, tf.Tensor]:
        values = observer(images, training=False)
        return {name: tf.stack([tf.reduce_min(value), tf.reduce_max(value)]) for name, value in values.items()}

    found = [{name: ends.numpy() for name, ends in extremes(tf.constant(batch)).items()} for batch in batches]
    for name in found[0]:
        layer, ends = network.get_layer(name), np.array([batch[name] for batch in found])
        if layer.quantizer.kind == "growing":
            low, high = ends[:, 0].min(), ends[:, 1].max()
        else:
            low, high = ends.mean(axis=0)
        layer.set_weights([min(low, 0.0), max(high, SMALLEST)])


def _observer(model: keras.Model) -> keras.Model:
    """From the float model's input to what `build_qat` rounds, under the names of the layers that round it."""
    places = _Observed()
    image = _rebuild(model, places).inputs
    return keras.Model(image, places.tensors)


def to_convertible(network: keras.Model) -> keras.Model:
    """What the converter takes: plain layers whose weights already have int8's values, and the ranges.

    The converter gives such weights the very scales that training saw: a channel's largest weight is 127 steps.
    """

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        inner = layer.layer if isinstance(layer, RoundedLayer) else layer
        config = inner.get_config()
        return type(inner).from_config(config | {"shift": 0.0} if isinstance(inner, Range) else config)

    copy = keras.models.clone_model(network, clone_function=plain)
    for layer in network.layers:
        weights = layer.get_weights()
        if isinstance(layer, RoundedLayer):
            quantizer = layer.quantize_config.get_weights_and_quantizers(layer.layer)[0][1]
            weights[0] = quantizer(tf.constant(weights[0]), False, {}).numpy()
            if (
                np.ptp(weights[1]) == 0
            ):  # the converter would give all channels the first one's integer, whatever their scale
                weights[1][0] = np.nextafter(weights[1][0], np.float32(np.inf))
        copy.get_layer(layer.name).set_weights(weights)
    return copy


def without_rounding(network: keras.Model) -> keras.Model:
    """The network in float, with the weights as they were trained and no ranges."""

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, Range):
            return keras.layers.Activation("linear", name=layer.name)
        inner = layer.layer if isinstance(layer, RoundedLayer) else layer
        return type(inner).from_config(inner.get_config())

    copy = keras.models.clone_model(network, clone_function=plain)
    for layer in network.layers:
        if not isinstance(layer, Range):
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


# -- the graph pass ----------------------------------------------------------------------------------------------------


class _Quantized:
    """Places roundings."""

    def __init__(self, card: Card, compress: Compress) -> None:
        self.card, self.compress = card, compress

    def image(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return Range("fixed", *input_range(self.card), shift=self.card.input_scale / 4, name="image_range")(x)

    def weighted(self, layer: keras.layers.Layer, x: keras.KerasTensor) -> keras.KerasTensor:
        return RoundedLayer(layer, KernelConfig(self.compress(layer)), name=layer.name)(x)

    def range(self, x: keras.KerasTensor, name: str, kind: str) -> keras.KerasTensor:
        ends = SHARE_RANGE if kind == "fixed" else (-6.0, 6.0)
        return Range(kind, *ends, name=f"{name}{_SUFFIX}")(x)


class _Observed:
    """Notes the places where `_Quantized` rounds, and leaves all in float."""

    def __init__(self) -> None:
        self.tensors: dict[str, keras.KerasTensor] = {}

    def image(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return x

    def weighted(self, layer: keras.layers.Layer, x: keras.KerasTensor) -> keras.KerasTensor:
        return layer(x)

    def range(self, x: keras.KerasTensor, name: str, kind: str) -> keras.KerasTensor:
        if kind != "fixed":
            self.tensors[f"{name}{_SUFFIX}"] = x
        return x


def _rebuild(model: keras.Model, places: _Quantized | _Observed) -> keras.Model:
    """Copy the graph layer by layer: batch normalizations folded, and `places` told of everything that int8 rounds."""
    schemes = {scheme.name: scheme for scheme in preflight(model)}
    require_schemes(list(schemes.values()))
    graph = Graph(model)
    image = keras.Input(graph.image.shape[1:], name="image")
    tensors = {id(graph.image): places.image(image)}
    for layer in graph.layers:
        role = schemes[layer.name].role
        inputs = tf.nest.map_structure(lambda tensor: tensors[id(tensor)], layer.input)
        if role == FOLDED:
            x = inputs  # its convolution has taken it up
        elif role in (WEIGHTS, AFFINE):
            x = _place_weighted(layer, inputs, graph, schemes, places)
        else:
            x = type(layer).from_config(layer.get_config())(inputs)
        if role != THROUGH and not shares_range(layer, graph):
            x = places.range(x, layer.name, _kind_of_range(role, layer, model))
        tensors[id(layer.output)] = x
    outputs = tf.nest.map_structure(lambda tensor: tensors[id(tensor)], model.output)
    return keras.Model(image, outputs, name=model.name)


def _kind_of_range(role: str | None, layer: keras.layers.Layer, model: keras.Model) -> str:
    if role == SHARES:
        return "fixed"
    return "growing" if makes_output(layer, model.output_names) else "moving"


def _place_weighted(
    layer: keras.layers.Layer,
    x: keras.KerasTensor,
    graph: Graph,
    schemes: dict[str, LayerScheme],
    places: _Quantized | _Observed,
) -> keras.KerasTensor:
    if type(layer) in WEIGHTED:
        reader = graph.only_reader(layer)
        folded = reader if reader is not None and schemes[reader.name].role == FOLDED else None
        copy, weights = _copy_weighted(layer, folded)
    else:
        scale, shift = _scale_and_shift(layer)
        copy = keras.layers.DepthwiseConv2D(
            1, name=layer.name, trainable=layer.trainable and type(layer) is keras.layers.BatchNormalization
        )
        channels = x.shape[-1]
        kernel = np.broadcast_to(scale, channels).reshape(1, 1, channels, 1)
        weights = [kernel, np.broadcast_to(shift, channels)]
    with tf.name_scope(layer.name):  # of its variables
        copy.build(x.shape)
    copy.set_weights(weights)
    return places.weighted(copy, x)


def _copy_weighted(
    layer: keras.layers.Layer, batch_norm: keras.layers.Layer | None
) -> tuple[keras.layers.Layer, list[np.ndarray]]:
    """A layer with a bias like this one, the batch normalization after it folded in, and its [kernel, bias]."""
    with (
        warnings.catch_warnings()
    ):  # about a function as initializer, which can't be copied; the weights are set at once
        warnings.simplefilter("ignore", UserWarning)
        config = layer.get_config()
    plain = {key: "zeros" for key in config if key.endswith("_initializer")}
    copy = type(layer).from_config(config | plain | {"use_bias": True})
    kernel, *bias = layer.get_weights()
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    channels = kernel.shape[-2] * kernel.shape[-1] if depthwise else kernel.shape[-1]
    shift = bias[0] if bias else np.zeros(channels, np.float32)
    if batch_norm is None:
        return copy, [kernel, shift]
    scale, offset = _scale_and_shift(batch_norm)
    return copy, [kernel * scale.reshape(kernel.shape[-2:] if depthwise else (channels,)), shift * scale + offset]


def _scale_and_shift(layer: keras.layers.Layer) -> tuple[np.ndarray, np.ndarray]:
    """A batch normalization or rescaling as `x * scale + shift`, a number a channel (or one for all)."""
    if isinstance(layer, keras.layers.Rescaling):
        return np.asarray(layer.scale, np.float32), np.asarray(layer.offset, np.float32)
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    scale = (layer.gamma.numpy() if layer.scale else 1.0) / np.sqrt(variance + layer.epsilon)
    return scale, (layer.beta.numpy() if layer.center else 0.0) - mean * scale
