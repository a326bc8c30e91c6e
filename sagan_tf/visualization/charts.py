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
        "stable rank of the latents' kernels: number of directions through which they act": (
            "health/latent_stable_rank",
            "health/block_latent_stable_rank",
        ),
        "stable rank of the latents' kernels, as a share of the largest possible value": (
            "health/latent_stable_rank_share",
        ),
        "largest singular values of the generator's first kernel": (r"health/latent_singular_value_\d",),
        "smallest stable rank of a class table": ("health/class_table_stable_rank",),
        "ratio of the distance between samples of a class to the distance between real images of a class": (
            "health/sample_distance_ratio",
        ),
        "share of dead units in the discriminator's last feature map": ("health/dead_units",),
        "range of the logits in training: 0 is a dead discriminator": ("logit_range",),
        "logits: standard deviation over all images; mean of real images less mean of generated images": (
            "health/logit_deviation",
            "health/logit_gap",
        ),
        "separation: probability that a real image has a higher logit than a generated image (AUC)": (
            "health/separation",
        ),
        "discriminator's loss, as a share of the loss where all images have the same logit": (
            "health/discriminator_loss_share",
        ),
        "mean logit of training images less that of held-out images": ("health/held_out_gap",),
        "overfitting: ratio of the gap between training and held-out images to that between training and generated": (
            "health/overfitting",
        ),
    },
    "Spectral norms": {
        "sigma of the generator's raw kernels": ("sigma/generator/.*",),
        "sigma of the discriminator's raw kernels": ("sigma/discriminator/.*",),
    },
}
"""Categories, their charts, and the names of curves (regular expressions) in each."""
