"""Requests that TensorFlow Serving sends itself before a new version takes over: nobody waits for its first answers."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from sagan_tf.serving.contract import MODEL_NAME
from sagan_tf.serving.messages import PredictionLog, PredictLog, model_spec, predict_request

WARM_UP_FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
"""Where TensorFlow Serving looks for them in a version's folder; a TFRecord file of PredictionLog messages."""
_ROWS = (1, 8)


def write_warm_up(folder: pathlib.Path, signatures: Mapping[str, Mapping[str, tf.TensorSpec]]) -> None:
    """Write requests of a few sizes to every signature of a SavedModel.

    Args:
        folder: of the version.
        signatures: by name, what each takes, by name.
    """
    path = folder / WARM_UP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, specs in signatures.items():
            for rows in _ROWS:
                request = predict_request(model_spec(MODEL_NAME, signature=name), _inputs(specs, rows))
                writer.write(PredictionLog(predict_log=PredictLog(request=request)).SerializeToString())


def _inputs(specs: Mapping[str, tf.TensorSpec], rows: int) -> dict[str, np.ndarray]:
    """Zeros are right for every input: label 0, query 0 0, truncation 0, an average latent, a grey image."""
    return {name: np.zeros([rows, *spec.shape[1:]], spec.dtype.as_numpy_dtype) for name, spec in specs.items()}
