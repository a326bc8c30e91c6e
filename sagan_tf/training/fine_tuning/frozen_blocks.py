"""Blocks of the discriminator that are not trained (FreezeD).

Reference: Mo et al., Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs, CVPR Workshops 2020.
"""

from __future__ import annotations

from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.keras_backend import keras
from sagan_tf.networks.architectures import find_stages


def check_number_of_frozen_blocks(config: Config) -> None:
    """Raise UserError if more blocks are to be frozen than the discriminator has."""
    num_blocks, frozen = len(find_stages(config.model).discriminator), config.initialization.freeze_discriminator
    if frozen > num_blocks:
        raise UserError(
            f"freeze_discriminator: expected at most {num_blocks}, the number of blocks of the discriminator, received "
            f"{frozen}"
        )


def freeze_lowest_blocks(discriminator: keras.Model, num_blocks: int) -> None:
    """Freeze all layers from the image up to a block, and attention between these blocks.

    Frozen layers have no trainable variables, so no gradients are computed for them, and their vectors of spectral
    normalization do not change.

    Args:
        discriminator: A network of `build_discriminator`.
        num_blocks: The number of the last block to freeze; 0 freezes nothing.
    """
    if num_blocks:
        images, _ = discriminator.inputs
        for layer in keras.Model(images, discriminator.get_layer(f"block_{num_blocks}").output).layers:
            layer.trainable = False


def list_frozen_variables(discriminator: keras.Model) -> list[str]:
    """Return the paths of the variables of frozen layers."""
    layers = [layer for layer in discriminator.layers if not layer.trainable]
    return [variable.path for layer in layers for variable in layer.variables]
