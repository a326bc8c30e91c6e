"""Generators whose labels are mixtures of the classes of a run."""

from __future__ import annotations

import dataclasses

import numpy as np

from sagan_tf.config import Config
from sagan_tf.generation.generators import Generator, create_generator_from_network
from sagan_tf.keras_backend import iterate_layers, keras
from sagan_tf.layers import ConditionalBatchNormalization
from sagan_tf.networks import build_generator


def blend_classes(network: keras.Model, config: Config, weights: np.ndarray) -> Generator:
    """Create a generator whose labels are weighted means of classes.

    The means are those of the gains and biases of conditional batch normalization, because a class acts on the
    generator only through its rows in these tables.

    Args:
        network: A network made by `build_generator`, with classes.
        config: Configuration of the run.
        weights: Weight of each class in each new label, float32 [labels, num_classes]; rows sum to 1.

    Returns:
        A generator with [labels] classes without names.
    """
    model = dataclasses.replace(config.model, num_classes=len(weights))
    blended = build_generator(model)
    tables = set()
    for old, new in zip(iterate_layers(network), iterate_layers(blended), strict=True):
        if isinstance(old, ConditionalBatchNormalization):
            for table, mixture in ((old.gain, new.gain), (old.bias, new.bias)):
                mixture.assign(weights @ np.asarray(table))
                tables.add(id(mixture))
    for source, target in zip(network.variables, blended.variables, strict=True):
        if id(target) not in tables:
            target.assign(source)
    return create_generator_from_network(blended, dataclasses.replace(config, model=model), (), "a mixture of classes")
