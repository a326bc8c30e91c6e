"""Conversion of a checkpoint of TF-GAN's example or the official code to the state of a run."""

from __future__ import annotations

import math
import re

import keras
import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.training.adam import Adam
from sagan_tf.training.state import TrainState
from tools.importing.configuration import CheckpointDescription
from tools.importing.spectral_vectors import compute_row_vector, estimate_sigma_from_columns
from tools.importing.tf1_checkpoint import AVERAGE_SUFFIX, Tf1Checkpoint
from tools.importing.tfgan_names import GENERATOR, find_kernel_path

_STEP = "global_step"
_FIRST_MOMENT, _SECOND_MOMENT = "/Adam", "/Adam_1"
_DISCRIMINATOR_NAME = re.compile(r"(^|/)d_(optimized_)?(block|ops/|non_local/|sn_linear/|embedding/)")
_MAX_LISTED_NAMES = 3


def fill_state(state: TrainState, checkpoint: Tf1Checkpoint, found: CheckpointDescription) -> list[str]:
    """Assign the values of a checkpoint to the variables of a run.

    A network that the checkpoint does not contain keeps its initial weights. The EMA generator receives the moving
    averages of the checkpoint, and the generator's values for variables without one.

    Args:
        state: The state of the run that `found` describes.
        checkpoint: The checkpoint.
        found: The description of the checkpoint.

    Returns:
        Lines of text about the imported parts.

    Raises:
        UserError: A variable is missing, or has a wrong shape.
    """
    networks = {network: getattr(state, network) for network in found.scopes}
    for network, model in networks.items():
        _check_variables(model, network, checkpoint, found)
    lines = []
    for network, model in networks.items():
        _assign_values(model, _read_values(model, network, checkpoint, found))
        lines.append(f"{network}: {len(model.variables)} variables")
    averages = _read_values(state.generator_ema, GENERATOR, checkpoint, found, averaged=True)
    _assign_values(state.generator_ema, averages)
    lines.append(f"EMA generator: {'from its moving averages' if found.has_averages else 'a copy of the generator'}")
    step = _read_step(checkpoint)
    state.step.assign(step or 0)
    lines.append(f"step: {0 if step is None else step}" + (f", since there is no {_STEP}" if step is None else ""))
    for network, model in networks.items():
        optimizer = getattr(state, f"{network}_optimizer")
        lines.append(f"{network}'s Adam: " + _fill_optimizer(optimizer, model, network, step or 0, checkpoint, found))
    return lines


def list_unused_variables(checkpoint: Tf1Checkpoint, found: CheckpointDescription, adam_beta1: float) -> list[str]:
    """List the variables of a checkpoint that have not been read, by kind.

    Args:
        checkpoint: The checkpoint.
        found: The description of the checkpoint.
        adam_beta1: `adam_beta1` of the run.
    """
    kinds = {
        "beta1_power": "powers of Adam's decays, which follow from the step",
        "beta2_power": "powers of Adam's decays, which follow from the step",
        _FIRST_MOMENT: "first moments of Adam" + ("" if adam_beta1 else ", which with adam_beta1 0 are the gradients"),
        _SECOND_MOMENT: "second moments of Adam",
        AVERAGE_SUFFIX: "moving averages of variables that are not averaged here",
        "/d_step": "counters of updates",
        "/g_step": "counters of updates",
    }
    names: dict[str, list[str]] = {}
    for name in checkpoint.list_unused():
        kind = next(
            (kind for ending, kind in kinds.items() if f"/{_remove_optimizer_number(name)}".endswith(ending)), None
        )
        if len(found.scopes) == 1 and _DISCRIMINATOR_NAME.search(name):
            kind = "variables of the discriminator"
        names.setdefault(kind or f"variables called {name.rpartition('/')[2]}", []).append(name)
    return [f"{len(members)} {kind} ({members[0]}{', ...' if members[1:] else ''})" for kind, members in names.items()]


def _remove_optimizer_number(name: str) -> str:
    """Return `beta1_power` for `beta1_power_1`, the name in the second optimizer."""
    return re.sub(r"_power_\d+$", "_power", name)


def _check_variables(model: keras.Model, network: str, checkpoint: Tf1Checkpoint, found: CheckpointDescription) -> None:
    """Raise UserError if a variable of a network is missing or has a wrong shape."""
    missing, wrong = [], []
    for variable in model.variables:
        name = found.translate(network, variable.path)
        shape = checkpoint.shapes.get(name)
        expected = _find_expected_shape(model, variable, found)
        if shape is None:
            missing.append(name)
        elif _remove_ones(shape) != _remove_ones(expected):
            wrong.append(f"{list(shape)} for {name} (expected {list(expected)})")
    if missing:
        raise UserError(
            f"checkpoint: {checkpoint.prefix} has not all variables of {found.naming.title}'s {network}, missing: "
            f"{_list_some(missing)}; {_suggest_cause(missing)}"
        )
    if wrong:
        raise UserError(
            f"checkpoint: expected consistent shapes in {found.naming.title}'s {network}, received "
            f"{_list_some(wrong)}; a modified network cannot be imported"
        )


def _suggest_cause(missing: list[str]) -> str:
    statistics = ("mean", "var", "moving_mean", "moving_variance")
    if all(name.rpartition("/")[2] in statistics for name in missing):
        return "a version of the code without moving statistics cannot be imported"
    return "the checkpoint may be of an older version of the code, or of a modified network"


def _read_values(
    model: keras.Model, network: str, checkpoint: Tf1Checkpoint, found: CheckpointDescription, averaged: bool = False
) -> dict[str, np.ndarray]:
    """Read the value of each variable of a network, by the variable's path."""
    values: dict[str, np.ndarray] = {}
    for variable in model.variables:
        name = found.translate(network, variable.path)
        average = f"{name}{AVERAGE_SUFFIX}"
        values[variable.path] = checkpoint.read(average if averaged and average in checkpoint.shapes else name)
    if found.naming.has_column_u:
        for path in [path for path in values if path.endswith("/u")]:
            kernel = find_kernel_path(path)
            matrix: np.ndarray = _reshape_to_matrix(kernel, values[kernel]).astype(np.float64)
            values[path] = compute_row_vector(
                matrix, estimate_sigma_from_columns(matrix, values[path].astype(np.float64))
            )
    return values


def _assign_values(model: keras.Model, values: dict[str, np.ndarray]) -> None:
    for variable in model.variables:
        variable.assign(values[variable.path].reshape(variable.shape))


def _fill_optimizer(
    optimizer: keras.optimizers.Optimizer,
    model: keras.Model,
    network: str,
    step: int,
    checkpoint: Tf1Checkpoint,
    found: CheckpointDescription,
) -> str:
    """Assign Adam's moments if the checkpoint has all of them; describe the result."""
    adam: Adam = getattr(optimizer, "inner_optimizer", optimizer)  # A loss scaling optimizer wraps Adam.
    names = [found.translate(network, variable.path) for variable in model.trainable_variables]
    endings = (_FIRST_MOMENT, _SECOND_MOMENT) if adam.beta_1 else (_SECOND_MOMENT,)
    present = [name + ending for name in names for ending in endings if name + ending in checkpoint.shapes]
    if len(present) < len(names) * len(endings):
        return f"reset, since the checkpoint has only {len(present)} of {len(names) * len(endings)} moments"
    if adam.beta_1:
        slots = {_FIRST_MOMENT: (adam._momentums, 1.0), _SECOND_MOMENT: (adam._velocities, 1.0)}
    else:  # Adam keeps a sum of squares; the second moment is this sum times 1 - beta_2.
        slots = {_SECOND_MOMENT: (adam._sums_of_squares, 1.0 - adam.beta_2)}
    for ending, (variables, factor) in slots.items():
        for name, variable in zip(names, variables, strict=True):
            variable.assign((checkpoint.read(name + ending) / factor).reshape(variable.shape))
    adam.iterations.assign(step)
    return f"{len(present)} moments"


def _read_step(checkpoint: Tf1Checkpoint) -> int | None:
    if _STEP not in checkpoint.shapes:
        return None
    value = checkpoint.read(_STEP)
    if value.size != 1 or not 0 <= int(value.reshape(())) < 2**31:
        raise UserError(f"checkpoint: expected {_STEP} to be an integer of 0 or more, received {value.tolist()}")
    return int(value.reshape(()))


def _find_expected_shape(model: keras.Model, variable: keras.Variable, found: CheckpointDescription) -> tuple[int, ...]:
    """Return the shape of a variable in the checkpoint, up to dimensions of 1."""
    if not (variable.path.endswith("/u") and found.naming.has_column_u):
        return tuple(variable.shape)
    kernel = find_kernel_path(variable.path)
    (shape,) = (tuple(candidate.shape) for candidate in model.variables if candidate.path == kernel)
    return (shape[0] if kernel.endswith("embeddings") else shape[-1],)


def _reshape_to_matrix(path: str, kernel: np.ndarray) -> np.ndarray:
    """Reshape a kernel to [rows, output channels], as spectral normalization does.

    An embedding table is transposed.
    """
    return kernel.T if path.endswith("embeddings") else kernel.reshape(math.prod(kernel.shape[:-1]), kernel.shape[-1])


def _remove_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _list_some(texts: list[str]) -> str:
    more = len(texts) - _MAX_LISTED_NAMES
    return ", ".join(texts[:_MAX_LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")
