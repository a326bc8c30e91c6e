"""Options of the generator and the discriminator."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.option import (
    check_at_least_zero,
    check_every_field,
    check_fraction_below_one,
    check_positive,
    option,
)
from sagan_tf.config.option_names import (
    ARCHITECTURES,
    ATTENTION_BLOCKS,
    ATTENTION_FORMS,
    CONDITIONINGS,
    DISCRIMINATOR_POOLINGS,
    describe_names,
)
from sagan_tf.config.shared_options import resampling_option
from sagan_tf.errors import UserError

Resolutions = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The generator and the discriminator."""

    architecture: str = option("sagan", f"Architecture of the networks: {describe_names(ARCHITECTURES)}.")
    resolution: int = option(128, "Height and width of the images, in pixels: 32, 64, 128 or 256.")
    image_channels: int = option(3, "Channels of the images: 1 (gray), 3 (color) or 4 (color with alpha).")
    num_classes: int = option(0, "Number of classes; 0: that of the data set.")
    conditioning: str = option(
        "projection",
        f"Use of the label in the discriminator: {describe_names(CONDITIONINGS)}.",
        choices=tuple(CONDITIONINGS),
    )
    base_channels: int = option(
        64, "Width of the networks: channels of the generator's last stage and of the discriminator's first stage."
    )
    latent_dim: int = option(128, "Length of a latent vector.")
    latents_to_every_block: bool = option(
        False,
        "Split the latent vector into equal parts: one for the generator's first layer and one for each block, where "
        "it determines the gains and biases of batch normalization (Brock et al. 2019, appendix B).",
        added_later=True,
    )
    attention_resolutions: tuple[int, ...] = option(
        (64,),
        "Comma list of the feature-map sizes, in pixels, at which both networks have self-attention; empty: no "
        "attention. The paper's text and the official code have 32, the best published run has 64.",
    )
    generator_attention_resolutions: tuple[int, ...] | None = option(
        None, "Replaces attention_resolutions in the generator; unset: attention_resolutions."
    )
    discriminator_attention_resolutions: tuple[int, ...] | None = option(
        None, "Replaces attention_resolutions in the discriminator; unset: attention_resolutions."
    )
    attention_form: str = option("pooled", f"Form of self-attention: {describe_names(ATTENTION_FORMS)}.")
    attention_block: str = option(
        "self_attention", f"Block at attention_resolutions: {describe_names(ATTENTION_BLOCKS)}."
    )
    generator_spectral_norm: bool = option(True, "Spectral normalization in the generator.")
    discriminator_spectral_norm: bool = option(True, "Spectral normalization in the discriminator.")
    spectral_norm_constraint: str = option(
        "equal",
        "equal: weights are divided by sigma; at_most: weights, except those of attention, are divided by max(1, "
        "sigma), as in TF-GAN's example.",
        choices=("equal", "at_most"),
    )
    spectral_norm_power_iterations: int = option(1, "Power iterations for each estimate of sigma.")
    spectral_norm_epsilon: float = option(1e-8, "Smallest norm that spectral normalization divides by.")
    batch_norm_momentum: float = option(0.9, "Momentum of the moving statistics of batch normalization.")
    batch_norm_epsilon: float = option(1e-5, "Constant that batch normalization adds to the variance.")
    synchronized_batch_norm: bool = option(
        False,
        "Compute batch statistics over all replicas instead of on each replica (best published run: on each replica).",
    )
    resampling: str = resampling_option("the residual blocks' convolutions", "the fastest")
    discriminator_pooling: str = option(
        "sum",
        f"Reduction of the discriminator's last feature map over its locations: "
        f"{describe_names(DISCRIMINATOR_POOLINGS)}. At high learning rates, every unit can stay at 0 forever with sum. "
        "This did not happen with mean and scaled_sum in the one setting and seed in which they were tried "
        "(docs/results/dead_discriminator.md).",
        added_later=True,
    )
    discriminator_base_channels: int = option(
        0, "Width of the discriminator in place of base_channels; 0: base_channels.", added_later=True
    )
    generator_widths: tuple[int, ...] = option(
        (),
        "Comma list of the generator's channels as multiples of base_channels: first of the 4 x 4 feature map, then "
        "after each block; empty: those of the architecture. Example: 8,4,2,1 is narrower at high resolutions.",
        added_later=True,
    )
    discriminator_widths: tuple[int, ...] = option(
        (),
        "Comma list of the discriminator's channels after each block, as multiples of the discriminator's base "
        "channels; empty: those of the architecture.",
        added_later=True,
    )
    discriminator_downsample: tuple[bool, ...] = option(
        (),
        "Comma list with 1 for each block of the discriminator that halves the feature map and 0 for each other block, "
        "such as 1,1,1,0; empty: as in the architecture. Together with discriminator_widths, the discriminator can "
        "have any number of blocks.",
        added_later=True,
    )
    discriminator_minibatch_statistics: int = option(
        0,
        "Number of images in a group: before its last block, the discriminator gets an additional feature map with the "
        "standard deviation over each group (Karras et al. 2018; StyleGAN2: 4); 0: no additional feature map.",
        added_later=True,
    )
    kernel_initializer: str = option(
        "glorot_uniform",
        "Initializer of the weights of convolutions, dense layers and embeddings (official code and best published "
        "run: glorot_uniform).",
        choices=("glorot_uniform", "orthogonal", "he_normal"),
    )

    def __post_init__(self) -> None:
        check_positive(self, "resolution", "image_channels", "base_channels", "latent_dim")
        check_positive(self, "spectral_norm_power_iterations", "spectral_norm_epsilon", "batch_norm_epsilon")
        check_at_least_zero(self, "num_classes", "discriminator_base_channels", "discriminator_minibatch_statistics")
        if self.discriminator_minibatch_statistics == 1:
            raise UserError("discriminator_minibatch_statistics: expected 0 or at least 2 images, received 1")
        check_fraction_below_one(self, "batch_norm_momentum")
        check_every_field(self)

    @property
    def uses_classes(self) -> bool:
        """Whether the networks use classes: False for `--conditioning=none`."""
        return self.conditioning != "none"

    @property
    def discriminator_channels(self) -> int:
        """Number of channels that the discriminator's widths are multiples of."""
        return self.discriminator_base_channels or self.base_channels

    @property
    def generator_attention(self) -> Resolutions:
        """Feature-map sizes at which the generator has attention."""
        own = self.generator_attention_resolutions
        return self.attention_resolutions if own is None else own

    @property
    def discriminator_attention(self) -> Resolutions:
        """Feature-map sizes at which the discriminator has attention."""
        own = self.discriminator_attention_resolutions
        return self.attention_resolutions if own is None else own
