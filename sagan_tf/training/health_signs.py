"""Signs by which a run is seen to be unhealthy: what each one means, its healthy range, and what to change.

A new sign is one entry of `SIGNS`. The limits were measured on runs of the packaged Fashion-MNIST at 32 px
(docs/results/dead_discriminator.md has the runs). This file imports no TensorFlow: the report of a run uses it too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

Values = Mapping[str, Any]
"""Scalars by name; None for one that is not defined at a step."""

LATENT_RANK, LATENT_RANK_SHARE = "health/latent_stable_rank", "health/latent_stable_rank_share"
SINGULAR_VALUES = tuple(f"health/latent_singular_value_{place}" for place in (1, 2, 3))
CLASS_TABLE_RANK = "health/class_table_stable_rank"
DISTANCE_RATIO = "health/sample_distance_ratio"
DEAD_UNITS = "health/dead_units"
LOGIT_DEVIATION, LOGIT_GAP, SEPARATION = "health/logit_deviation", "health/logit_gap", "health/separation"
LOSS = "health/discriminator_loss"
HELD_OUT_GAP, OVERFITTING = "health/held_out_gap", "health/overfitting"

DEAD = "dead discriminator"


@dataclasses.dataclass(frozen=True)
class Sign:
    """A way in which a run can be unhealthy.

    Attributes:
        scalar: The name of the scalar that shows it.
        needs: The names of further scalars that `is_unhealthy` reads.
        is_unhealthy: Whether scalars, which have all these names, show it.
        healthy: The healthy range, in words.
        meaning: What the sign means; one sentence.
        advice: What to change; one sentence.
        patience: The number of readings in a row that must show it.
        is_final: Whether a run never recovers from it.
    """

    scalar: str
    needs: tuple[str, ...]
    is_unhealthy: Callable[[Values], bool]
    healthy: str
    meaning: str
    advice: str
    patience: int = 1
    is_final: bool = False

    def judge(self, values: Values) -> bool | None:
        """Return whether scalars show the sign; None where one that it needs is missing or no number."""
        numbers = all(isinstance(values.get(name), int | float) for name in (self.scalar, *self.needs))
        return self.is_unhealthy(values) if numbers else None


def is_dead(values: Values) -> bool:
    """Return whether training metrics show a discriminator that judges all images alike.

    The norm of the generator's gradient is exactly 0.0, and not only small, where no unit of the discriminator passes a
    gradient on. The logits are compared too, because an update that loss scaling skips also counts as a norm of 0.0.
    """
    real, fake = values["real_logits"], values["fake_logits"]
    return values["generator_gradient_norm"] == 0.0 and abs(real - fake) <= 1e-5 * max(1.0, abs(real))


MIN_LATENT_RANK_SHARE = 1 / 16
"""Runs with recall above 0.1 had 20 to 70 directions of 128; one whose recall fell to 0.05 had 3.7 (0.03)."""
MIN_DISTANCE_RATIO = 0.5
"""0.9 to 1.3 in the first 240 steps of the quickstart. An untrained generator has 0.05, which is why readings in a row
are needed."""
MAX_DEAD_UNITS = 0.75
"""At most 0.22 in the quickstart, 0.38 in a run that learned at a high rate. No run that reached 0.75 recovered."""
MIN_LOGIT_DEVIATION = 0.01
"""At least 0.08 in runs that learned; below 0.003 in those that were about to die."""
MIN_GAP_SHARE = 0.05
"""Gap of mean logits in standard deviations: 0.3 and more where the discriminator leads."""
MAX_OVERFITTING = 0.5
"""0.12 and 0.18 at the end of two quickstarts with 10,000 images; with 50, 0.9 and 1.0, with augmentation 0.5 and 0.6
(docs/results/few_images.md)."""
MAX_LOGIT_GAP, MAX_LOSS_OF_WINNER = 4.0, 0.1
"""The hinge loss has no gradient where each side is beyond its margin of 1, a gap of 2; twice that is far."""

_SMALLER_STEPS = "lower --discriminator_learning_rate or set --discriminator_pooling=mean"
_STRONGER = "raise --discriminator_steps_per_step, or lower --generator_learning_rate"

SIGNS: dict[str, Sign] = {
    DEAD: Sign(
        scalar="generator_gradient_norm",
        needs=("real_logits", "fake_logits"),
        is_unhealthy=is_dead,
        healthy="above 0",
        meaning="Every unit of the discriminator's last feature map is 0 for every image: all images have the same "
        "logit, no gradient passes, and neither network ever learns again.",
        advice=f"Train anew in another --run_dir: {_SMALLER_STEPS}.",
        is_final=True,
    ),
    "dying discriminator": Sign(
        scalar=DEAD_UNITS,
        needs=(),
        is_unhealthy=lambda values: values[DEAD_UNITS] >= MAX_DEAD_UNITS,
        healthy=f"below {MAX_DEAD_UNITS}",
        meaning="The share of channels of the discriminator's last feature map that are 0 for a whole batch of real "
        "and generated images; at 1 the discriminator is dead.",
        advice=f"Train anew in another --run_dir: {_SMALLER_STEPS}.",
        patience=2,
    ),
    "constant logits": Sign(
        scalar=LOGIT_DEVIATION,
        needs=(),
        is_unhealthy=lambda values: values[LOGIT_DEVIATION] < MIN_LOGIT_DEVIATION,
        healthy=f"at least {MIN_LOGIT_DEVIATION}",
        meaning="The standard deviation of the discriminator's logits over real and generated images: without "
        "differences the generator has nothing to follow.",
        advice=f"Train anew in another --run_dir: {_SMALLER_STEPS}.",
        patience=2,
    ),
    "weak discriminator": Sign(
        scalar=LOGIT_GAP,
        needs=(LOGIT_DEVIATION,),
        is_unhealthy=lambda values: abs(values[LOGIT_GAP]) < MIN_GAP_SHARE * values[LOGIT_DEVIATION],
        healthy=f"at least {MIN_GAP_SHARE} standard deviations of the logits",
        meaning="The mean logit of real images less that of generated ones: a discriminator that cannot tell them "
        "apart does not keep the generator's images diverse.",
        advice=f"Make the discriminator stronger: {_STRONGER}.",
        patience=3,
    ),
    "winning discriminator": Sign(
        scalar=LOGIT_GAP,
        needs=(SEPARATION, LOSS),
        is_unhealthy=lambda values: (
            values[SEPARATION] == 1.0 and values[LOGIT_GAP] > MAX_LOGIT_GAP and abs(values[LOSS]) < MAX_LOSS_OF_WINNER
        ),
        healthy=f"at most {MAX_LOGIT_GAP}, where every real image has a higher logit than every generated one and the "
        f"discriminator's loss is below {MAX_LOSS_OF_WINNER}",
        meaning="The discriminator has won: its loss is at its minimum, and its logits no longer say which generated "
        "images are better.",
        advice="Make the discriminator weaker: lower --discriminator_learning_rate or --discriminator_steps_per_step.",
        patience=3,
    ),
    "overfitting discriminator": Sign(
        scalar=OVERFITTING,
        needs=(),
        is_unhealthy=lambda values: values[OVERFITTING] > MAX_OVERFITTING,
        healthy=f"at most {MAX_OVERFITTING}",
        meaning="The mean logit of training images less that of held-out images, divided by the mean logit of training "
        "images less that of generated ones: at 1 the discriminator has memorized its training images and gives "
        "held-out images the logits of generated ones.",
        advice="Begin a new run in another --run_dir with more images, with --augment=color,translation,cutout or, "
        "where that is set, with a higher --lecam_weight; until then use an earlier checkpoint.",
        patience=3,
    ),
    "few latent directions": Sign(
        scalar=LATENT_RANK_SHARE,
        needs=(),
        is_unhealthy=lambda values: values[LATENT_RANK_SHARE] < MIN_LATENT_RANK_SHARE,
        healthy=f"at least {MIN_LATENT_RANK_SHARE}",
        meaning="The stable rank of the generator's first kernel by its size: the latents act through few directions, "
        "so that images differ in few ways.",
        advice=f"Make the discriminator stronger: {_STRONGER}; use an earlier checkpoint.",
    ),
    "similar samples": Sign(
        scalar=DISTANCE_RATIO,
        needs=(),
        is_unhealthy=lambda values: values[DISTANCE_RATIO] < MIN_DISTANCE_RATIO,
        healthy=f"at least {MIN_DISTANCE_RATIO}",
        meaning="The mean distance of two samples of a class, divided by that of two real images: where it is small, "
        "all samples of a class are nearly one image (mode collapse).",
        advice=f"Make the discriminator stronger: {_STRONGER}; use an earlier checkpoint.",
        patience=3,
    ),
}
"""The signs by name, in the order of the report."""
