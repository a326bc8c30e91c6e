"""Execution of a function as a TensorFlow Lite model."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter


def run_as_tflite(function: Callable[..., tf.Tensor], inputs: Sequence[tf.Tensor]) -> np.ndarray:
    """Convert a function to TensorFlow Lite and return its output for inputs with different shapes."""
    traced = tf.function(function, autograph=False).get_concrete_function(*map(tf.TensorSpec.from_tensor, inputs))
    interpreter = Interpreter(model_content=tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert())
    interpreter.allocate_tensors()
    arrays = {tuple(tensor.shape): tensor for tensor in inputs}
    assert len(arrays) == len(inputs)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], arrays[tuple(detail["shape"])])
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    return interpreter.get_tensor(output["index"])
