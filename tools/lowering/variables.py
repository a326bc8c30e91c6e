"""Variables of a run in a fixed order, and the files of their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.training.state import TrainState
from tools.run_lowered_training import read_arrays


def list_variables(state: TrainState) -> list[tf.Variable]:
    """Return the variables of a checkpoint, each once, in a fixed order."""
    parts = (
        state.generator,
        state.discriminator,
        state.generator_ema,
        state.generator_optimizer,
        state.discriminator_optimizer,
        state.logit_averages,
        state.augment_probability,
    )
    variables = [variable for part in parts if part is not None for variable in part.variables]
    variables += [state.step, state.data_position, state.rollbacks]
    tensorflow_variables = [variable if isinstance(variable, tf.Variable) else variable.value for variable in variables]
    return list({id(variable): variable for variable in tensorflow_variables}.values())


def write_variables(directory: Path, state: TrainState) -> None:
    """Write the variables of a state to the file of its step."""
    values = {f"{index:05d}": variable.numpy() for index, variable in enumerate(list_variables(state))}
    np.savez(directory / f"variables-{int(state.step.numpy()):08d}.npz", **values)


def read_variables(path: Path, state: TrainState) -> None:
    """Assign the values of a file to the variables of a state.

    Raises:
        UserError: The file is damaged, has variables of another configuration, or has values that are not finite.
    """
    variables = list_variables(state)
    try:
        values = [value for _, value in sorted(read_arrays(path).items())]
    except ValueError as error:
        raise UserError(str(error)) from error
    received = [(value.shape, value.dtype) for value in values]
    if received != [(tuple(variable.shape), variable.dtype.as_numpy_dtype) for variable in variables]:
        raise UserError(f"DIR: the variables in {path} do not match the configuration in {path.parent}")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    if not state.has_finite_values():
        raise UserError(f"DIR: {path} contains NaN or Inf; remove it to collect the other files")
