"""Wrong requests to an export that was read back get a reason, in TensorFlow's Python and in the session of servers."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.exporting.input_checks import _shape_checks
from sagan_tf.serving.contract import LARGEST_BATCH
from tests.exporting.small_export import Exported, export_config, inputs_for, save_discriminator, save_generator
from tests.networks.small_networks import images
from tests.serving.cc_session import CcSession, RunError

Arrays = dict[str, np.ndarray]
GENERATOR = inputs_for(export_config())
GENERATE = {"seeds": np.array([5, 6, 7]), "labels": GENERATOR["labels"], "truncation": np.ones(3, np.float32)}
QUERIES = np.array([[0, 0], [15, 15], [3, 2]], np.int32)


class Refusing:
    """An export in Python and in a session of C++; both have to refuse."""

    def __init__(self, exported: Exported) -> None:
        self.exported, self.session = exported, CcSession(exported.path)

    def reasons(self, signature: str, inputs: Arrays) -> tuple[str, str]:
        """What each says; of an input that is wrong in several ways, either."""
        in_python = reason_in(self.exported.refusal(signature, **inputs))
        with pytest.raises(RunError) as caught:
            self.session.run(signature, inputs)
        assert caught.value.code == 3  # INVALID_ARGUMENT
        return in_python, reason_in(str(caught.value))

    def reason(self, signature: str, inputs: Arrays) -> str:
        """What both say."""
        in_python, in_session = self.reasons(signature, inputs)
        assert in_python == in_session
        return in_python


def reason_in(message: str) -> str:
    """`labels: expected ..., received ...` of TensorFlow's message."""
    found = re.search(r"assertion failed: (.*)", message)
    return re.sub(r"[\[\]]", "", found[1]).strip() if found else message


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Refusing:
    return Refusing(save_generator(tmp_path_factory.mktemp("exports")))


def changed(arrays: Arrays, name: str, place: tuple[int, ...], value: Any) -> Arrays:
    copy = arrays[name].copy()
    copy[place] = value
    return arrays | {name: copy}


def of_rows(arrays: Arrays, rows: int) -> Arrays:
    return {name: np.zeros([rows, *array.shape[1:]], array.dtype) for name, array in arrays.items()}


CALLS = {
    "serving_default": GENERATOR,
    "generate": GENERATE,
    "attention": GENERATOR | {"queries": QUERIES},
}
every_signature = pytest.mark.parametrize("signature", CALLS)


@every_signature
@pytest.mark.parametrize("label", [-1, 3, 2**31 - 1, -(2**31)])
def test_labels_that_are_no_class(refusing: Refusing, signature: str, label: int) -> None:
    found = refusing.reason(signature, changed(CALLS[signature], "labels", (1,), label))
    assert found == f"labels: expected classes from 0 to 2, received {label}"


def test_what_is_wrong_is_said_wherever_it_stands(refusing: Refusing) -> None:
    """TensorFlow's assertions show three numbers and no more, unless they are told."""
    many = of_rows(GENERATE, 50)
    assert refusing.reason("generate", changed(many, "labels", (40,), 77)).endswith("received 77")
    assert refusing.reason("generate", changed(many, "truncation", (49,), -0.75)).endswith("received -0.75")


def test_shapes_are_checked_before_values(refusing: Refusing) -> None:
    """Which of two mistakes is named is no matter of chance."""
    wrong = changed(GENERATOR, "labels", (0,), 9)
    for _ in range(5):
        found = refusing.reason("serving_default", wrong | {"latents": np.full((3, 5), np.nan, np.float32)})
        assert found == "latents: expected the shape batch, 6, received 3 5"


@pytest.mark.parametrize("signature", ["serving_default", "attention"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_latents_that_are_no_numbers(refusing: Refusing, signature: str, value: float) -> None:
    found = refusing.reason(signature, changed(CALLS[signature], "latents", (2, 5), value))
    assert found == "latents: expected finite numbers, received others"


@pytest.mark.parametrize(("signature", "output"), [("serving_default", "images"), ("attention", "attention_map")])
def test_latents_of_which_no_picture_can_be_made(refusing: Refusing, signature: str, output: str) -> None:
    """Finite, but sums of them are not."""
    large = CALLS[signature] | {"latents": np.full_like(CALLS[signature]["latents"], 3e38)}
    found = refusing.reason(signature, large)
    assert found == f"{output}: expected inputs of which finite numbers can be made, received others"


@pytest.mark.parametrize("value", [-0.001, -np.inf, np.nan])
def test_truncation_below_zero(refusing: Refusing, value: float) -> None:
    found = refusing.reason("generate", changed(GENERATE, "truncation", (1,), value))
    assert found == f"truncation: expected 0 or more (8 and more is none), received {value:g}"


@pytest.mark.parametrize("place", [(16, 0), (0, 16), (-1, 0), (0, -1), (2**31 - 1, 2**31 - 1)])
def test_queries_outside_the_feature_map(refusing: Refusing, place: tuple[int, int]) -> None:
    """No overflow, and no row that a wrong column would lead to."""
    found = refusing.reason("attention", changed(CALLS["attention"], "queries", (1,), place))
    assert re.match(r"queries:? .*(0|16)", found), found


@every_signature
def test_as_many_rows_as_are_allowed_and_one_more(refusing: Refusing, signature: str) -> None:
    found = refusing.reason(signature, of_rows(CALLS[signature], LARGEST_BATCH + 1))
    assert found == f"labels: expected 1 to {LARGEST_BATCH} rows, received {LARGEST_BATCH + 1}"
    assert len(refusing.exported.call(signature, **of_rows(CALLS[signature], LARGEST_BATCH))) == LARGEST_BATCH


@every_signature
def test_no_rows_at_all(refusing: Refusing, signature: str) -> None:
    """TensorFlow's convolutions give no pictures the wrong number of channels: an error, since no answer is right."""
    found = refusing.reason(signature, of_rows(CALLS[signature], 0))
    assert found == f"labels: expected 1 to {LARGEST_BATCH} rows, received 0"


@pytest.mark.parametrize(
    ("signature", "name"), [(signature, name) for signature, arrays in CALLS.items() for name in arrays]
)
def test_inputs_of_other_numbers_of_rows(refusing: Refusing, signature: str, name: str) -> None:
    arrays = CALLS[signature]
    found = refusing.reason(signature, arrays | {name: arrays[name][:2]})
    wrong = next(other for other in arrays if other != "labels") if name == "labels" else name
    wanted = "received 3 and 2" if name == "labels" else "received 2 and 3"
    assert re.fullmatch(rf"{wrong if name != 'labels' else '[a-z]+'}: expected as many rows as labels, {wanted}", found)


@pytest.mark.parametrize(
    ("signature", "name"), [(signature, name) for signature, arrays in CALLS.items() for name in arrays]
)
def test_inputs_of_another_rank(refusing: Refusing, signature: str, name: str) -> None:
    """Above and below the one expected, down to a single number."""
    arrays = CALLS[signature]
    for other in (arrays[name][..., np.newaxis], arrays[name][0], arrays[name].ravel()[0].reshape(())):
        for found in refusing.reasons(signature, arrays | {name: other}):
            assert re.match(rf"{'[a-z]+' if name == 'labels' else name}: expected ", found), (other.shape, found)


def test_rows_of_another_length(refusing: Refusing) -> None:
    for size in (0, 5, 7):
        found = refusing.reason("serving_default", GENERATOR | {"latents": np.zeros((3, size), np.float32)})
        assert found == f"latents: expected the shape batch, 6, received 3 {size}"
    for size in (1, 3):
        found = refusing.reason("attention", CALLS["attention"] | {"queries": np.zeros((3, size), np.int32)})
        assert found == f"queries: expected the shape batch, 2, received 3 {size}"


def test_without_classes_the_only_label_is_zero(tmp_path: pathlib.Path) -> None:
    refusing = Refusing(save_generator(tmp_path, conditioning="none", attention_resolutions=()))
    arrays = inputs_for(refusing.exported.config)
    assert refusing.exported.call("serving_default", **arrays).shape == (3, 32, 32, 3)
    found = refusing.reason("serving_default", changed(arrays, "labels", (0,), 1))
    assert found == "labels: expected classes from 0 to 0, received 1"


def test_pictures_for_a_discriminator(tmp_path: pathlib.Path) -> None:
    refusing = Refusing(save_discriminator(tmp_path))
    arrays = {"images": images(), "labels": GENERATOR["labels"]}
    assert refusing.reason("serving_default", changed(arrays, "images", (0, 3, 4, 0), np.nan)) == (
        "images: expected finite numbers, received others"
    )
    assert refusing.reason("serving_default", arrays | {"images": images()[:, :31]}) == (
        "images: expected the shape batch, 32, 32, 3, received 3 31 32 3"
    )
    assert refusing.reason("serving_default", changed(arrays, "labels", (1,), 3)).startswith("labels: expected classes")
    assert refusing.reason("serving_default", of_rows(arrays, 0)).startswith("labels: expected ")


def test_shapes_are_asked_of_tensors_that_promise_none() -> None:
    """Optimisers answer from a promised shape what servers, which feed what was sent, would have to find out."""
    specs = {"latents": tf.TensorSpec([None, 6]), "labels": tf.TensorSpec([None], tf.int32)}
    with tf.Graph().as_default() as graph:
        _shape_checks({name: tf.compat.v1.placeholder(spec.dtype, spec.shape) for name, spec in specs.items()})
    asked = [operation.inputs[0] for operation in graph.get_operations() if operation.type == "Shape"]
    assert len(asked) >= 2 and all(tensor.shape.rank is None for tensor in asked)
