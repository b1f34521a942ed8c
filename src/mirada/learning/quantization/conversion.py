"""From a Keras model to `.tflite` variants.

Post-training quantization as in https://ai.google.dev/edge/litert/models/post_training_quantization: float16 weights,
dynamic range (int8 weights, float activations), and full integer with a uint8 input. A model trained with int8's rounding
in place (`mirada.learning.quantization.qat`) brings its ranges along and becomes full integer too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tensorflow.lite.python.convert import mlir_quantize

from mirada.errors import MiradaError
from mirada.learning.quantization.compaction import share_vectors
from mirada.quiet import quiet_libraries


def convert(
    model: keras.Model,
    variant: str,
    calibration: Callable[[], Iterable[np.ndarray]],
    *,
    input_scale: float = 1 / 127.5,
    input_offset: float = -1.0,
    io: str = "uint8",
) -> bytes:
    """Convert a model, with a batch of one, to one variant.

    Args:
        model: its outputs are a dictionary, whose keys become the names of the signature 'serving_default'. For 'qat' it is
            what `qat.to_convertible` returned.
        variant: 'float32', 'float16', 'dynamic', 'int8', 'qat' or 'int16x8'; int8 and qat: uint8 in, int8 out, each output
            with a scale of its own; int16x8: int16 activations and int8 weights, float32 in and out.
        calibration: gives the images, (S, S, C) uint8, that set the ranges of int8 and int16x8; no other variant asks for
            them.
        input_scale, input_offset: from pixels to the float input, as the card says.
        io: type of the input of int8 and qat, 'uint8' or 'int8'.

    Returns:
        The bytes of the `.tflite` file.

    Raises:
        MiradaError: the converter refuses the model.
    """
    converter = _converter(model)
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant in ("int8", "qat"):
        converter.inference_input_type = tf.as_dtype(io)
        converter.inference_output_type = tf.int8
    if variant == "int8":  # of the other one the converter would ask for images that it then does not use
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if variant == "int16x8":
        names = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
        converter.target_spec.supported_ops = [tf.lite.OpsSet[names]]
    if variant in ("int8", "int16x8"):
        converter.representative_dataset = lambda: _representative(calibration(), input_scale, input_offset)
    return share_vectors(_run(converter.convert, variant))


def convert_observed(
    model: keras.Model, image: np.ndarray, *, input_scale: float = 1 / 127.5, input_offset: float = -1.0
) -> bytes:
    """Convert a model to the float `.tflite` that int8 is made from, each tensor with the range that one image gave it.

    Args:
        model: as `convert` takes it for 'int8'.
        image: (S, S, C) uint8.
        input_scale, input_offset: from pixels to the float input, as the card says.

    Raises:
        MiradaError: the converter refuses the model.
    """
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _representative([image], input_scale, input_offset)
    converter._experimental_calibrate_only = True  # as tf.lite.experimental.QuantizationDebugger does
    return _run(converter.convert, "int8")


def quantize_observed(content: bytes, float_layers: list[str], *, float_outputs: bool = False) -> bytes:
    """Make int8 from what `convert_observed` returned.

    Args:
        content: the float `.tflite` with its ranges.
        float_layers: names of operators' outputs; these operators stay float.
        float_outputs: the network's outputs are float32, not int8.
    """
    return _run(
        lambda: mlir_quantize(
            content,
            input_data_type=tf.uint8,
            output_data_type=tf.float32 if float_outputs else tf.int8,
            denylisted_nodes=float_layers or None,
        ),
        "int8",
    )


def _run(convert: Callable[[], bytes], variant: str) -> bytes:
    """Convert in silence."""
    try:
        with quiet_libraries(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")  # the converter's own use
            return convert()
    except Exception as error:  # the converter's own class of errors has no public name
        if type(error).__name__ != "ConverterError":
            raise
        raise MiradaError(f"The model can't be converted to {variant}: {str(error).splitlines()[0]}") from error


def _converter(model: keras.Model) -> tf.lite.TFLiteConverter:
    shape = (1, *model.input_shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return model(image, training=False)

    module = tf.Module()
    module.variables_, module.serve = model.variables, serve  # not the model: that would trace every layer once more
    return tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], module)


def _representative(images: Iterable[np.ndarray], scale: float, offset: float) -> Iterator[dict[str, tf.Tensor]]:
    """Calibration inputs; a pixel of 0 and one of 255 in each make the input's scale exactly the card's."""
    for image in images:
        inputs = image.astype(np.float32)[None] * np.float32(scale) + np.float32(offset)
        inputs[0, 0, 0], inputs[0, 0, 1] = offset, 255 * scale + offset
        yield {"image": inputs}
