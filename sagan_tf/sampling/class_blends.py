"""Between classes: a generator whose labels stand for mixtures of a run's classes."""

from __future__ import annotations

import dataclasses

import numpy as np

from sagan_tf.config import Config
from sagan_tf.generation.generators import Generator, as_generator
from sagan_tf.keras_backend import keras
from sagan_tf.layers import ConditionalBatchNormalization
from sagan_tf.networks import build_generator


def blended_generator(network: keras.Model, config: Config, weights: np.ndarray) -> Generator:
    """Create a generator whose label i has weighted means of the gains and biases of a generator's classes.

    A class is nothing else to the generator than its rows in the tables of conditional batch normalisation.

    Args:
        network: of `build_generator`, with classes.
        config: of its run.
        weights: float32 [labels, num_classes], how much of each class is in each new label; rows sum to 1.

    Returns:
        A generator of [labels] classes without names.
    """
    model = dataclasses.replace(config.model, num_classes=len(weights))
    blended = build_generator(model)
    tables = set()
    for old, new in zip(network._flatten_layers(), blended._flatten_layers(), strict=True):
        if isinstance(old, ConditionalBatchNormalization):
            for table, mixture in ((old.gain, new.gain), (old.bias, new.bias)):
                mixture.assign(weights @ np.asarray(table))
                tables.add(id(mixture))
    for source, target in zip(network.variables, blended.variables, strict=True):
        if id(target) not in tables:
            target.assign(source)
    return as_generator(blended, dataclasses.replace(config, model=model), (), "a mixture of classes")
