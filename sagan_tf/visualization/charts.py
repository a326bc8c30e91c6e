"""Which curves of a run belong together: one list for TensorBoard's Custom Scalars page and for the report."""

from __future__ import annotations

CHARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "What matters": {
        "losses": ("discriminator_loss", "generator_loss"),
        "logits: real above fake, apart but not ever further": ("real_logits", "fake_logits"),
        "attention gates (gamma): 0 is attention that is not used": ("gamma/.*",),
        "gradient norms": ("discriminator_gradient_norm", "generator_gradient_norm"),
        "adaptive augmentation: its probability rises while the mean sign of real logits is above --ada_target": (
            "augment_probability",
            "real_logit_signs",
        ),
        "squared norms of the logits' gradients at the images (R1, R2)": ("r1_penalty", "r2_penalty"),
        "squared distances of logits that should be equal (consistency, LeCam)": (
            ".*consistency_penalty",
            "lecam_penalty",
        ),
        "squared distances of images of close latents": ("latent_diversity",),
        "squared products of different filters (orthogonal regularization)": ("orthogonal_penalty",),
        "metrics": ("evaluation/.*",),
        "images a second": ("images_per_second",),
    },
    "Health": {
        "directions through which the latents act (stable rank)": ("health/latent_stable_rank",),
        "largest singular values of the latents' kernel": (r"health/latent_singular_value_\d",),
        "smallest stable rank of a class table": ("health/class_table_stable_rank",),
        "distance of samples within a class, by that of real images": ("health/sample_distance_ratio",),
        "share of dead units in the discriminator's last feature map": ("health/dead_units",),
        "logits: deviation over all images, real less generated": ("health/logit_deviation", "health/logit_gap"),
        "mean logit of training images less that of held-out images": ("health/held_out_gap",),
        "overfitting: lead of training over held-out images by lead over generated ones": ("health/overfitting",),
        "a real image's logit is above a generated one's (probability)": ("health/separation",),
    },
    "Spectral norms": {
        "sigma of the generator's raw kernels": ("sigma/generator/.*",),
        "sigma of the discriminator's raw kernels": ("sigma/discriminator/.*",),
    },
}
"""Categories, their charts, and the names of curves (regular expressions) in each."""
