"""Checks in the graph of an exported model, which refuse invalid requests."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.serving.contract import MAX_BATCH_SIZE


def validate_inputs(tensors: dict[str, tf.Tensor], num_classes: int) -> dict[str, tf.Tensor]:
    """Return the inputs of a signature, with assertions that they are valid.

    Args:
        tensors: Inputs by name, each with the batch as its first axis: `labels` int32 [b], and any of `latents` and
            `images` (finite), `truncation` (at least 0) and further inputs, of which only the shape is checked.
        num_classes: Labels must be below this number. 0: A network without classes, whose only label is 0.
    """
    # Shapes first, because checks of values assume the right shape.
    with tf.control_dependencies(_assert_shapes(tensors)):
        tensors = {name: tf.identity(tensor) for name, tensor in tensors.items()}
    with tf.control_dependencies(_assert_values(tensors, max(num_classes - 1, 0))):
        return {name: tf.identity(tensor) for name, tensor in tensors.items()}


def validate_outputs(outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return the outputs of a signature, with assertions that they are finite.

    Inputs that are finite but far too large give outputs that are not.
    """
    checks = [
        tf.debugging.Assert(
            tf.reduce_all(tf.math.is_finite(tensor)),
            [f"{name}: the result has NaN or Inf, because the inputs are too large"],
        )
        for name, tensor in outputs.items()
    ]
    with tf.control_dependencies(checks):
        return {name: tf.identity(tensor) for name, tensor in outputs.items()}


def _assert_shapes(tensors: dict[str, tf.Tensor]) -> list[tf.Operation]:
    """Assert the shapes of the tensors that are fed.

    Servers feed tensors of any shape, whatever the signature specifies.
    """
    shapes = {name: tf.shape(_hide_static_shape(tensor)) for name, tensor in tensors.items()}
    rows = _count_rows(shapes["labels"])
    message = f"labels: expected 1 to {MAX_BATCH_SIZE} rows, received"
    checks = [tf.debugging.Assert((rows >= 1) & (rows <= MAX_BATCH_SIZE), [message, rows])]
    for name, shape in shapes.items():
        sizes = list(map(str, tensors[name].shape[1:]))
        received = tf.strings.reduce_join(
            tf.strings.as_string(tf.concat([[tf.size(shape)], shape[1:]], 0)), separator=","
        )
        is_expected = tf.equal(received, ",".join([str(len(sizes) + 1), *sizes]))
        message = f"{name}: expected the shape [{', '.join(['batch', *sizes])}], received"
        checks.append(tf.debugging.Assert(is_expected, [message, shape], summarize=8))
        message = f"{name}: expected as many rows as labels, received"
        checks.append(
            tf.debugging.Assert(tf.equal(_count_rows(shape), rows), [message, _count_rows(shape), "and", rows])
        )
    return checks


def _hide_static_shape(tensor: tf.Tensor) -> tf.Tensor:
    """Return the tensor without a static shape.

    Graph optimizers rely on the static shape, and would remove a check that it makes redundant.
    """
    return tf.compat.v1.placeholder_with_default(tensor, shape=None)


def _count_rows(shape: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(shape[:1])  # 1 for a scalar, which has no rows; the check of the shape rejects it


def _assert_values(tensors: dict[str, tf.Tensor], max_label: int) -> list[tf.Operation]:
    # Without this check, a gather on a GPU returns zeros for labels out of range, and the image belongs to no class.
    labels = tensors["labels"]
    message = f"labels: expected classes from 0 to {max_label}, received"
    checks = [_reject_invalid(labels, (labels < 0) | (labels > max_label), message)]
    for name in {"latents", "images"} & set(tensors):
        is_finite = tf.reduce_all(tf.math.is_finite(tensors[name]))
        checks.append(tf.debugging.Assert(is_finite, [f"{name}: expected finite numbers, received NaN or Inf"]))
    if "truncation" in tensors:
        values = tensors["truncation"]
        message = "truncation: expected at least 0 (8 or more: no truncation), received"
        # Not the negation of `values >= 0.0`: graph optimizers rewrite it as `values < 0.0`, which accepts NaN.
        checks.append(_reject_invalid(values, (values < 0.0) | tf.math.is_nan(values), message))
    return checks


def _reject_invalid(values: tf.Tensor, is_invalid: tf.Tensor, message: str) -> tf.Operation:
    """Assert that no value is invalid; the error shows the first invalid values."""
    return tf.debugging.Assert(~tf.reduce_any(is_invalid), [message, tf.boolean_mask(values, is_invalid)])
