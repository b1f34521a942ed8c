"""Which int8 scheme each layer of a float model gets, told before any training starts.

A layer is one of five roles. What has weights keeps them as int8, a scale a channel, and its output has a range; an
activation that LiteRT computes together with the layer before it shares that layer's range; a batch normalization
disappears into the layer before it, or, like a rescaling, becomes a 1x1 depthwise convolution, which int8 computes in one
step; what only moves values has its input's range; what computes new values has a range of its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import tensorflow as tf
import tf_keras as keras

from mirada.errors import MiradaError

WEIGHTED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
_THROUGH = (
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
)
_COMPUTING = (keras.layers.GlobalAveragePooling2D, keras.layers.LeakyReLU)
_PAIRWISE = (keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply)
_FUSED = ("linear", "relu", "relu6")  # activations that are part of the layer before in int8

WEIGHTS, FOLDED, AFFINE, THROUGH, RANGE = "weights", "folded", "affine", "through", "range"
SHARES = "shares"  # of a softmax, whose range int8 fixes


@dataclass(frozen=True)
class LayerScheme:
    """One layer and how it becomes int8.

    Attributes:
        name, kind: the layer's name and class.
        role: 'weights', 'folded', 'affine', 'through', 'range' or 'shares'; None: there is no scheme.
        text: the scheme in words; without a scheme, why there is none and what to do.
    """

    name: str
    kind: str
    role: str | None
    text: str


class Graph:
    """Who feeds whom in a functional or sequential model.

    Raises:
        MiradaError: the model is neither, or takes several inputs.
    """

    def __init__(self, model: keras.Model) -> None:
        if not getattr(model, "_is_graph_network", False) or not model.inputs:
            raise MiradaError(
                f"The model {model.name!r} is not a graph of layers: build it with the functional API or as a Sequential "
                "with an input shape."
            )
        if len(model.inputs) != 1:
            raise MiradaError(
                f"The model {model.name!r} takes {len(model.inputs)} inputs: build it with one image as input."
            )
        self.image = model.inputs[0]
        self.outputs = {id(tensor) for tensor in model.outputs}
        self.layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
        once = [layer for layer in self.layers if used_once(layer)]
        self._producers = {id(layer.output): layer for layer in once}
        self._uses = Counter(id(tensor) for layer in once for tensor in tf.nest.flatten(layer.input))
        self._consumers = {id(tensor): layer for layer in once for tensor in tf.nest.flatten(layer.input)}

    def before(self, layer: keras.layers.Layer) -> keras.layers.Layer | None:
        """The layer whose output is this one's only input."""
        return self._producers.get(id(layer.input))

    def only_reader(self, layer: keras.layers.Layer) -> keras.layers.Layer | None:
        """The layer that alone reads this one's output; None when several do, or when it is an output of the model."""
        key = id(layer.output)
        return self._consumers[key] if self._uses[key] == 1 and key not in self.outputs else None


def used_once(layer: keras.layers.Layer) -> bool:
    """Whether the layer stands at one place of one graph."""
    return len(layer._inbound_nodes) == 1  # no public attribute counts them without raising


def activation_of(layer: keras.layers.Layer) -> str:
    """The name of the function that a layer applies to its result; 'linear' for none."""
    function = getattr(layer, "activation", None)
    return getattr(function, "__name__", type(function).__name__) if function is not None else "linear"


def is_fusable(layer: keras.layers.Layer | None) -> bool:
    """Whether the layer is a ReLU or ReLU6 that int8 computes together with the layer before it."""
    if type(layer) is keras.layers.Activation:
        return activation_of(layer) in _FUSED
    return type(layer) is keras.layers.ReLU and not _relu_trouble(layer)


def folds(layer: keras.layers.Layer, graph: Graph) -> bool:
    """Whether a batch normalization disappears into the linear layer before it."""
    before = graph.before(layer)
    return (
        type(layer) is keras.layers.BatchNormalization
        and type(before) in WEIGHTED
        and activation_of(before) == "linear"
        and graph.only_reader(before) is layer
        and not _batch_norm_trouble(layer)
    )


def shares_range(layer: keras.layers.Layer, graph: Graph) -> bool:
    """Whether the range after the layer is that of the one layer that reads it: a ReLU, or a folded batch norm."""
    reader = graph.only_reader(layer)
    if reader is None or activation_of(layer) != "linear":
        return False
    if type(layer) not in (*WEIGHTED, *_PAIRWISE, keras.layers.BatchNormalization):
        return False
    return is_fusable(reader) or folds(reader, graph)


def preflight(model: keras.Model) -> list[LayerScheme]:
    """The scheme of each layer, in the order of computation; nothing is trained or changed.

    Raises:
        MiradaError: the model is no graph with one input.
    """
    graph = Graph(model)
    return [_scheme(layer, graph) for layer in graph.layers]


def require_schemes(schemes: list[LayerScheme], variants: str = "qat") -> None:
    """Refuse a model that has layers without a scheme.

    Raises:
        MiradaError: names these layers, and the way out.
    """
    if lacking := [f"{scheme.name} ({scheme.kind}: {scheme.text})" for scheme in schemes if scheme.role is None]:
        raise MiradaError(
            f"No int8 scheme for {', '.join(lacking)}: change these layers, or leave {variants} out of "
            "quantize's variants."
        )


def _scheme(layer: keras.layers.Layer, graph: Graph) -> LayerScheme:
    name, kind = layer.name, type(layer).__name__
    if trouble := _trouble(layer, graph):
        return LayerScheme(name, kind, None, trouble)
    if type(layer) in WEIGHTED:
        return LayerScheme(name, kind, WEIGHTS, f"int8 weights, a scale a channel; {_range_text(layer, graph)}")
    if folds(layer, graph):
        return LayerScheme(name, kind, FOLDED, f"folded into {graph.before(layer).name}")  # type: ignore[union-attr]
    if type(layer) in (keras.layers.BatchNormalization, keras.layers.Rescaling):
        text = f"1x1 depthwise convolution, int8 weights; {_range_text(layer, graph)}"
        return LayerScheme(name, kind, AFFINE, text)
    if type(layer) in _THROUGH:
        return LayerScheme(name, kind, THROUGH, "range of its input")
    if type(layer) is keras.layers.Softmax:
        return LayerScheme(name, kind, SHARES, "range 0 to 255/256")
    return LayerScheme(name, kind, RANGE, _range_text(layer, graph))


def _range_text(layer: keras.layers.Layer, graph: Graph) -> str:
    reader = graph.only_reader(layer)
    return f"range after {reader.name}" if shares_range(layer, graph) and reader else "range of its output"


def _trouble(layer: keras.layers.Layer, graph: Graph) -> str:
    """Why the layer has no scheme and what to do; empty when it has one."""
    if isinstance(layer, keras.Model):
        return "a model inside the model; call its layers one by one"
    if not used_once(layer):
        return "used at several places; give each place a layer of its own"
    if type(layer) in WEIGHTED:
        return _weighted_trouble(layer)
    if type(layer) is keras.layers.BatchNormalization:
        return _batch_norm_trouble(layer) or ("" if folds(layer, graph) else _map_trouble(layer))
    if type(layer) is keras.layers.Rescaling:
        return _map_trouble(layer)
    if type(layer) is keras.layers.ReLU:
        return _relu_trouble(layer)
    if type(layer) is keras.layers.Activation:
        name = activation_of(layer)
        return "" if name in _FUSED else f"activation {name!r}; use ReLU or LeakyReLU, or compute it outside the model"
    if type(layer) in _PAIRWISE:
        return "" if len(layer.input) == 2 else f"{len(layer.input)} inputs; use several layers of two"
    if type(layer) is keras.layers.Softmax:
        last = layer.axis in (-1, len(layer.output.shape) - 1)
        return "" if last else "not over the last axis; use axis=-1"
    if type(layer) in (*_THROUGH, *_COMPUTING, keras.layers.Concatenate):
        return ""
    return "not computed in int8; use another layer, or compute it outside the model"


def _weighted_trouble(layer: keras.layers.Layer) -> str:
    if activation_of(layer) not in _FUSED:
        return f"activation {activation_of(layer)!r}; use ReLU or a LeakyReLU layer, or compute it outside the model"
    if type(layer) is keras.layers.Dense:
        return "" if len(layer.output.shape) == 2 else "applied to maps; use a 1x1 Conv2D"
    if layer.data_format != "channels_last":
        return "channels first; use channels_last"
    return "" if getattr(layer, "groups", 1) == 1 else "grouped; use a DepthwiseConv2D or groups=1"


def _batch_norm_trouble(layer: keras.layers.Layer) -> str:
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    return "" if list(axes) in ([len(layer.output.shape) - 1], [-1]) else "not over the last axis; use axis=-1"


def _map_trouble(layer: keras.layers.Layer) -> str:
    if len(layer.output.shape) == 4:
        return ""
    return "applied to vectors; put it before Flatten, or directly after a linear Dense"


def _relu_trouble(layer: keras.layers.Layer) -> str:
    if layer.negative_slope or layer.threshold:
        return "a slope or threshold; use LeakyReLU"
    return "" if layer.max_value in (None, 6.0) else f"max_value={layer.max_value}; use 6 or none"
