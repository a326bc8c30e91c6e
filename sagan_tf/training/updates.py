"""Creation of the two updates of a run from its configuration."""

from __future__ import annotations

from sagan_tf.config import Config
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.losses import LOSSES, PairedLoss
from sagan_tf.networks.discriminator import add_feature_output
from sagan_tf.regularization import compute_top_fraction, create_regularizers, restrict_to_top_k
from sagan_tf.training.adaptive_augmentation import create_training_augmentation
from sagan_tf.training.discriminator_outputs import (
    DiscriminatorCall,
    add_features,
    add_image_gradients,
    call_discriminator,
    call_with_classifier,
)
from sagan_tf.training.paired_updates import PairedUpdates
from sagan_tf.training.state import TrainState
from sagan_tf.training.steps import AlternatingUpdates


def create_updates(config: Config, state: TrainState, class_counts: tuple[int, ...] = ()) -> AlternatingUpdates:
    """Create the two updates that a configuration describes.

    Args:
        config: The run.
        state: The state that the updates change.
        class_counts: If not empty, fake labels are drawn in proportion to these counts, one per class.
    """
    sampler = LatentSampler(
        seed=config.training.seed,
        latent_dim=config.model.latent_dim,
        num_classes=config.model.num_classes,
        global_batch_size=config.training.global_batch_size,
        class_counts=class_counts,
    )
    loss, regularization = LOSSES[config.training.loss], config.regularization
    updates_class = PairedUpdates if isinstance(loss, PairedLoss) else AlternatingUpdates
    if regularization.generator_top_k < 1:
        loss = restrict_to_top_k(loss, lambda: compute_top_fraction(regularization, state.step))
    is_classifying = config.model.conditioning == "auxiliary_classifier"
    call: DiscriminatorCall = call_with_classifier if is_classifying else call_discriminator
    regularizers = create_regularizers("discriminator", regularization, state)
    adaptive = state.augment_probability
    network_with_features = None
    if any(regularizer.needs_class_scores for regularizer in regularizers):
        network_with_features = add_feature_output(state.discriminator)
        call = add_features(call)
    if any(regularizer.needs_image_gradients for regularizer in regularizers):
        call = add_image_gradients(call)
    return updates_class(
        state,
        loss,
        call,
        sampler,
        config.training.gradient_accumulation_steps,
        network_with_features,
        create_training_augmentation(config.training.augment, adaptive),
        discriminator_regularizers=regularizers + ((adaptive,) if adaptive else ()),
        generator_regularizers=create_regularizers("generator", regularization, state),
    )
