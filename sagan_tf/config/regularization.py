"""Options of the terms that are added to the two losses."""

from __future__ import annotations

import dataclasses
from typing import Any

from sagan_tf.config.option import (
    check_at_least_zero,
    check_every_field,
    check_fraction_above_zero,
    check_fraction_below_one,
    check_positive,
    option,
)


def _added_option(default: Any, help: str) -> Any:
    return option(default, help, added_later=True)


def _weight_option(help: str) -> Any:
    """Declare the weight of a term, whose default 0 turns the term off."""
    return _added_option(0.0, f"{help}; 0: off.")


@dataclasses.dataclass(frozen=True)
class RegularizationConfig:
    """Terms that are added to the two losses; by default, none."""

    r1_weight: float = _weight_option(
        "Gamma of R1, which adds gamma / 2 times the mean squared norm of the logit's gradient at real images "
        "(Mescheder et al. 2018; R3GAN, Huang et al. 2024: 0.05 for CIFAR-10, 1 for ImageNet at 64 px, 150 for FFHQ at "
        "256 px)"
    )
    r2_weight: float = _weight_option("Gamma of R2, the same penalty as R1 at fake images")
    gradient_penalty_final_fraction: float = _added_option(
        1.0,
        "Fraction of r1_weight and r2_weight that remains after gradient_penalty_anneal_steps. Both weights fall along "
        "a cosine (R3GAN: 0.1).",
    )
    gradient_penalty_anneal_steps: int = _added_option(
        0, "Number of steps in which r1_weight and r2_weight fall; 0: the weights are constant."
    )
    lecam_weight: float = _weight_option(
        "Weight of LeCam, which pulls real logits toward the average of fake logits and fake logits toward the average "
        "of real ones (Tseng et al. 2021: 0.3 for BigGAN on CIFAR, 3e-7 to 1e-6 for StyleGAN2); see lecam_clip"
    )
    lecam_clip: bool = _added_option(
        False,
        "Apply LeCam only to real logits above the average of fake logits and to fake logits below the average of real "
        "logits, as in the code of LeCam's authors and in StudioGAN; false: to all logits, as in the equation of the "
        "paper.",
    )
    lecam_decay: float = _added_option(
        0.99, "Decay of LeCam's averages (Tseng et al. 2021: 0.99; code of the authors' BigGAN: 0.9)."
    )
    lecam_start_step: int = _added_option(
        0, "Number of steps at the start of the run without LeCam's term (the authors' BigGAN: 1000)."
    )
    class_margin_weight: float = _weight_option(
        "Weight of the class margin: the discriminator should give a real image with its own label a logit at least 1 "
        "above that with any other label (after Kavalerov et al. 2021)"
    )
    orthogonal_regularization: float = _weight_option(
        "Beta of the generator's orthogonal regularization (Brock et al. 2019: 1e-4). The gradient is that of their "
        "equation 3, twice the one that BigGAN-PyTorch adds: its --G_ortho=1e-4 is 5e-5 here"
    )
    consistency_weight: float = _weight_option(
        "Weight of consistency regularization (CR): the discriminator should give an image and its flipped, shifted "
        "copy the same logit (Zhang et al. 2020: 10)"
    )
    fake_consistency_weight: float = _weight_option(
        "Weight of consistency regularization for fake images; together with consistency_weight this is bCR (Zhao et "
        "al. 2021: 10 and 10)"
    )
    latent_consistency_weight: float = _weight_option(
        "Weight of zCR in the discriminator: fake images made from nearby latent vectors should get the same logit "
        "(Zhao et al. 2021: 5; StudioGAN's BigGAN: 20)"
    )
    latent_diversity_weight: float = _weight_option(
        "Weight of zCR in the generator: images made from nearby latent vectors should differ (Zhao et al. 2021: 0.5)"
    )
    latent_noise: float = _added_option(0.05, "Standard deviation of the noise that zCR adds to latent vectors.")
    generator_top_k: float = _added_option(
        1.0,
        "Final fraction of the fake images from which the generator learns: those with the highest logits. Their "
        "number is rounded up on each replica and in each accumulated part of the batch (Sinha et al. 2020: 0.5 or "
        "0.75); 1: all images.",
    )
    generator_top_k_decay_steps: int = _added_option(
        0,
        "Number of steps after which the fraction, which starts at 1, is multiplied by 0.99 (Sinha et al. 2020: one "
        "epoch); 0: the fraction is generator_top_k from the first step.",
    )

    def __post_init__(self) -> None:
        check_fraction_above_zero(self, "gradient_penalty_final_fraction", "generator_top_k")
        check_fraction_below_one(self, "lecam_decay")
        check_positive(self, "latent_noise")
        check_at_least_zero(self, *(field.name for field in dataclasses.fields(self)))
        check_every_field(self)
