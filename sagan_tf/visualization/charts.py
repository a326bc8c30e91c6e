"""Charts of a run's curves, for TensorBoard's Custom Scalars page and for the report."""

from __future__ import annotations

CHARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "Main curves": {
        "losses": ("discriminator_loss", "generator_loss"),
        "logits: real above fake, with a bounded distance": ("real_logits", "fake_logits"),
        "attention gates (gamma); 0: attention is not used": ("gamma/.*",),
        "gradient norms": ("discriminator_gradient_norm", "generator_gradient_norm"),
        "ADA: probability of augmentation; mean sign of real logits": ("augment_probability", "real_logit_signs"),
        "R1 and R2: squared norms of the logits' image gradients": ("r1_penalty", "r2_penalty"),
        "consistency, LeCam: squared differences of logits": (".*consistency_penalty", "lecam_penalty"),
        "squared distances of images of close latents": ("latent_diversity",),
        "orthogonal regularization: squared products of filters": ("orthogonal_penalty",),
        "metrics": ("evaluation/.*",),
        "images per second": ("images_per_second",),
    },
    "Health": {
        "stable rank of latent kernels: number of used directions": (
            "health/latent_stable_rank",
            "health/block_latent_stable_rank",
        ),
        "stable rank relative to the largest possible rank": ("health/latent_stable_rank_share",),
        "largest singular values of the generator's first kernel": (r"health/latent_singular_value_\d",),
        "smallest stable rank of a class table": ("health/class_table_stable_rank",),
        "ratio of distances within a class: samples / real images": ("health/sample_distance_ratio",),
        "share of dead units in the discriminator's last feature map": ("health/dead_units",),
        "range of the logits; 0: the discriminator is dead": ("logit_range",),
        "logits: deviation; mean of real minus mean of generated": ("health/logit_deviation", "health/logit_gap"),
        "separation (AUC): real logit above generated logit": ("health/separation",),
        "discriminator loss relative to the loss of a guess": ("health/discriminator_loss_share",),
        "mean logit of training images minus held-out images": ("health/held_out_gap",),
        "overfitting: ratio of held-out gap to generated-image gap": ("health/overfitting",),
    },
    "Spectral norms": {
        "sigma of the generator's raw kernels": ("sigma/generator/.*",),
        "sigma of the discriminator's raw kernels": ("sigma/discriminator/.*",),
    },
}
"""Categories with their charts, and regular expressions for the names of the curves in each chart."""
