"""Fills a run's state from a checkpoint of TF-GAN's example or the official code."""

from __future__ import annotations

import math
import re

import keras
import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.training.adam import Adam
from sagan_tf.training.state import TrainState
from tools.importing.configuration import Found
from tools.importing.spectral_vectors import sigma_from_columns, u_of_rows
from tools.importing.tf1_checkpoint import AVERAGE, Tf1Checkpoint
from tools.importing.tfgan_names import GENERATOR, kernel_of

_STEP = "global_step"
_FIRST_MOMENT, _SECOND_MOMENT = "/Adam", "/Adam_1"
_DISCRIMINATOR = re.compile(r"(^|/)d_(optimized_)?(block|ops/|non_local/|sn_linear/|embedding/)")
_SHOWN = 3


def fill_state(state: TrainState, checkpoint: Tf1Checkpoint, found: Found) -> list[str]:
    """Give every variable of a run the value that the checkpoint has for it.

    Networks that the checkpoint does not hold keep their first weights. The averaged generator takes the moving
    averages that there are, and for the rest what the generator has.

    Args:
        state: of the run that `found` describes.
        checkpoint: what to read.
        found: what it is.

    Returns:
        What was made of the checkpoint, one line each.

    Raises:
        UserError: a variable is missing, or has a shape that does not fit.
    """
    networks = {network: getattr(state, network) for network in found.scopes}
    for network, model in networks.items():
        _check(model, network, checkpoint, found)
    lines = []
    for network, model in networks.items():
        _fill(model, _values(model, network, checkpoint, found))
        lines.append(f"{network}: {len(model.variables)} variables")
    averages = _values(state.generator_ema, GENERATOR, checkpoint, found, averaged=True)
    _fill(state.generator_ema, averages)
    lines.append(f"averaged generator: {'from its moving averages' if found.averaged else 'a copy of the generator'}")
    step = _read_step(checkpoint)
    state.step.assign(step or 0)
    lines.append(f"step: {0 if step is None else step}" + (f", since there is no {_STEP}" if step is None else ""))
    for network, model in networks.items():
        optimizer = getattr(state, f"{network}_optimizer")
        lines.append(f"{network}'s Adam: " + _fill_optimizer(optimizer, model, network, step or 0, checkpoint, found))
    return lines


def left_out(checkpoint: Tf1Checkpoint, found: Found, adam_beta1: float) -> list[str]:
    """Return what of a checkpoint nothing has read, one line a kind."""
    kinds = {
        "beta1_power": "powers of Adam's decays, which follow from the step",
        "beta2_power": "powers of Adam's decays, which follow from the step",
        _FIRST_MOMENT: "first moments of Adam" + ("" if adam_beta1 else ", which with adam_beta1 0 are the gradients"),
        _SECOND_MOMENT: "second moments of Adam",
        AVERAGE: "moving averages of what is not averaged here",
        "/d_step": "counters of updates",
        "/g_step": "counters of updates",
    }
    names: dict[str, list[str]] = {}
    for name in checkpoint.unused():
        kind = next((kind for ending, kind in kinds.items() if f"/{_numberless(name)}".endswith(ending)), None)
        if len(found.scopes) == 1 and _DISCRIMINATOR.search(name):
            kind = "variables of the discriminator"
        names.setdefault(kind or f"variables called {name.rpartition('/')[2]}", []).append(name)
    return [f"{len(members)} {kind} ({members[0]}{', ...' if members[1:] else ''})" for kind, members in names.items()]


def _numberless(name: str) -> str:
    """beta1_power_1 is the second optimizer's beta1_power."""
    return re.sub(r"_power_\d+$", "_power", name)


def _check(model: keras.Model, network: str, checkpoint: Tf1Checkpoint, found: Found) -> None:
    """Raise UserError unless the checkpoint has all of a network's variables, in shapes that fit."""
    missing, wrong = [], []
    for variable in model.variables:
        name = found.name(network, variable.path)
        shape = checkpoint.shapes.get(name)
        expected = _expected_shape(model, variable, found)
        if shape is None:
            missing.append(name)
        elif _without_ones(shape) != _without_ones(expected):
            wrong.append(f"{list(shape)} for {name} (expected {list(expected)})")
    if missing:
        raise UserError(
            f"checkpoint: expected every variable of {found.naming.title}'s {network}, received none called "
            f"{_some(missing)} in {checkpoint.prefix}; {_hint(missing)}"
        )
    if wrong:
        raise UserError(
            f"checkpoint: expected shapes that fit one another in {found.naming.title}'s {network}, received "
            f"{_some(wrong)}; a network that was changed cannot be imported"
        )


def _hint(missing: list[str]) -> str:
    statistics = ("mean", "var", "moving_mean", "moving_variance")
    if all(name.rpartition("/")[2] in statistics for name in missing):
        return "a version of the code without moving statistics cannot be imported"
    return "it may be an older version of the code, or of a network that was changed"


def _values(
    model: keras.Model, network: str, checkpoint: Tf1Checkpoint, found: Found, averaged: bool = False
) -> dict[str, np.ndarray]:
    """Return the value of each of a network's variables, by our path, in our shapes."""
    values: dict[str, np.ndarray] = {}
    for variable in model.variables:
        name = found.name(network, variable.path)
        average = f"{name}{AVERAGE}"
        values[variable.path] = checkpoint.read(average if averaged and average in checkpoint.shapes else name)
    if found.naming.u_of_columns:
        for path in [path for path in values if path.endswith("/u")]:
            kernel = kernel_of(path)
            matrix: np.ndarray = _as_matrix(kernel, values[kernel]).astype(np.float64)
            values[path] = u_of_rows(matrix, sigma_from_columns(matrix, values[path].astype(np.float64)))
    return values


def _fill(model: keras.Model, values: dict[str, np.ndarray]) -> None:
    for variable in model.variables:
        variable.assign(values[variable.path].reshape(variable.shape))


def _fill_optimizer(
    optimizer: keras.optimizers.Optimizer,
    model: keras.Model,
    network: str,
    step: int,
    checkpoint: Tf1Checkpoint,
    found: Found,
) -> str:
    """Fill Adam's moments if the checkpoint has them all; say what was done."""
    adam: Adam = getattr(optimizer, "inner_optimizer", optimizer)  # loss scaling has one inside
    names = [found.name(network, variable.path) for variable in model.trainable_variables]
    endings = (_FIRST_MOMENT, _SECOND_MOMENT) if adam.beta_1 else (_SECOND_MOMENT,)
    present = [name + ending for name in names for ending in endings if name + ending in checkpoint.shapes]
    if len(present) < len(names) * len(endings):
        return f"begins anew, since the checkpoint has {len(present)} of {len(names) * len(endings)} moments"
    if adam.beta_1:
        slots = {_FIRST_MOMENT: (adam._momentums, 1.0), _SECOND_MOMENT: (adam._velocities, 1.0)}
    else:  # Adam keeps a sum of squares, and the second moment is 1 - beta_2 of it
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
        raise UserError(f"checkpoint: expected {_STEP} to be one number from 0, received {value.tolist()}")
    return int(value.reshape(()))


def _expected_shape(model: keras.Model, variable: keras.Variable, found: Found) -> tuple[int, ...]:
    """Return the shape that the checkpoint should have for our variable, give or take dimensions of 1."""
    if not (variable.path.endswith("/u") and found.naming.u_of_columns):
        return tuple(variable.shape)
    kernel = kernel_of(variable.path)
    (shape,) = (tuple(one.shape) for one in model.variables if one.path == kernel)
    return (shape[0] if kernel.endswith("embeddings") else shape[-1],)


def _as_matrix(path: str, kernel: np.ndarray) -> np.ndarray:
    """[rows, output channels], as spectral normalisation reads it: an embedding table is transposed."""
    return kernel.T if path.endswith("embeddings") else kernel.reshape(math.prod(kernel.shape[:-1]), kernel.shape[-1])


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _some(texts: list[str]) -> str:
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
