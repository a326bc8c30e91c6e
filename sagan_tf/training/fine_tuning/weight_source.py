"""The weights that a run starts with, read from a trained run or an export."""

from __future__ import annotations

import dataclasses

import numpy as np

from sagan_tf.config import ModelConfig
from sagan_tf.errors import UserError
from sagan_tf.keras_backend import keras

CHECKPOINT, EXPORT = "checkpoint", "export"
Values = dict[str, np.ndarray]
"""The variables of a network by path, such as `block_1/normalization_1/gain`."""


@dataclasses.dataclass(frozen=True)
class WeightSource:
    """The weights of a trained run or of an export.

    Attributes:
        kind: `CHECKPOINT` or `EXPORT`.
        path: The absolute path prefix of the checkpoint, or the absolute path of the export.
        step: The step of the weights.
        model: The options of the networks.
        num_classes: The number of classes; 0 for networks without classes.
        class_names: The names of the classes; empty if they are not known.
        networks: The variables of `generator`, `generator_ema` and `discriminator`. An export may have no
            discriminator.
        computed: The paths of variables that the source does not have, and that were computed from its weights, by
            network.
    """

    kind: str
    path: str
    step: int
    model: ModelConfig
    num_classes: int
    class_names: tuple[str, ...]
    networks: dict[str, Values]
    computed: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def read_values(network: keras.Model, init_from: str) -> Values:
    """Return the variables of a network by path.

    Raises:
        UserError: A variable has NaN or Inf.
    """
    values = {variable.path: variable.numpy() for variable in network.variables}
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise UserError(
                f"init_from: {name} of the {network.name} in {init_from} has values that are not finite (NaN or "
                "infinity); choose an earlier checkpoint"
            )
    return values
