"""Options of losses, optimizers, schedule and output of a run."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.option import (
    check_at_least_zero,
    check_every_field,
    check_fraction_below_one,
    check_positive,
    option,
)
from sagan_tf.config.option_names import (
    AUGMENTATIONS,
    LABEL_SAMPLINGS,
    LEARNING_RATE_SCHEDULES,
    LOSSES,
    PRECISIONS,
    describe_names,
)
from sagan_tf.config.shared_options import logical_cpus_option, seed_option, strategy_option
from sagan_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Losses, optimizers, schedule and output of a run."""

    run_dir: str = option(
        "runs/sagan", "Directory that the run writes; a run in this directory is resumed.", changeable=True
    )
    seed: int = seed_option("the weights, the order of the data, the latents and the fake labels")
    loss: str = option("hinge", f"Loss: {describe_names(LOSSES)}.")
    label_sampling: str = option(
        "uniform",
        f"How the labels of real and fake images are drawn: {describe_names(LABEL_SAMPLINGS)}. For classes with "
        "different numbers of images.",
        choices=tuple(LABEL_SAMPLINGS),
        added_later=True,
    )
    augment: tuple[str, ...] = option(
        (),
        f"Comma list of differentiable augmentations (Zhao et al. 2020): {', '.join(AUGMENTATIONS)}. They are applied "
        "in the given order to all real and fake images that the discriminator sees; empty: none. For small data sets.",
        added_later=True,
    )
    ada_target: float = option(
        0.0,
        "Above 0: adaptive augmentation (ADA, Karras et al. 2020: 0.6). Each augmentation is applied to each image "
        "with a probability that rises while E[sign(D(real))] is above this number and falls while it is below; for "
        "the losses hinge and non_saturating. 0: every augmentation is applied to every image.",
        added_later=True,
    )
    ada_speed_images: int = option(
        500_000,
        "Number of real images in which ADA's probability can rise from 0 to 1 (Karras et al. 2020: 500,000).",
        added_later=True,
    )
    global_batch_size: int = option(256, "Number of real images in one discriminator update, over all replicas.")
    num_steps: int = option(1_000_000, "Number of generator updates in the whole run.", changeable=True)
    discriminator_steps_per_step: int = option(1, "Number of discriminator updates before each generator update.")
    gradient_accumulation_steps: int = option(
        1,
        "Number of parts into which the batch of each replica is split to save memory; batch statistics are then "
        "computed over each part.",
    )
    generator_learning_rate: float = option(1e-4, "Adam's learning rate for the generator (TTUR, paper section 4).")
    discriminator_learning_rate: float = option(
        4e-4, "Adam's learning rate for the discriminator (TTUR, paper section 4)."
    )
    learning_rate_schedule: str = option(
        "constant",
        f"Decay of both learning rates to 0 after learning_rate_decay_start: {describe_names(LEARNING_RATE_SCHEDULES)}."
        " It depends on the step only; metrics.jsonl has the learning rates.",
        added_later=True,
    )
    learning_rate_decay_start: int = option(0, "Step at which the learning rates start to fall.", added_later=True)
    learning_rate_decay_steps: int = option(
        0, "Number of steps in which the learning rates fall to 0.", added_later=True
    )
    learning_rate_warmup_steps: int = option(
        0,
        "Number of steps at the start of the run in which the learning rates rise linearly from 0; 0: no warm-up.",
        added_later=True,
    )
    adam_beta1: float = option(0.0, "Adam's decay of the first moment.")
    adam_beta2: float = option(0.999, "Adam's decay of the second moment: 0.9 in the paper, 0.999 in its code.")
    adam_epsilon: float = option(1e-8, "Adam's epsilon.")
    ema_decay: float = option(
        0.999,
        "Decay of the EMA generator, the exponential moving average of the generator's weights; 0: a copy of the "
        "generator.",
    )
    ema_start_step: int = option(2000, "Step until which the EMA generator is a copy of the generator.")
    ema_half_life_images: int = option(
        0,
        "Replaces ema_decay: number of generated images after which a weight counts half in the EMA generator (Karras "
        "et al. 2020: StyleGAN2 10000 at batch 32, StyleGAN2-ADA 500000 for CIFAR-10); 0: ema_decay.",
        added_later=True,
    )
    ema_ramp_up: float = option(
        0.0,
        "Largest half-life as a fraction of the images generated so far (StyleGAN2-ADA: 0.05); 0: no limit.",
        added_later=True,
    )
    precision: str = option(
        "float32",
        f"Precision of the computation: {describe_names(PRECISIONS)}. Sigma and statistics are always float32.",
        choices=tuple(PRECISIONS),
    )
    tf32: bool = option(
        True,
        "Multiply float32 in TensorFloat-32 (10 bits of mantissa; faster) on NVIDIA GPUs from Ampere on. Evaluation, "
        "sampling and export never use it.",
        changeable=True,
    )
    deterministic: bool = option(
        False,
        "Use only operations that give the same bits in every run on the same device; slower on GPUs. CPUs always do.",
        changeable=True,
    )
    jit_compile: bool = option(False, "Compile the two updates with XLA.")
    strategy: str = strategy_option("Another number of replicas changes batch statistics that are not synchronized.")
    collectives: str = option(
        "auto",
        "Exchange of gradients between several workers: auto (nccl between GPUs, else ring), nccl, or ring (through "
        "host memory; works everywhere).",
        choices=("auto", "nccl", "ring"),
        changeable=True,
    )
    logical_cpus: int = logical_cpus_option()
    steps_per_loop: int = option(
        100,
        "Largest number of steps in one call of the compiled loop; calls are shorter if they would take longer than "
        "about 20 seconds.",
        changeable=True,
    )
    log_every: int = option(100, "Steps between scalars in metrics.jsonl and TensorBoard.", changeable=True)
    sample_every: int = option(1000, "Steps between sample grids and attention maps.", changeable=True)
    health_every: int | None = option(
        None,
        "Steps between checks of the run's health (docs/training.md); 0: no checks; unset: sample_every.",
        changeable=True,
    )
    on_unhealthy: str = option(
        "stop_dead",
        "Reaction to a sign of an unhealthy run: warn (always only a warning), stop_dead (a warning, but end the run "
        "if the discriminator is dead, from which no run recovers) or stop (end the run, after a checkpoint unless the "
        "discriminator is dead). The sign of a winning discriminator is checked with all losses but wasserstein, which "
        "has no minimum.",
        choices=("warn", "stop_dead", "stop"),
        changeable=True,
    )
    histogram_every: int = option(0, "Steps between histograms of the weights; 0: no histograms.", changeable=True)
    profile_steps: tuple[int, ...] = option(
        (), "FIRST,LAST: profile the steps after FIRST up to LAST for TensorBoard; empty: no profile.", changeable=True
    )
    checkpoint_every: int = option(1000, "Steps between checkpoints.", changeable=True)
    keep_checkpoints: int = option(3, "Number of newest checkpoints to keep.", changeable=True)
    on_non_finite: str = option(
        "stop",
        "Reaction to a loss or gradient that is not finite: stop, or rollback (continue from the last good checkpoint "
        "with other latents and another order of the images).",
        choices=("stop", "rollback"),
        changeable=True,
    )
    max_rollbacks: int = option(3, "Largest number of rollbacks in a run.", changeable=True)

    def __post_init__(self) -> None:
        check_positive(self, "global_batch_size", "num_steps", "discriminator_steps_per_step")
        check_positive(self, "gradient_accumulation_steps", "generator_learning_rate", "discriminator_learning_rate")
        check_positive(self, "adam_epsilon", "logical_cpus", "steps_per_loop", "log_every", "sample_every")
        check_positive(self, "checkpoint_every", "keep_checkpoints", "max_rollbacks", "ada_speed_images")
        if self.health_every is not None:
            check_at_least_zero(self, "health_every")
        check_at_least_zero(self, "ema_start_step", "ema_half_life_images", "ema_ramp_up", "seed", "histogram_every")
        check_at_least_zero(self, "learning_rate_decay_start", "learning_rate_decay_steps")
        check_at_least_zero(self, "learning_rate_warmup_steps")
        steps = self.profile_steps
        if steps and (len(steps) != 2 or not 0 <= steps[0] < steps[1]):
            received = ",".join(map(str, steps))
            raise UserError(f"profile_steps: expected FIRST,LAST with 0 <= FIRST < LAST, received {received}")
        check_fraction_below_one(self, "adam_beta1", "adam_beta2", "ema_decay", "ada_target")
        check_every_field(self)
        if not self.run_dir:
            raise UserError("run_dir: the name is empty; pass the directory of the run")

    @property
    def learning_rate_end(self) -> int | None:
        """Step from which both learning rates are 0; None if they never fall to 0."""
        if self.learning_rate_schedule == "constant":
            return None
        return self.learning_rate_decay_start + self.learning_rate_decay_steps

    @property
    def health_interval(self) -> int:
        """Steps between checks of the run's health; 0 for no checks."""
        return self.sample_every if self.health_every is None else self.health_every
