"""Assignment of the weights of an exported graph to the variables of a network.

An export has the weights in the order in which its graph uses them, without their paths. Kernels are divided by sigma,
kernel taps are summed, and moving statistics are part of gains and biases. The same network is traced here with random
values, so that each constant of the trace has the value of one function of the variables: this gives the variable that
the weight of the same position belongs to.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from sagan_tf.generation.inference import constant_weights
from sagan_tf.keras_backend import iterate_layers, keras
from sagan_tf.layers import BatchNormalization, ResamplingConvolution, SpectralNormalization
from sagan_tf.layers.convolutions.kernel_recovery import recover_kernel
from sagan_tf.layers.normalization import combine_with_statistics

_SEED = 0
_MAX_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True)
class _Target:
    """A value that a graph may have as a constant, and the variable that it gives."""

    constant: np.ndarray
    variable: keras.Variable
    invert: Callable[[np.ndarray], np.ndarray]


def assign_folded_weights(network: keras.Model, weights: Sequence[np.ndarray]) -> list[str]:
    """Assign the weights of a graph in inference mode to a network.

    Kernels stay divided by sigma, and each vector `u` is one with which they are divided by 1. Moving statistics that
    are part of gains and biases become 0 and 1.

    Args:
        network: A network of the same options with the plain form of convolutions. All its variables are replaced.
        weights: The weights in the order in which the graph uses them.

    Returns:
        The paths of the variables that the graph does not have: `u`, and moving statistics of which it has only gains
        and biases that include them.

    Raises:
        ValueError: The weights are not those of such a network.
    """
    targets = _find_targets(network)
    values = [target.invert(value) for target, value in _pair(network, targets, weights)]
    layers = list(iterate_layers(network))
    for layer in layers:
        if isinstance(layer, BatchNormalization):
            layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, 1.0 - layer.epsilon))
    for target, value in zip(targets, values, strict=True):
        target.variable.assign(value)
    found = {target.variable.path for target in targets}
    computed = [layer.u for layer in layers if isinstance(layer, SpectralNormalization)]
    for layer in layers:
        if isinstance(layer, SpectralNormalization):
            layer.assign_unit_sigma()
        elif isinstance(layer, BatchNormalization) and layer.moving_mean.path not in found:
            computed += [layer.moving_mean, layer.moving_variance]
    paths = [variable.path for variable in computed]
    if missing := [variable.path for variable in network.variables if variable.path not in found.union(paths)]:
        raise ValueError(f"{missing[0]} is missing")
    return paths


def _find_targets(network: keras.Model) -> list[_Target]:
    """Return what the constants of the network's graph in inference mode are, in the order in which it uses them."""
    random = np.random.default_rng(_SEED)
    for variable in network.variables:
        values = random.normal(size=variable.shape)
        variable.assign(np.exp(values) if variable.name == "moving_variance" else values)
    known = list(_list_targets(network))
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in network.inputs]
    with constant_weights(network):
        function = tf.function(lambda *inputs: network(list(inputs), training=False), autograph=False)
        captures = [value.numpy() for value, _ in function.get_concrete_function(*specs).graph.captures]
    return [_find_target(capture, known) for capture in captures]


def _list_targets(network: keras.Model) -> Iterator[_Target]:
    """Yield all values that the graph may have as constants."""
    for variable in network.variables:
        yield _Target(variable.numpy(), variable, np.asarray)
    for layer in iterate_layers(network):
        if isinstance(layer, SpectralNormalization):
            yield _Target(layer.compute_divided_kernel().numpy(), layer.layer.weights[0], np.asarray)
        elif isinstance(layer, BatchNormalization):
            yield from _list_normalization_targets(layer)


def _list_normalization_targets(layer: BatchNormalization) -> Iterator[_Target]:
    """Yield gains and biases that include the moving statistics, and the moving variance plus epsilon."""
    mean, variance, gamma, beta = layer.read_inference_values()
    scale, offset = combine_with_statistics(mean, variance, gamma, beta)
    yield _Target(scale.numpy(), layer.gain, np.asarray)
    yield _Target(offset.numpy(), layer.bias, np.asarray)
    epsilon = np.float32(layer.epsilon)
    yield _Target(variance.numpy(), layer.moving_variance, lambda value: np.maximum(value - epsilon, 0.0))


def _find_target(capture: np.ndarray, known: Sequence[_Target]) -> _Target:
    """Find the target with the value of a constant.

    Compare lengths, because single elements may be small differences of large numbers, which round differently. The
    variance with and without epsilon are about as near to each other as rounding, so the nearest target is taken.
    """
    fitting = [target for target in known if target.constant.shape == capture.shape]
    errors = [np.linalg.norm(target.constant - capture) for target in fitting]
    if not errors or min(errors) > _MAX_ROUNDING * np.linalg.norm(capture):
        raise ValueError(f"a weight of the shape {capture.shape} is not a known function of the variables")
    return fitting[int(np.argmin(errors))]


def _pair(
    network: keras.Model, targets: Sequence[_Target], weights: Sequence[np.ndarray]
) -> Iterator[tuple[_Target, np.ndarray]]:
    """Yield each target with its weight, and kernels in place of sums of their taps."""
    resampling = {
        layer.kernel.path: layer.resampling
        for layer in iterate_layers(network)
        if isinstance(layer, ResamplingConvolution)
    }
    remaining = collections.deque(weights)
    for target in targets:
        if not remaining:
            raise ValueError("weights are missing")
        shape, path, value = tuple(target.variable.shape), target.variable.path, remaining.popleft()
        if value.shape == shape and shape[:2] == (3, 3) and remaining and remaining[0].shape[1:] == shape[2:]:
            remaining.popleft()  # a form of few multiplications, which has both the kernel and the sums
        recovered = value if value.shape == shape else recover_kernel(value, resampling.get(path, "none"))
        if recovered is None or recovered.shape != shape:
            raise ValueError(f"{path} has the shape {value.shape} in place of {shape}")
        yield target, recovered
    if remaining:
        raise ValueError("there are more weights than the network has")
