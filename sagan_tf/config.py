"""Every hyper-parameter, declared once: default, help and, where it comes from a publication, its source.

The flags are made from these fields (`sagan_tf.flags`); below the doors, code receives these frozen dataclasses.
The defaults are the schedule with the best published SAGAN result on ImageNet-128 (IS 69.54, FID 12.83; mmgeneration,
"BigGAN schedule").
"""

from __future__ import annotations

import dataclasses
from typing import Any

from sagan_tf.errors import UserError
from sagan_tf.option import check_at_least_zero, check_every_field, check_fraction, check_positive, option

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
    kernel_initializer: str = option(
        "glorot_uniform",
        "Initial weights of convolutions, dense layers and embeddings; the official code and the best published run "
        "have glorot_uniform.",
        choices=("glorot_uniform", "orthogonal", "he_normal"),
    )

    def __post_init__(self) -> None:
        check_positive(self, "resolution", "image_channels", "base_channels", "latent_dim")
        check_positive(self, "spectral_norm_power_iterations", "spectral_norm_epsilon", "batch_norm_epsilon")
        check_at_least_zero(self, "num_classes")
        check_fraction(self, "batch_norm_momentum")
        check_every_field(self)

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


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The training images."""

    dataset: str = option(
        "imagenet2012",
        "fashion_mnist_10k (packaged), folder (images in data_dir, a subfolder a class), tfrecord (made by "
        "tools/prepare_imagenet.py, in data_dir) or the name of a TFDS data set such as imagenet2012 or cifar10.",
    )
    data_dir: str = option("", "Where the data is; empty: TFDS's own default folder.", changeable=True)
    split: str = option("train", "Split to train on; folder has none.")
    random_flip: bool = option(False, "Flip every other image left to right, at random (best published: no).")
    shuffle_buffer_size: int = option(
        16384, "Encoded images held for shuffling where images are read in sequence (TFDS and tfrecord)."
    )

    def __post_init__(self) -> None:
        check_positive(self, "shuffle_buffer_size")
        check_every_field(self)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Losses, optimizers, schedule and what a run writes."""

    run_dir: str = option("runs/sagan", "Folder that the run writes; a run that is there is resumed.", changeable=True)
    seed: int = option(0, "Seed of the weights, the order of the data, the latents and the fake labels.")
    loss: str = option("hinge", "hinge, non_saturating, least_squares or wasserstein.")
    global_batch_size: int = option(256, "Real images in one discriminator update, over all replicas.")
    num_steps: int = option(1_000_000, "Generator updates in the whole run.", changeable=True)
    discriminator_steps_per_step: int = option(1, "Discriminator updates before each generator update.")
    gradient_accumulation_steps: int = option(
        1, "Parts that each replica's batch is cut into to save memory; batch statistics are then a part's own."
    )
    generator_learning_rate: float = option(1e-4, "Adam's learning rate for the generator (TTUR, paper section 4).")
    discriminator_learning_rate: float = option(4e-4, "The same for the discriminator.")
    adam_beta1: float = option(0.0, "Adam's decay of the first moment.")
    adam_beta2: float = option(0.999, "Adam's decay of the second moment: 0.9 in the paper, 0.999 in its code.")
    adam_epsilon: float = option(1e-8, "Adam's epsilon.")
    ema_decay: float = option(0.999, "Decay of the averaged generator; 0 makes it a copy of the generator.")
    ema_start_step: int = option(2000, "Until this step the averaged generator is a copy of the generator.")
    precision: str = option(
        "float32",
        "float32, mixed_bfloat16 or mixed_float16 (with loss scaling); sigma and statistics are always float32.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    jit_compile: bool = option(False, "Compile the two updates with XLA.")
    strategy: str = option(
        "auto",
        "auto (TPU, several workers, several GPUs or one device, whichever is there), one_device, mirrored, "
        "multi_worker (by TF_CONFIG, Slurm or Kubernetes) or tpu. Another number of replicas changes batch statistics "
        "that are not synchronized.",
        choices=("auto", "one_device", "mirrored", "multi_worker", "tpu"),
        changeable=True,
    )
    logical_cpus: int = option(1, "Split the CPU into this many devices: tries mirrored without GPUs.", changeable=True)
    steps_per_loop: int = option(100, "Most steps run in one call of the compiled loop.", changeable=True)
    log_every: int = option(100, "Steps between scalars in metrics.jsonl and TensorBoard.", changeable=True)
    sample_every: int = option(1000, "Steps between sample grids and attention maps.", changeable=True)
    histogram_every: int = option(0, "Steps between histograms of the weights; 0: none.", changeable=True)
    profile_steps: tuple[int, ...] = option(
        (), "FIRST,LAST: profile the steps after FIRST up to LAST for TensorBoard; empty: none.", changeable=True
    )
    checkpoint_every: int = option(1000, "Steps between checkpoints.", changeable=True)
    keep_checkpoints: int = option(3, "Newest checkpoints kept.", changeable=True)
    on_non_finite: str = option(
        "stop",
        "When a loss or gradient is not finite: stop, or rollback to the last good checkpoint and go on with other "
        "latents and another order of the images.",
        choices=("stop", "rollback"),
        changeable=True,
    )
    max_rollbacks: int = option(3, "Most rollbacks in a run.", changeable=True)

    def __post_init__(self) -> None:
        check_positive(self, "global_batch_size", "num_steps", "discriminator_steps_per_step")
        check_positive(self, "gradient_accumulation_steps", "generator_learning_rate", "discriminator_learning_rate")
        check_positive(self, "adam_epsilon", "logical_cpus", "steps_per_loop", "log_every", "sample_every")
        check_positive(self, "checkpoint_every", "keep_checkpoints", "max_rollbacks")
        check_at_least_zero(self, "ema_start_step", "seed", "histogram_every")
        steps = self.profile_steps
        if steps and (len(steps) != 2 or not 0 <= steps[0] < steps[1]):
            received = ",".join(map(str, steps))
            raise UserError(f"profile_steps: expected FIRST,LAST with 0 <= FIRST < LAST, received {received}")
        check_fraction(self, "adam_beta1", "adam_beta2", "ema_decay")
        check_every_field(self)
        if not self.run_dir:
            raise UserError("run_dir: expected a folder, received an empty name")


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """Metrics: which, under which extractor, compared with what."""

    metrics: tuple[str, ...] = option(
        (),
        "Comma list of metrics, such as fid50k,is50k (README, Evaluate); empty: the run's own, and where there is none "
        "fid50k,is50k, or with the extractor fashion_mnist fcd10k,classifier_score10k,label_agreement10k.",
        changeable=True,
    )
    extractor: str = option(
        "",
        "inception (TF-GAN's), fashion_mnist (packaged) or the folder of a SavedModel, which is called with float32 "
        "images in [-1, 1] at its own size; empty: the run's own, and where there is none inception.",
        changeable=True,
    )
    inception_dir: str = option(
        "",
        "Folder of TF-GAN's Inception; empty: SAGAN_TF_INCEPTION_DIR, or else it is fetched from its hub.",
        changeable=True,
    )
    extractor_features: str = option("pool_3", "Name of a SavedModel's output of features.", changeable=True)
    extractor_logits: str = option("logits", "Name of a SavedModel's output of class logits.", changeable=True)
    reference: str = option(
        "",
        "What to compare with: DATASET:SPLIT, a folder of images, or an .npz file made from either; empty: the split "
        "that the run trains on.",
        changeable=True,
    )
    reference_dir: str = option(
        "", "Where references are kept, once computed; empty: sagan_tf/references in the user's cache.", changeable=True
    )
    evaluation_labels: str = option(
        "auto",
        "How the labels of generated images are drawn: uniform (every class alike), reference (in the proportions of "
        "the reference's images) or auto (the run's own, and where there is none uniform).",
        choices=("auto", "uniform", "reference"),
        changeable=True,
    )
    num_samples: int = option(50_000, "Images generated for metrics without a number in their name.", changeable=True)
    evaluation_batch_size: int = option(100, "Images evaluated at once, over all replicas.", changeable=True)
    evaluate_every: int = option(
        0,
        "Steps between evaluations while training; 0: none. The best checkpoint by the first metric is kept in "
        "checkpoints/best.",
        changeable=True,
    )
    collapse_patience: int = option(
        3, "Evaluations in a row that the first metric may get worse before a warning of collapse.", changeable=True
    )

    def __post_init__(self) -> None:
        check_positive(self, "num_samples", "evaluation_batch_size", "collapse_patience")
        check_at_least_zero(self, "evaluate_every")
        check_every_field(self)


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)


PARTS: dict[str, Any] = {field.name: field.default_factory for field in dataclasses.fields(Config)}


def option_fields() -> dict[str, tuple[str, dataclasses.Field[Any]]]:
    """Every hyper-parameter of `Config`: name -> (name of the part that holds it, its field)."""
    return {field.name: (name, field) for name, part in PARTS.items() for field in dataclasses.fields(part)}


def option_values(config: Config) -> dict[str, Any]:
    """The value of every hyper-parameter in `config`, by name."""
    return {name: getattr(getattr(config, part), name) for name, (part, _) in option_fields().items()}
