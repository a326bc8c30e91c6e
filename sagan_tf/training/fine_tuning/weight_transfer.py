"""Transfer of the variables of one network to another by name and shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sagan_tf.config import ModelConfig
from sagan_tf.keras_backend import keras
from sagan_tf.training.fine_tuning.class_mapping import ClassMapping

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
        num_kernels: Number of copied kernels.
    """

    copied: tuple[str, ...]
    mapped: tuple[str, ...]
    initialized: dict[str, dict[str, Any]]
    unused: tuple[str, ...]
    num_kernels: int


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

    Args:
        source: The variables of the source by path.
        network: The network; variables without a source keep their values.
        source_axes: The class tables of the source.
        axes: The class tables of the network.
        mapping: The rows of the source's class tables for the classes of the network.

    Returns:
        The origin of each variable.
    """
    copied: list[str] = []
    mapped: list[str] = []
    initialized: dict[str, dict[str, Any]] = {}
    num_kernels = 0
    for variable in network.variables:
        name, shape, value = variable.path, tuple(variable.shape), source.get(variable.path)
        is_table = name in axes or name in source_axes
        fitted = value
        if value is not None and is_table:
            fitted = _map_table(value, source_axes.get(name), len(shape), axes.get(name), mapping)
        if fitted is None or fitted.shape != shape:
            source_shape = None if value is None else list(value.shape)
            initialized[name] = {"shape": list(shape), "source_shape": source_shape}
            continue
        variable.assign(fitted)
        (mapped if is_table else copied).append(name)
        num_kernels += variable.name == "kernel" and not is_table
    unused = sorted(source.keys() - {variable.path for variable in network.variables})
    return Transfer(tuple(copied), tuple(mapped), initialized, tuple(unused), num_kernels)


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
