"""Options of the generator and the discriminator."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.option import check_at_least_zero, check_every_field, check_fraction, check_positive, option
from sagan_tf.errors import UserError

Resolutions = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The generator and the discriminator."""

    architecture: str = option(
        "sagan", "Networks: sagan (residual), sngan (residual, no attention, plain generator) or dcgan (convolutional)."
    )
    resolution: int = option(128, "Height and width of the images, in pixels: 32, 64, 128 or 256.")
    image_channels: int = option(3, "Channels of the images: 1 grey, 3 colour, 4 colour with alpha.")
    num_classes: int = option(0, "Number of classes; 0 takes it from the data set.")
    conditioning: str = option(
        "projection",
        "How the discriminator uses the label: projection (Miyato & Koyama 2018), auxiliary_classifier (AC-GAN, "
        "Odena et al. 2017) or none (labels are not used at all, by the generator either).",
        choices=("projection", "auxiliary_classifier", "none"),
    )
    base_channels: int = option(64, "Width: channels of the generator's last and the discriminator's first stage.")
    latent_dim: int = option(128, "Length of a latent vector.")
    latents_to_every_block: bool = option(
        False,
        "Split the latent vector into equal parts: one for the generator's first layer, and one for each block, where "
        "the gains and biases of batch normalization depend on it (Brock et al. 2019, appendix B).",
        added_later=True,
    )
    attention_resolutions: Resolutions = option(
        (64,),
        "Comma list of feature-map sizes that get self-attention, in both networks; empty for none. The paper's text "
        "and the official code have 32, the best published run 64.",
    )
    generator_attention_resolutions: Resolutions | None = option(
        None, "The same for the generator alone; unset: attention_resolutions."
    )
    discriminator_attention_resolutions: Resolutions | None = option(
        None, "The same for the discriminator alone; unset: attention_resolutions."
    )
    attention_form: str = option(
        "pooled",
        "pooled: keys and values max-pooled 2x2 (official code); paper: the paper's equations; full: values of full "
        "width, no output convolution.",
        choices=("pooled", "paper", "full"),
    )
    attention_block: str = option(
        "self_attention",
        "What stands at attention_resolutions: self_attention, or residual: a residual block with as many parameters "
        "(the control of the paper's attention study).",
        choices=("self_attention", "residual"),
    )
    generator_spectral_norm: bool = option(True, "Spectral normalisation in the generator.")
    discriminator_spectral_norm: bool = option(True, "Spectral normalisation in the discriminator.")
    spectral_norm_constraint: str = option(
        "equal",
        "equal: weights are divided by sigma. at_most: by max(1, sigma), attention excepted, as TF-GAN's example does.",
        choices=("equal", "at_most"),
    )
    spectral_norm_power_iterations: int = option(1, "Power iterations for an estimate of sigma.")
    spectral_norm_epsilon: float = option(1e-8, "Smallest norm that spectral normalisation divides by.")
    batch_norm_momentum: float = option(0.9, "Momentum of batch normalisation's moving statistics.")
    batch_norm_epsilon: float = option(1e-5, "Added to the variance in batch normalisation.")
    synchronized_batch_norm: bool = option(
        False, "Batch statistics over all replicas instead of each replica's own (best published: its own)."
    )
    resampling: str = option(
        "auto",
        "How the residual blocks' convolutions and the resampling next to them are computed, with the same result but "
        "for rounding: auto as fast as it can; strided each as one convolution; plain one thing after the other.",
        choices=("auto", "strided", "plain"),
    )
    discriminator_pooling: str = option(
        "sum",
        "How the discriminator combines the locations of its last feature map: sum (official code and all published "
        "configurations), mean, or scaled_sum: the sum divided by the square root of the number of locations. At high "
        "learning rates the sum can leave every unit at 0 for ever; in the one setting and seed where the others were "
        "tried, they did not (docs/results/dead_discriminator.md).",
        choices=("sum", "mean", "scaled_sum"),
        added_later=True,
    )
    discriminator_base_channels: int = option(
        0, "Width of the discriminator: used there in place of base_channels; 0: base_channels.", added_later=True
    )
    generator_widths: tuple[int, ...] = option(
        (),
        "Comma list of the generator's channels as multiples of base_channels: of the 4 x 4 feature map, then after "
        "each block; empty: those of the architecture. 8,4,2,1 is narrower at high resolutions.",
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
        "Comma list of whether each block of the discriminator halves the feature map, such as 1,1,1,0; empty: as in "
        "the architecture. Together with discriminator_widths it can have any number of blocks.",
        added_later=True,
    )
    discriminator_minibatch_statistics: int = option(
        0,
        "Images in a group: before its last block, the discriminator gets one more feature map with the standard "
        "deviation over each group (Karras et al. 2018; StyleGAN2: 4); 0: no such map.",
        added_later=True,
    )
    kernel_initializer: str = option(
        "glorot_uniform",
        "Initial weights of convolutions, dense layers and embeddings; the official code and the best published run "
        "have glorot_uniform.",
        choices=("glorot_uniform", "orthogonal", "he_normal"),
    )

    def __post_init__(self) -> None:
        check_positive(self, "resolution", "image_channels", "base_channels", "latent_dim")
        check_positive(self, "spectral_norm_power_iterations", "spectral_norm_epsilon", "batch_norm_epsilon")
        check_at_least_zero(self, "num_classes", "discriminator_base_channels", "discriminator_minibatch_statistics")
        if self.discriminator_minibatch_statistics == 1:
            raise UserError("discriminator_minibatch_statistics: expected 0 or at least 2 images, received 1")
        check_fraction(self, "batch_norm_momentum")
        check_every_field(self)

    @property
    def discriminator_channels(self) -> int:
        """Channels that the discriminator's widths are multiples of."""
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
