"""Directories of SavedModels: complete at any time, and usable where this package is not installed."""

import json
import subprocess
import sys

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from sagan_tf.exporting.warm_up import WARM_UP_FILE
from tests.exporting.small_export import inputs_for, list_files
from tests.serving.cc_session import CcSession

PARTS = ("model_card.json", "saved_model.pb", str(WARM_UP_FILE), "variables/variables.index")


def test_a_version_has_all_its_files(exported):
    assert set(PARTS) <= set(list_files(exported.path))
    assert json.loads((exported.path / "model_card.json").read_text())["class_names"] == ["apple", "banana", "cherry"]
    assert [path.name for path in exported.path.parent.iterdir()] == ["7"]


def test_the_warm_up_requests_are_valid_for_every_signature(exported):
    """A server does not load a version if one of its warm-up requests fails."""
    found = []
    for record in tf.data.TFRecordDataset(str(exported.path / WARM_UP_FILE)):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        exported.call(request.model_spec.signature_name, **inputs)
        found.append((request.model_spec.name, request.model_spec.signature_name, len(inputs["labels"])))
    assert sorted(found) == [("sagan", name, rows) for name in sorted(exported.model.signatures) for rows in (1, 8)]


def test_the_cpp_session_computes_what_python_computes(exported):
    session, inputs = CcSession(exported.path), inputs_for(exported.config)
    seeds = {"seeds": np.array([-1, 2**40, 3]), "truncation": np.array([0.5, 8.0, np.inf], np.float32)}
    queries = np.array([[0, 0], [15, 15], [3, 2]], np.int32)
    for name, given in (
        ("serving_default", inputs),
        ("attention", inputs | {"queries": queries}),
        ("generate", seeds | {"labels": inputs["labels"]}),
    ):
        (found,) = session.run(name, given).values()
        expected = exported.call(name, **given)
        if name == "generate":
            assert found.tolist() == expected.tolist()
        else:
            np.testing.assert_allclose(found, expected, atol=1e-6)


PROGRAM = """
import sys
sys.modules.update(sagan_tf=None, keras=None, tf_keras=None)  # an import of them fails
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
given = np.load(sys.argv[2])
inputs = {name: tf.constant(given[name]) for name in ("latents", "labels")}
images = model.signatures["serving_default"](**inputs)["images"]
seeds = tf.range(3, dtype=tf.int64)
png = model.signatures["generate"](seeds=seeds, labels=inputs["labels"], truncation=tf.ones(3))["png_bytes"]
shapes = [tf.io.decode_png(file).shape for file in png]
np.savez(sys.argv[3], images=images, shapes=shapes, files=[file.numpy().hex() for file in png])
"""


def test_a_saved_model_needs_neither_this_package_nor_keras(exported, tmp_path):
    inputs = inputs_for(exported.config)
    np.savez(tmp_path / "given.npz", latents=inputs["latents"], labels=inputs["labels"])
    files = [exported.path, tmp_path / "given.npz", tmp_path / "b.npz"]
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, *map(str, files)]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    with np.load(tmp_path / "b.npz") as result:
        np.testing.assert_allclose(result["images"], exported.call("serving_default", **inputs), atol=1e-5)
        assert result["shapes"].tolist() == [[32, 32, 3]] * 3
        ones: np.ndarray = np.ones(3, np.float32)
        expected = exported.call("generate", seeds=np.arange(3), labels=inputs["labels"], truncation=ones)
        assert [bytes.fromhex(file) for file in result["files"]] == expected.tolist()
