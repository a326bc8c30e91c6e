"""Questions about graphs."""

from __future__ import annotations

import tensorflow as tf


def waits_for(operation: tf.Operation, *, data_only: bool = False) -> set[str]:
    """Names of all operations that run before one: those that its inputs and control inputs lead to, and itself.

    With `data_only`, those that it is computed from.
    """
    waiting, found = [operation], set()
    while waiting:
        one = waiting.pop()
        if one.name not in found:
            found.add(one.name)
            waiting += [tensor.op for tensor in one.inputs] + ([] if data_only else list(one.control_inputs))
    return found
