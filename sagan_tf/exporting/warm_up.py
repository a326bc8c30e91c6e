"""Warm-up requests, which TensorFlow Serving runs before it serves a new version."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from sagan_tf.serving.contract import MODEL_NAME
from sagan_tf.serving.messages import PredictionLog, PredictLog, make_model_spec, make_predict_request

WARM_UP_FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
"""The file in the directory of a version where TensorFlow Serving looks for warm-up requests.

It is a TFRecord file of PredictionLog messages.
"""
_BATCH_SIZES = (1, 8)


def write_warm_up(directory: pathlib.Path, signatures: Mapping[str, Mapping[str, tf.TensorSpec]]) -> None:
    """Write requests of batch sizes 1 and 8 for every signature of a SavedModel.

    Without them, the first answers of a version are slow.

    Args:
        directory: The directory of the version.
        signatures: Specifications of the inputs by name, by the name of the signature.
    """
    path = directory / WARM_UP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, specs in signatures.items():
            for batch_size in _BATCH_SIZES:
                spec = make_model_spec(MODEL_NAME, signature=name)
                request = make_predict_request(spec, _make_zero_inputs(specs, batch_size))
                writer.write(PredictionLog(predict_log=PredictLog(request=request)).SerializeToString())


def _make_zero_inputs(specs: Mapping[str, tf.TensorSpec], batch_size: int) -> dict[str, np.ndarray]:
    """Return zeros, which are valid for every input.

    They are label 0, query [0, 0], truncation 0, the mean latent and a gray image.
    """
    return {name: np.zeros([batch_size, *spec.shape[1:]], spec.dtype.as_numpy_dtype) for name, spec in specs.items()}
