"""What an exported model refuses, checked in its graph: a wrong request is an error with a reason, never a picture."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.serving.contract import LARGEST_BATCH


def checked(tensors: dict[str, tf.Tensor], num_classes: int) -> dict[str, tf.Tensor]:
    """Return the inputs of a signature, after they have been found right.

    Args:
        tensors: `labels` int32 [b], and any of `latents` and `images` (finite), `truncation` (at least 0) and others,
            all with the batch first.
        num_classes: labels lie below; 0 for a network without classes, whose label is 0.
    """
    # Shapes first: what is said of values would make no sense of others.
    with tf.control_dependencies(_shape_checks(tensors)):
        tensors = {name: tf.identity(tensor) for name, tensor in tensors.items()}
    with tf.control_dependencies(_value_checks(tensors, max(num_classes - 1, 0))):
        return {name: tf.identity(tensor) for name, tensor in tensors.items()}


def finite(outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return the outputs of a signature, if they are numbers: of inputs that are far too large they are not."""
    checks = [
        tf.debugging.Assert(
            tf.reduce_all(tf.math.is_finite(tensor)),
            [f"{name}: expected inputs of which finite numbers can be made, received others"],
        )
        for name, tensor in outputs.items()
    ]
    with tf.control_dependencies(checks):
        return {name: tf.identity(tensor) for name, tensor in outputs.items()}


def _shape_checks(tensors: dict[str, tf.Tensor]) -> list[tf.Operation]:
    """Of the tensors as they come: servers feed what was sent, whatever shape was promised."""
    shapes = {name: tf.shape(_unpromised(tensor)) for name, tensor in tensors.items()}
    rows = _rows(shapes["labels"])
    message = f"labels: expected 1 to {LARGEST_BATCH} rows, received"
    checks = [tf.debugging.Assert((rows >= 1) & (rows <= LARGEST_BATCH), [message, rows])]
    for name, shape in shapes.items():
        sizes = list(map(str, tensors[name].shape[1:]))
        found = tf.strings.reduce_join(tf.strings.as_string(tf.concat([[tf.size(shape)], shape[1:]], 0)), separator=",")
        as_promised = tf.equal(found, ",".join([str(len(sizes) + 1), *sizes]))
        message = f"{name}: expected the shape [{', '.join(['batch', *sizes])}], received"
        checks.append(tf.debugging.Assert(as_promised, [message, shape], summarize=8))
        message = f"{name}: expected as many rows as labels, received"
        checks.append(tf.debugging.Assert(tf.equal(_rows(shape), rows), [message, _rows(shape), "and", rows]))
    return checks


def _unpromised(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor, of unknown shape also to optimisers, which may take for true what the promised shape fulfils."""
    return tf.compat.v1.placeholder_with_default(tensor, shape=None)


def _rows(shape: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(shape[:1])  # of a single number, which has no rows, 1: another check refuses it


def _value_checks(tensors: dict[str, tf.Tensor], last_label: int) -> list[tf.Operation]:
    # A gather on a GPU gives zeros for labels out of range, and a picture of no class.
    labels = tensors["labels"]
    message = f"labels: expected classes from 0 to {last_label}, received"
    checks = [_none(labels, (labels < 0) | (labels > last_label), message)]
    for name in {"latents", "images"} & set(tensors):
        finite = tf.reduce_all(tf.math.is_finite(tensors[name]))
        checks.append(tf.debugging.Assert(finite, [f"{name}: expected finite numbers, received others"]))
    if "truncation" in tensors:
        values = tensors["truncation"]
        message = "truncation: expected 0 or more (8 and more is none), received"
        # Not the negation of `values >= 0.0`: optimisers make `values < 0.0` of it, which lets NaN through.
        checks.append(_none(values, (values < 0.0) | tf.math.is_nan(values), message))
    return checks


def _none(values: tf.Tensor, wrong: tf.Tensor, message: str) -> tf.Operation:
    """Refuse wrong values, and show the first of them."""
    return tf.debugging.Assert(~tf.reduce_any(wrong), [message, tf.boolean_mask(values, wrong)])
