"""The two updates of a run, put together from its configuration."""

from __future__ import annotations

from sagan_tf.augmentation import create_augmentation
from sagan_tf.config import Config
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.losses import LOSSES, PairedLoss
from sagan_tf.networks.discriminator import discriminator_with_features
from sagan_tf.regularization import create_regularizers, top_fraction, with_top_k
from sagan_tf.training.discriminator_outputs import (
    Judge,
    judge,
    judge_and_classify,
    with_features,
    with_image_gradients,
)
from sagan_tf.training.paired_updates import PairedUpdates
from sagan_tf.training.state import TrainState
from sagan_tf.training.steps import AlternatingUpdates


def create_updates(config: Config, state: TrainState) -> AlternatingUpdates:
    """Create the two updates that `config` asks for, on `state`."""
    sampler = LatentSampler(
        seed=config.training.seed,
        latent_dim=config.model.latent_dim,
        num_classes=config.model.num_classes,
        global_batch_size=config.training.global_batch_size,
    )
    loss, regularization = LOSSES[config.training.loss], config.regularization
    updates = PairedUpdates if isinstance(loss, PairedLoss) else AlternatingUpdates
    if regularization.generator_top_k < 1:
        loss = with_top_k(loss, lambda: top_fraction(regularization, state.step))
    judge_images: Judge = judge_and_classify if config.model.conditioning == "auxiliary_classifier" else judge
    regularizers = create_regularizers("discriminator", regularization, state)
    probability = state.augment_probability
    network_with_features = None
    if any(one.needs_class_scores for one in regularizers):
        network_with_features, judge_images = (
            discriminator_with_features(state.discriminator),
            with_features(judge_images),
        )
    if any(one.needs_image_gradients for one in regularizers):
        judge_images = with_image_gradients(judge_images)
    return updates(
        state,
        loss,
        judge_images,
        sampler,
        config.training.gradient_accumulation_steps,
        network_with_features,
        create_augmentation(config.training.augment, probability.probability.read_value if probability else None),
        discriminator_regularizers=regularizers + ((probability,) if probability else ()),
        generator_regularizers=create_regularizers("generator", regularization, state),
    )
