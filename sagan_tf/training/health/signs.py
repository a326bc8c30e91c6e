"""Signs of an unhealthy run, with their healthy ranges and advice.

A new sign is one entry of `SIGNS`. The limits were measured on runs of Fashion-MNIST at 32 px, whose readings are in
docs/results/dead_discriminator.md. This module imports no TensorFlow, because the report of a run uses it too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

Values = Mapping[str, Any]
"""Scalars by name; None for a scalar that is undefined at a step."""

LATENT_RANK, LATENT_RANK_SHARE = "health/latent_stable_rank", "health/latent_stable_rank_share"
BLOCK_LATENT_RANK = "health/block_latent_stable_rank"
SINGULAR_VALUES = tuple(f"health/latent_singular_value_{place}" for place in (1, 2, 3))
CLASS_TABLE_RANK = "health/class_table_stable_rank"
DISTANCE_RATIO = "health/sample_distance_ratio"
DEAD_UNITS = "health/dead_units"
LOGIT_DEVIATION, LOGIT_GAP, SEPARATION = "health/logit_deviation", "health/logit_gap", "health/separation"
LOSS_SHARE = "health/discriminator_loss_share"
HELD_OUT_GAP, OVERFITTING = "health/held_out_gap", "health/overfitting"

LOGIT_RANGE = "logit_range"
"""A training metric: the largest logit of real and generated images minus the smallest.

It is computed in each batch of a forward pass, and averaged over replicas and over the parts of gradient accumulation.
It is 0 if and only if the logits of each batch are constant.
"""

DEAD = "dead discriminator"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sign:
    """Sign of an unhealthy run.

    Attributes:
        scalar: The name of the scalar that shows the sign.
        needs: The names of further scalars that `is_unhealthy` reads.
        is_unhealthy: Returns whether scalars, which include all of these names, show the sign.
        healthy: The healthy range, in words.
        meaning: The meaning of the scalar or the sign.
        advice: The recommended change.
        patience: The number of consecutive readings that must show the sign.
        is_final: Whether a run never recovers from it.
    """

    scalar: str
    needs: tuple[str, ...] = ()
    is_unhealthy: Callable[[Values], bool]
    healthy: str
    meaning: str
    advice: str
    patience: int = 1
    is_final: bool = False

    def check(self, values: Values) -> bool | None:
        """Return whether scalars show the sign; None if a needed scalar is missing."""
        numbers = all(isinstance(values.get(name), int | float) for name in (self.scalar, *self.needs))
        return self.is_unhealthy(values) if numbers else None


def is_dead(values: Values) -> bool:
    """Return whether the discriminator gives all images the same logit.

    If all units of the last feature map are 0, every logit is the bias of the last layer, and the range of the logits
    is exactly 0.0. Gradient norms do not show this: regularization terms in the generator's loss have a gradient that
    does not pass through the discriminator, and the last bias of a dead discriminator has a gradient in some losses
    (least squares) and with an auxiliary classifier.

    Args:
        values: The training metrics.
    """
    return values[LOGIT_RANGE] == 0.0


MIN_LATENT_RANK_SHARE = 1 / 16
"""Runs with latents in every block end at 0.11 to 0.23, with a recall of 0.5 to 0.8: within this range the rank does
not predict recall. A run of 6,000 steps without them fell below the limit at step 2,400, and its recall fell from 0.21
at step 2,000 to 0.03 (docs/results/diversity.md)."""
MIN_DISTANCE_RATIO = 0.5
"""0.52 to 1.34 in five runs. An untrained generator has 0.05, so that consecutive readings are needed."""
MAX_DEAD_UNITS = 0.75
"""At most 0.22 in the quickstart, 0.38 in a run that learned at a high rate. No run that reached 0.75 recovered."""
MIN_LOGIT_DEVIATION = 0.01
"""At least 0.17 in runs that learned; below 0.003 in runs shortly before their discriminator died."""
MIN_GAP_SHARE = 0.05
"""Gap of mean logits in standard deviations: 0.3 and more if the discriminator leads."""
MAX_OVERFITTING = 0.8
"""0.12 to 0.18 at the end of three quickstarts with 10,000 images. With 50 images at least 0.85 if the discriminator
memorizes them, and at most 0.75 with augmentation (docs/results/few_images.md)."""
MIN_LOSS_SHARE = 0.05
"""A hinge loss of 0.1. The lowest of four runs is 0.56."""

_NEW_RUN = "Start a new run in another --run_dir"
_SMALLER_STEPS = f"{_NEW_RUN} with a lower --discriminator_learning_rate or --discriminator_pooling=scaled_sum or mean."
_STRONGER = "more --discriminator_steps_per_step or larger --discriminator_widths"
_MORE_DIVERSE = f"{_NEW_RUN} with --latents_to_every_block, {_STRONGER}; until then use an earlier checkpoint."

SIGNS: dict[str, Sign] = {
    DEAD: Sign(
        scalar=LOGIT_RANGE,
        is_unhealthy=is_dead,
        healthy="above 0",
        meaning="Every unit of the discriminator's last feature map is 0 for every image: all images have the same "
        "logit, gradients are 0, and neither network ever learns again.",
        advice=_SMALLER_STEPS,
        is_final=True,
    ),
    "dying discriminator": Sign(
        scalar=DEAD_UNITS,
        is_unhealthy=lambda values: values[DEAD_UNITS] >= MAX_DEAD_UNITS,
        healthy=f"below {MAX_DEAD_UNITS}",
        meaning="The share of channels of the discriminator's last feature map that are 0 for a whole batch of real "
        "and generated images; at 1 the discriminator is dead.",
        advice=_SMALLER_STEPS,
        patience=2,
    ),
    "constant logits": Sign(
        scalar=LOGIT_DEVIATION,
        is_unhealthy=lambda values: values[LOGIT_DEVIATION] < MIN_LOGIT_DEVIATION,
        healthy=f"at least {MIN_LOGIT_DEVIATION}",
        meaning="The standard deviation of the discriminator's logits over real and generated images: without "
        "differences the generator gets no useful gradient.",
        advice=_SMALLER_STEPS,
        patience=2,
    ),
    "weak discriminator": Sign(
        scalar=LOGIT_GAP,
        needs=(LOGIT_DEVIATION,),
        is_unhealthy=lambda values: values[LOGIT_GAP] < MIN_GAP_SHARE * values[LOGIT_DEVIATION],
        healthy=f"at least {MIN_GAP_SHARE} standard deviations of the logits",
        meaning="The mean logit of real images minus that of generated images: a discriminator that cannot distinguish "
        "them does not keep the generator's images diverse.",
        advice=f"Make the discriminator stronger. {_NEW_RUN} with {_STRONGER}.",
        patience=3,
    ),
    "winning discriminator": Sign(
        scalar=LOSS_SHARE,
        needs=(SEPARATION,),
        is_unhealthy=lambda values: values[LOSS_SHARE] < MIN_LOSS_SHARE and values[SEPARATION] == 1.0,
        healthy=f"at least {MIN_LOSS_SHARE}, or a generated image with a higher logit than a real image",
        meaning="The discriminator's adversarial loss, divided by that of a discriminator that gives all images one "
        "logit: near 0 the discriminator has won, and its logits no longer show which generated images are better. Not "
        "available with --loss=wasserstein, which has no minimum.",
        advice=f"Make the discriminator weaker. {_NEW_RUN} with a lower --discriminator_learning_rate or fewer "
        "--discriminator_steps_per_step.",
        patience=3,
    ),
    "overfitting discriminator": Sign(
        scalar=OVERFITTING,
        is_unhealthy=lambda values: values[OVERFITTING] > MAX_OVERFITTING,
        healthy=f"at most {MAX_OVERFITTING}",
        meaning="The mean logit of training images minus that of held-out images, divided by the mean logit of "
        "training images minus that of generated images: at 1 the discriminator has memorized its training images and "
        "gives held-out images the logits of generated ones.",
        advice=f"Use an earlier checkpoint. {_NEW_RUN} with more images, with --augment=color,translation,cutout (and "
        "--ada_target=0.6 to adapt its probability), or with a smaller --num_steps.",
        patience=3,
    ),
    "few latent directions": Sign(
        scalar=LATENT_RANK_SHARE,
        is_unhealthy=lambda values: values[LATENT_RANK_SHARE] < MIN_LATENT_RANK_SHARE,
        healthy=f"at least {MIN_LATENT_RANK_SHARE}",
        meaning="The stable rank of the kernels that the latent vector is multiplied with, divided by its largest "
        "possible value: the share of the latent directions that change images much. It falls in every run, and only "
        "very low values were found together with similar images.",
        advice=_MORE_DIVERSE,
    ),
    "similar samples": Sign(
        scalar=DISTANCE_RATIO,
        is_unhealthy=lambda values: values[DISTANCE_RATIO] < MIN_DISTANCE_RATIO,
        healthy=f"at least {MIN_DISTANCE_RATIO}",
        meaning="The mean distance of two samples of a class, divided by that of two real images: if it is small, all "
        "samples of a class are nearly the same image (mode collapse).",
        advice=_MORE_DIVERSE,
        patience=3,
    ),
}
"""The signs by name, in the order of the report of a run."""
