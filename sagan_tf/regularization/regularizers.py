"""Registry of regularizers; add one as a module with its class, an option for its weight and one entry here."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol

import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.keras_backend import keras
from sagan_tf.regularization.class_margin import ClassMargin
from sagan_tf.regularization.consistency import FakeConsistency, RealConsistency
from sagan_tf.regularization.gradient_penalty import GradientPenalty, anneal_weight
from sagan_tf.regularization.latent_consistency import LatentConsistency, LatentDiversity
from sagan_tf.regularization.lecam import LeCam
from sagan_tf.regularization.orthogonal import OrthogonalRegularization
from sagan_tf.regularization.regularizer import Regularizer


class RegularizedState(Protocol):
    """Part of the state of a run that regularizers read."""

    generator: keras.Model
    step: tf.Variable
    logit_averages: Any  # LogitAverages if LeCam is on, otherwise None


Create = Callable[[RegularizationConfig, RegularizedState], Regularizer]

REGULARIZERS: dict[str, dict[str, Create]] = {
    "discriminator": {
        "r1_weight": lambda config, state: GradientPenalty(
            "r1_penalty",
            operator.attrgetter("real_gradients"),
            lambda: anneal_weight(config, config.r1_weight, state.step),
        ),
        "r2_weight": lambda config, state: GradientPenalty(
            "r2_penalty",
            operator.attrgetter("fake_gradients"),
            lambda: anneal_weight(config, config.r2_weight, state.step),
        ),
        "lecam_weight": lambda config, state: LeCam(state.logit_averages, config, state.step),
        "class_margin_weight": lambda config, state: ClassMargin(config.class_margin_weight),
        "consistency_weight": lambda config, state: RealConsistency(config.consistency_weight),
        "fake_consistency_weight": lambda config, state: FakeConsistency(config.fake_consistency_weight),
        "latent_consistency_weight": lambda config, state: LatentConsistency(
            config.latent_consistency_weight, config.latent_noise
        ),
    },
    "generator": {
        "orthogonal_regularization": lambda config, state: OrthogonalRegularization(
            state.generator, config.orthogonal_regularization
        ),
        "latent_diversity_weight": lambda config, state: LatentDiversity(
            config.latent_diversity_weight, config.latent_noise
        ),
    },
}
"""Network whose loss has the term -> option with its weight -> function that creates the regularizer."""


def create_regularizers(network: str, config: RegularizationConfig, state: RegularizedState) -> tuple[Regularizer, ...]:
    """Create the regularizers of a network whose weight is above 0.

    Args:
        network: `generator` or `discriminator`, the network whose loss has the terms.
        config: Weights and other options of the regularizers.
        state: State of the run.
    """
    return tuple(create(config, state) for name, create in REGULARIZERS[network].items() if getattr(config, name) > 0)
