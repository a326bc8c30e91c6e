"""Options of the terms that are added to the two losses."""

from __future__ import annotations

import dataclasses
from typing import Any

from sagan_tf.config.option import (
    check_at_least_zero,
    check_every_field,
    check_fraction,
    check_part_of_whole,
    check_positive,
    option,
)


def _added(default: Any, help: str) -> Any:
    return option(default, help, added_later=True)


def _weight(meaning: str) -> Any:
    """Return an option that weighs a term, which is off at 0, its default."""
    return _added(0.0, f"{meaning}; 0: off.")


@dataclasses.dataclass(frozen=True)
class RegularizationConfig:
    """Terms added to the two losses; all are off."""

    r1_weight: float = _weight(
        "Gamma of R1, which adds gamma / 2 times the mean squared norm of the logit's gradient at real images "
        "(Mescheder et al. 2018; R3GAN, Huang et al. 2024: 0.05 for CIFAR-10)"
    )
    r2_weight: float = _weight("Gamma of R2, the same penalty as R1 at fake images")
    gradient_penalty_final_fraction: float = _added(
        1.0,
        "Fraction of r1_weight and r2_weight that remains after gradient_penalty_anneal_steps; both fall to it along a "
        "cosine (R3GAN: 0.1).",
    )
    gradient_penalty_anneal_steps: int = _added(
        0, "Number of steps in which r1_weight and r2_weight fall; 0: they are constant."
    )
    lecam_weight: float = _weight(
        "Weight of LeCam, which pulls real logits toward the average of fake logits and fake logits toward the average "
        "of real ones (Tseng et al. 2021: 0.3 with DiffAugment); see lecam_clip"
    )
    lecam_clip: bool = _added(
        False,
        "Pull only real logits above the average of fake ones and fake logits below that of real ones, as the code of "
        "LeCam's authors and StudioGAN do; without it all are pulled, as in the equation of the paper.",
    )
    lecam_decay: float = _added(
        0.99, "Decay of LeCam's averages (Tseng et al. 2021: 0.99; in the code of the authors' BigGAN 0.9)."
    )
    lecam_start_step: int = _added(0, "Steps at the start of the run without LeCam's term (the authors' BigGAN: 1000).")
    class_margin_weight: float = _weight(
        "Weight of the class margin: the discriminator should give a real image with its own label a logit at least 1 "
        "above that with any other label (after Kavalerov et al. 2021)"
    )
    orthogonal_regularization: float = _weight(
        "Beta of the generator's orthogonal regularization (Brock et al. 2019: 1e-4). The gradient is that of their "
        "equation 3, twice the one that BigGAN-PyTorch adds: its --G_ortho=1e-4 is 5e-5 here"
    )
    consistency_weight: float = _weight(
        "Weight of consistency regularization (CR): the discriminator should give an image and its flipped, shifted "
        "copy the same logit (Zhang et al. 2020: 10)"
    )
    fake_consistency_weight: float = _weight(
        "Weight of the same term for fake images; with consistency_weight this is bCR (Zhao et al. 2021: 10 and 10)"
    )
    latent_consistency_weight: float = _weight(
        "Weight of zCR in the discriminator: fake images made from nearby latent vectors should get the same logit "
        "(Zhao et al. 2021: 5)"
    )
    latent_diversity_weight: float = _weight(
        "Weight of zCR in the generator: images made from nearby latent vectors should differ (Zhao et al. 2021: 0.5)"
    )
    latent_noise: float = _added(0.05, "Standard deviation of the noise that zCR adds to latent vectors.")
    generator_top_k: float = _added(
        1.0,
        "Fraction of the fake images, those with the highest logits, that the generator learns from in the end; their "
        "number is rounded up on each replica and in each accumulated part (Sinha et al. 2020: 0.5 or 0.75); 1: all.",
    )
    generator_top_k_decay_steps: int = _added(
        0,
        "Number of steps after which the fraction is multiplied by 0.99, starting at 1 (Sinha et al. 2020: one epoch); "
        "0: it is generator_top_k from the first step.",
    )

    def __post_init__(self) -> None:
        check_part_of_whole(self, "gradient_penalty_final_fraction", "generator_top_k")
        check_fraction(self, "lecam_decay")
        check_positive(self, "latent_noise")
        check_at_least_zero(self, *(field.name for field in dataclasses.fields(self)))
        check_every_field(self)
