"""Warm-up requests, read with the messages of TensorFlow Serving."""

from __future__ import annotations

import pathlib

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from sagan_tf.exporting.warm_up import write_warm_up

SPECS = {
    "serving_default": {"latents": tf.TensorSpec([None, 5], tf.float32), "labels": tf.TensorSpec([None], tf.int32)},
    "generate": {"seeds": tf.TensorSpec([None], tf.int64)},
}


def test_every_signature_has_requests(tmp_path: pathlib.Path) -> None:
    write_warm_up(tmp_path, SPECS)
    path = tmp_path / "assets.extra" / "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))
    ]
    requests = [log.predict_log.request for log in logs]
    found = {
        (request.model_spec.signature_name, name): tf.make_ndarray(tensor)
        for request in requests
        for name, tensor in request.inputs.items()
    }
    assert len(requests) == 4 and {request.model_spec.name for request in requests} == {"sagan"}
    assert {key: array.dtype.name for key, array in found.items()} == {
        ("serving_default", "latents"): "float32",
        ("serving_default", "labels"): "int32",
        ("generate", "seeds"): "int64",
    }
    rows = [len(tf.make_ndarray(next(iter(request.inputs.values())))) for request in requests]
    assert rows == [1, 8, 1, 8] and found["serving_default", "latents"].shape == (8, 5)
