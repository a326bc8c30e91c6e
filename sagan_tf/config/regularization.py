"""Options of the terms that are added to the two losses."""

from __future__ import annotations

import dataclasses
from typing import Any

from sagan_tf.option import check_at_least_zero, check_every_field, check_part_of_whole, check_positive, option


def _added(default: Any, help: str) -> Any:
    return option(default, help, added_later=True)


@dataclasses.dataclass(frozen=True)
class RegularizationConfig:
    """Terms added to the two losses; all are off."""

    r1_weight: float = _added(
        0.0,
        "Gamma of R1, which adds gamma / 2 times the mean squared norm of the logit's gradient at real images "
        "(Mescheder et al. 2018; R3GAN, Huang et al. 2024: 0.05 for CIFAR-10); 0: off.",
    )
    r2_weight: float = _added(0.0, "The same at fake images (R2).")
    gradient_penalty_final_fraction: float = _added(
        1.0, "What r1_weight and r2_weight are multiplied by in the end, along a cosine from 1 (R3GAN: 0.1)."
    )
    gradient_penalty_anneal_steps: int = _added(0, "Steps in which r1_weight and r2_weight change; 0: they stay.")
    lecam_weight: float = _added(
        0.0,
        "Weight of LeCam, which pulls real logits to the average of fake ones and the reverse (Tseng et al. 2021: 0.3 "
        "with DiffAugment); 0: off.",
    )
    orthogonal_regularization: float = _added(
        0.0, "Beta of the generator's orthogonal regularization (Brock et al. 2019: 1e-4); 0: off."
    )
    consistency_weight: float = _added(
        0.0,
        "Weight of CR: a real image and the same flipped and moved get one logit (Zhang et al. 2020: 10); 0: off.",
    )
    fake_consistency_weight: float = _added(
        0.0, "The same for fake images; bCR is both (Zhao et al. 2021: 10 and 10); 0: off."
    )
    latent_consistency_weight: float = _added(
        0.0, "zCR in the discriminator: fake images of close latents get one logit (Zhao et al. 2021: 5); 0: off."
    )
    latent_diversity_weight: float = _added(
        0.0, "zCR in the generator: images of close latents differ (Zhao et al. 2021: 0.5); 0: off."
    )
    latent_noise: float = _added(0.05, "Standard deviation of what zCR adds to a latent vector.")
    generator_top_k: float = _added(
        1.0,
        "Fraction of the fake images, those with the highest logits, that the generator learns from in the end (Sinha "
        "et al. 2020: 0.5 or 0.75); 1: all.",
    )
    generator_top_k_decay_steps: int = _added(
        0,
        "Steps in which the fraction falls by 1 %, from 1 on (Sinha et al. 2020: an epoch); 0: it does not start at 1.",
    )

    def __post_init__(self) -> None:
        check_part_of_whole(self, "gradient_penalty_final_fraction", "generator_top_k")
        check_positive(self, "latent_noise")
        check_at_least_zero(self, *(field.name for field in dataclasses.fields(self)))
        check_every_field(self)
