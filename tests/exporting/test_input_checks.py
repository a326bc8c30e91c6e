"""Errors for invalid requests to a loaded export, in Python and in the C++ session that servers use."""

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.exporting.input_checks import _assert_shapes
from sagan_tf.serving.contract import MAX_BATCH_SIZE
from tests.exporting.small_export import Exported, export_config, inputs_for, save_discriminator, save_generator
from tests.networks.small_networks import images
from tests.serving.cc_session import CcSession, RunError

Arrays = dict[str, np.ndarray]
GENERATOR = inputs_for(export_config())
GENERATE = {"seeds": np.array([5, 6, 7]), "labels": GENERATOR["labels"], "truncation": np.ones(3, np.float32)}
QUERIES = np.array([[0, 0], [15, 15], [3, 2]], np.int32)


class LoadedExport:
    """An export that is loaded in Python and in a C++ session; both must refuse invalid requests."""

    def __init__(self, exported: Exported) -> None:
        self.exported, self.session = exported, CcSession(exported.path)

    def reasons(self, signature: str, inputs: Arrays) -> tuple[str, str]:
        """Return the messages of both. For an input with several errors they may differ."""
        in_python = extract_reason(self.exported.error_message(signature, **inputs))
        with pytest.raises(RunError) as caught:
            self.session.run(signature, inputs)
        assert caught.value.code == 3  # INVALID_ARGUMENT
        return in_python, extract_reason(str(caught.value))

    def reason(self, signature: str, inputs: Arrays) -> str:
        """Return the message of both, which is the same."""
        in_python, in_session = self.reasons(signature, inputs)
        assert in_python == in_session
        return in_python


def extract_reason(message: str) -> str:
    """Return the text of the assertion in TensorFlow's message."""
    found = re.search(r"assertion failed: (.*)", message)
    return re.sub(r"[\[\]]", "", found[1]).strip() if found else message


@pytest.fixture(scope="module")
def loaded(exported):
    return LoadedExport(exported)


def replace_value(arrays: Arrays, name: str, index: tuple[int, ...], value: Any) -> Arrays:
    copy = arrays[name].copy()
    copy[index] = value
    return arrays | {name: copy}


def make_rows(arrays: Arrays, rows: int) -> Arrays:
    return {name: np.zeros([rows, *array.shape[1:]], array.dtype) for name, array in arrays.items()}


CALLS = {"serving_default": GENERATOR, "generate": GENERATE, "attention": GENERATOR | {"queries": QUERIES}}
every_signature = pytest.mark.parametrize("signature", CALLS)


@every_signature
def test_labels_out_of_range(loaded, signature):
    for label in (-1, 3, 2**31 - 1, -(2**31)):
        found = loaded.reason(signature, replace_value(CALLS[signature], "labels", (1,), label))
        assert found.startswith("labels: ") and found.endswith(f"0 to 2, received {label}")


def test_the_invalid_value_is_shown_at_any_position(loaded):
    """By default, TensorFlow's assertions show only the first three numbers of a tensor."""
    many = make_rows(GENERATE, 50)
    assert loaded.reason("generate", replace_value(many, "labels", (40,), 77)).endswith("received 77")
    assert loaded.reason("generate", replace_value(many, "truncation", (49,), -0.75)).endswith("received -0.75")


def test_shapes_are_checked_before_values(loaded):
    """The reported error does not depend on chance."""
    invalid = replace_value(GENERATOR, "labels", (0,), 9)
    for _ in range(5):
        found = loaded.reason("serving_default", invalid | {"latents": np.full((3, 5), np.nan, np.float32)})
        assert found == "latents: expected the shape batch, 6, received 3 5"


@pytest.mark.parametrize(("signature", "output"), [("serving_default", "images"), ("attention", "attention_map")])
def test_latents_with_nan_or_inf_or_overflow(loaded, signature, output):
    """Finite latents may have sums that are not."""
    for value in (np.nan, np.inf, -np.inf):
        found = loaded.reason(signature, replace_value(CALLS[signature], "latents", (2, 5), value))
        assert found.startswith("latents: ") and "NaN or Inf" in found
    large = CALLS[signature] | {"latents": np.full_like(CALLS[signature]["latents"], 3e38)}
    assert loaded.reason(signature, large).startswith(f"{output}: ")


def test_truncation_below_zero_or_nan(loaded):
    for value in (-0.001, -np.inf, np.nan):
        found = loaded.reason("generate", replace_value(GENERATE, "truncation", (1,), value))
        assert found.startswith("truncation: ") and found.endswith(f"received {value:g}")


def test_queries_outside_the_feature_map(loaded):
    """Positions do not overflow, and a column out of range does not lead to another row."""
    for query in ((16, 0), (0, 16), (-1, 0), (0, -1), (2**31 - 1, 2**31 - 1)):
        found = loaded.reason("attention", replace_value(CALLS["attention"], "queries", (1,), query))
        assert re.match(r"queries:? .*(0|16)", found), found


@every_signature
def test_limits_of_the_batch_size(loaded, signature):
    """For an empty batch, TensorFlow's convolutions return a wrong number of channels."""
    for rows in (0, MAX_BATCH_SIZE + 1):
        found = loaded.reason(signature, make_rows(CALLS[signature], rows))
        assert found.startswith("labels: ") and found.endswith(f"1 to {MAX_BATCH_SIZE} rows, received {rows}")
    assert len(loaded.exported.call(signature, **make_rows(CALLS[signature], MAX_BATCH_SIZE))) == MAX_BATCH_SIZE


every_input = pytest.mark.parametrize(
    ("signature", "name"), [(signature, name) for signature, arrays in CALLS.items() for name in arrays]
)


@every_input
def test_inputs_with_different_numbers_of_rows(loaded, signature, name):
    arrays = CALLS[signature]
    found = loaded.reason(signature, arrays | {name: arrays[name][:2]})
    subject, received = ("[a-z]+", "3 and 2") if name == "labels" else (name, "2 and 3")
    assert re.fullmatch(f"{subject}: .* rows as labels, received {received}", found)


@every_input
def test_inputs_with_a_wrong_rank(loaded, signature, name):
    """The rank is one too high, one too low, and 0."""
    arrays = CALLS[signature]
    for value in (arrays[name][..., np.newaxis], arrays[name][0], arrays[name].ravel()[0].reshape(())):
        for found in loaded.reasons(signature, arrays | {name: value}):
            assert re.match(rf"{'[a-z]+' if name == 'labels' else name}: expected ", found), (value.shape, found)


def test_rows_with_a_wrong_length(loaded):
    for name, size in (("latents", 0), ("latents", 5), ("latents", 7), ("queries", 1), ("queries", 3)):
        rows: np.ndarray = np.zeros((3, size), CALLS["attention"][name].dtype)
        found = loaded.reason("attention", CALLS["attention"] | {name: rows})
        assert found.startswith(f"{name}: ") and found.endswith(f"received 3 {size}")


def test_without_classes_the_only_label_is_zero(tmp_path):
    loaded = LoadedExport(save_generator(tmp_path, architecture="dcgan", conditioning="none"))
    arrays = inputs_for(loaded.exported.config)
    assert loaded.exported.call("serving_default", **arrays).shape == (3, 32, 32, 3)
    found = loaded.reason("serving_default", replace_value(arrays, "labels", (0,), 1))
    assert found.startswith("labels: ") and found.endswith("0 to 0, received 1")


def test_inputs_of_a_discriminator(tmp_path):
    loaded = LoadedExport(save_discriminator(tmp_path, architecture="dcgan"))
    arrays = {"images": images(), "labels": GENERATOR["labels"]}
    for invalid, name, received in (
        (replace_value(arrays, "images", (0, 3, 4, 0), np.nan), "images", "NaN or Inf"),
        (arrays | {"images": images()[:, :31]}, "images", "3 31 32 3"),
        (replace_value(arrays, "labels", (1,), 3), "labels", "3"),
        (make_rows(arrays, 0), "labels", "0"),
    ):
        found = loaded.reason("serving_default", invalid)
        assert found.startswith(f"{name}: ") and found.endswith(f"received {received}")


def test_shape_checks_use_tensors_without_static_shape():
    """Graph optimizers would replace a check by the static shape, but servers feed any shape."""
    specs = {"latents": tf.TensorSpec([None, 6]), "labels": tf.TensorSpec([None], tf.int32)}
    with tf.Graph().as_default() as graph:
        _assert_shapes({name: tf.compat.v1.placeholder(spec.dtype, spec.shape) for name, spec in specs.items()})
    checked = [operation.inputs[0] for operation in graph.get_operations() if operation.type == "Shape"]
    assert len(checked) >= 2 and all(tensor.shape.rank is None for tensor in checked)
