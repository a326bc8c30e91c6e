"""Transfer of the variables of one network to another by name and shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sagan_tf.config import ModelConfig
from sagan_tf.keras_backend import keras
from sagan_tf.training.fine_tuning.class_mapping import ClassMapping

_KERNEL_NAMES = ("kernel", "embeddings")
"""The names of the weights that a layer multiplies its inputs by; embeddings are the kernel of an embedding."""
ClassAxes = dict[str, int]
"""The axis of the classes of each class table, by the path of the variable."""


@dataclasses.dataclass(frozen=True)
class Transfer:
    """The origin of each variable of a network, by path.

    Attributes:
        copied: Variables with the values of the source.
        mapped: Class tables whose rows come from the source.
        initialized: Variables with new values: their shape, and the shape in the source or None if it has no such
            variable.
        unused: Variables of the source that the network does not have.
        num_kernels: Number of copied kernels; kernels that are class tables do not count.
        new_kernels: The kernels among `initialized`.
        new_tables: The class tables among `initialized`.
    """

    copied: tuple[str, ...]
    mapped: tuple[str, ...]
    initialized: dict[str, dict[str, Any]]
    unused: tuple[str, ...]
    num_kernels: int
    new_kernels: tuple[str, ...]
    new_tables: tuple[str, ...]


def find_class_axes(build: Callable[[ModelConfig], keras.Model], config: ModelConfig) -> ClassAxes:
    """Find the variables of a network that have an axis of classes.

    They are those whose shape depends on the number of classes.

    Args:
        build: `build_generator` or `build_discriminator`.
        config: The model.
    """
    with keras.StatelessScope(initialize_variables=False):  # only the shapes are needed
        fewer, more = (build(dataclasses.replace(config, num_classes=count)) for count in (2, 3))
    pairs = zip(fewer.variables, more.variables, strict=True)
    return {
        variable.path: axis
        for variable, other in pairs
        for axis, sizes in enumerate(zip(variable.shape, other.shape, strict=True))
        if sizes[0] != sizes[1]
    }


def transfer_variables(
    source: Mapping[str, np.ndarray],
    network: keras.Model,
    source_axes: ClassAxes,
    axes: ClassAxes,
    mapping: ClassMapping,
) -> Transfer:
    """Assign the variables of a source to those of a network with the same name and shape.

    Other variables than kernels describe the features of a kernel: its vector `u`, its bias, the statistics, gains and
    biases of a normalization, the gamma of attention. They are assigned only if the kernels of their layer are.

    Args:
        source: The variables of the source by path.
        network: The network; variables without a source keep their values.
        source_axes: The class tables of the source.
        axes: The class tables of the network.
        mapping: The rows of the source's class tables for the classes of the network.

    Returns:
        The origin of each variable.
    """
    fitted = _fit_variables(source, network, source_axes, axes, mapping)
    names = [variable.path for variable in network.variables]
    kernels = [variable.path for variable in network.variables if variable.name in _KERNEL_NAMES]
    copied: list[str] = []
    mapped: list[str] = []
    initialized: dict[str, dict[str, Any]] = {}
    for variable in network.variables:
        name = variable.path
        if name in fitted and fitted.keys() >= _find_kernels_of_layer(name, names, kernels):
            variable.assign(fitted[name])
            (mapped if name in axes or name in source_axes else copied).append(name)
        else:
            source_shape = list(source[name].shape) if name in source else None
            initialized[name] = {"shape": list(variable.shape), "source_shape": source_shape}
    return Transfer(
        copied=tuple(copied),
        mapped=tuple(mapped),
        initialized=initialized,
        unused=tuple(sorted(source.keys() - set(names))),
        num_kernels=len(set(copied).intersection(kernels)),
        new_kernels=tuple(name for name in kernels if name in initialized),
        new_tables=tuple(name for name in axes if name in initialized),
    )


def _fit_variables(
    source: Mapping[str, np.ndarray],
    network: keras.Model,
    source_axes: ClassAxes,
    axes: ClassAxes,
    mapping: ClassMapping,
) -> dict[str, np.ndarray]:
    """Return the values of the source that have the shapes of the network, with class tables mapped."""
    fitted = {}
    for variable in network.variables:
        name, shape = variable.path, tuple(variable.shape)
        if name not in source:
            continue
        value = source[name]
        if name in axes or name in source_axes:
            value = _map_table(value, source_axes.get(name), len(shape), axes.get(name), mapping)
        if value.shape == shape:
            fitted[name] = value
    return fitted


def _find_kernels_of_layer(name: str, names: Sequence[str], kernels: Sequence[str]) -> set[str]:
    """Find the kernels with which a variable was trained.

    They are those of the innermost layer around the variable that has kernels: for `block_1/convolution_1/u` the one
    of this convolution, for `block_1/normalization_1/gain` those of the block. For the last normalization of the
    generator, which is outside all blocks, they are the kernels of the last block.

    Args:
        name: The path of the variable.
        names: The paths of all variables, in the order in which the network calls its layers.
        kernels: The paths of all kernels of the network.
    """
    if name in kernels:
        return {name}
    layers = name.split("/")[:-1]
    for depth in range(len(layers), 0, -1):
        prefix = "/".join(layers[:depth]) + "/"
        if found := {kernel for kernel in kernels if kernel.startswith(prefix)}:
            return found
    before = [kernel for kernel in names[: names.index(name)] if kernel in kernels]
    return {kernel for kernel in kernels for last in before[-1:] if kernel.startswith(last.partition("/")[0] + "/")}


def _map_table(
    table: np.ndarray, source_axis: int | None, rank: int, axis: int | None, mapping: ClassMapping
) -> np.ndarray:
    """Return a class table for other classes.

    Args:
        table: The table of the source.
        source_axis: Its axis of classes. None for a source without classes, whose values have one row or no such axis.
        rank: The number of axes of the result.
        axis: The axis of classes of the result. None for a network without classes, whose values have one row or no
            such axis.
        mapping: The rows of the source.
    """
    if source_axis is None:
        source_axis = axis or 0
        table = np.expand_dims(table, source_axis) if table.ndim < rank else table
    result = mapping.apply(table, source_axis)
    return result.squeeze(source_axis) if axis is None and rank < result.ndim else result
