"""Which curves of a run belong together: one list for TensorBoard's Custom Scalars page and for the report."""

from __future__ import annotations

CHARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "What matters": {
        "losses": ("discriminator_loss", "generator_loss"),
        "logits: real above fake, apart but not ever further": ("real_logits", "fake_logits"),
        "attention gates (gamma): 0 is attention that is not used": ("gamma/.*",),
        "gradient norms": ("discriminator_gradient_norm", "generator_gradient_norm"),
        "metrics": ("evaluation/.*",),
        "images a second": ("images_per_second",),
    },
    "Spectral norms": {
        "sigma of the generator's raw kernels": ("sigma/generator/.*",),
        "sigma of the discriminator's raw kernels": ("sigma/discriminator/.*",),
    },
}
"""Categories, their charts, and the names of curves (regular expressions) in each."""
