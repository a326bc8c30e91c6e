"""The weights of an export in the order in which its graph uses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.serving.contract import SERVING_DEFAULT


def read_exported_weights(saved_model: Any) -> list[np.ndarray]:
    """Read the weights of the signature `serving_default`.

    Equal weights are stored once, but read once for each use.

    Args:
        saved_model: A loaded SavedModel of `sagan_tf.export`.

    Returns:
        The weights in the order in which the exported network uses them.

    Raises:
        ValueError: The signature is not that of an export.
    """
    signature = getattr(saved_model, "signatures", {}).get(SERVING_DEFAULT)
    if signature is None:
        raise ValueError(f"the signature {SERVING_DEFAULT} is missing")
    graph = signature.graph.as_graph_def()
    calls = [node for node in graph.node if node.attr["f"].func.name]
    functions = {function.signature.name: function for function in graph.library.function}
    if len(calls) != 1 or calls[0].attr["f"].func.name not in functions:
        raise ValueError("the signature does not call a single function")
    function = functions[calls[0].attr["f"].func.name]
    # The last inputs of the outer graph are the captured variables. Its call passes them to the function by position.
    count = len(signature.captured_inputs)
    placeholders = [tensor.op.name for tensor in signature.inputs[len(signature.inputs) - count :]]
    handles = dict(zip(placeholders, signature.captured_inputs, strict=True))
    arguments = {
        argument.name: handles.get(name.partition(":")[0])
        for argument, name in zip(function.signature.input_arg, calls[0].input, strict=False)
    }
    reads = [node for node in function.node_def if node.op == "ReadVariableOp"]
    if not reads or any(arguments.get(node.input[0]) is None for node in reads):
        raise ValueError("the signature does not read the weights of a network")
    return [
        tf.raw_ops.ReadVariableOp(resource=arguments[node.input[0]], dtype=node.attr["dtype"].type).numpy()
        for node in reads
    ]
