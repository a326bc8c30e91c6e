"""Questions about graphs."""

from __future__ import annotations

import tensorflow as tf


def waits_for(operation: tf.Operation) -> set[str]:
    """Names of all operations that run before one: those that its inputs and control inputs lead to, and itself."""
    waiting, found = [operation], set()
    while waiting:
        one = waiting.pop()
        if one.name not in found:
            found.add(one.name)
            waiting += [tensor.op for tensor in one.inputs] + list(one.control_inputs)
    return found
