"""Options that several commands have, each declared once."""

from __future__ import annotations

from typing import Any

from sagan_tf.config.option import option
from sagan_tf.config.option_names import EXTRACTORS, describe_names
from sagan_tf.errors import UserError

_NAMED_CHECKPOINTS = ("latest", "best")
_OTHER_EXTRACTORS = {
    "the directory of a SavedModel": "which is called with float32 images in [-1, 1] at its own input size"
}
_LOCAL_STRATEGIES = {"one_device": "", "mirrored": "each device computes its share of every batch"}
_STRATEGIES = {
    "auto": "the first of TPU, several workers, several GPUs and one device that is available",
    **_LOCAL_STRATEGIES,
    "multi_worker": "described by TF_CONFIG, Slurm or Kubernetes",
    "tpu": "the chips of this TPU VM; needs tensorflow-tpu",
}


def run_dir_option(use: str) -> Any:
    """Return the option that names an existing run.

    Args:
        use: What its generator does, for the help text.
    """
    return option("", f"Directory of the run whose generator {use}.")


def checkpoint_option() -> Any:
    """Return the option that names a checkpoint of a run."""
    return option("latest", "Checkpoint of the run: latest, best (kept by --evaluate_every) or a step.")


def check_checkpoint(checkpoint: str) -> None:
    """Raise UserError for a name that no checkpoint has."""
    if checkpoint not in _NAMED_CHECKPOINTS and not checkpoint.isdecimal():
        raise UserError(f"checkpoint: expected latest, best or a step, received {checkpoint!r}")


def generator_weights_option() -> Any:
    """Return the option that chooses between the two generators of a run."""
    return option(
        "ema",
        "Weights of the run's generator: ema (the EMA generator, whose weights are averaged over the training) or live "
        "(the trained generator).",
        choices=("ema", "live"),
    )


def data_dir_option(default: str) -> Any:
    """Return the option that names the directory of the data.

    Args:
        default: The directory if the option is empty, for the help text.
    """
    return option(
        "", f"Directory of the data, or with folder a .zip or .tar archive; empty: {default}.", changeable=True
    )


def seed_option(uses: str) -> Any:
    """Return the option that seeds random numbers.

    Args:
        uses: What the random numbers decide, for the help text.
    """
    return option(0, f"Seed of {uses}.")


def strategy_option(note: str = "") -> Any:
    """Return the option that chooses the devices of a command.

    Args:
        note: A sentence that follows the strategies in the help text.
    """
    help = f"Devices: {describe_names(_STRATEGIES)}. {note}".rstrip()
    return option("auto", help, choices=tuple(_STRATEGIES), changeable=True)


def local_strategy_option() -> Any:
    """Return the option that chooses the devices of a command on one machine."""
    strategies = {"auto": "mirrored with several GPUs, else one_device", **_LOCAL_STRATEGIES}
    return option("auto", f"Devices: {describe_names(strategies)}.", choices=tuple(strategies))


def logical_cpus_option() -> Any:
    """Return the option that splits the CPU into several devices."""
    help = "Number of logical devices that the CPU is split into, to try --strategy=mirrored without GPUs."
    return option(1, help, changeable=True)


def extractor_option(use: str) -> Any:
    """Return the option that chooses the extractor.

    Args:
        use: The beginning of the help text.
    """
    names = describe_names(EXTRACTORS | _OTHER_EXTRACTORS)
    return option("", f"{use}: {names}; empty: that of the run, or inception if the run has none.", changeable=True)


def inception_dir_option() -> Any:
    """Return the option that names the directory of TF-GAN's Inception."""
    return option(
        "",
        "Directory of TF-GAN's Inception; empty: SAGAN_TF_INCEPTION_DIR, or a download from TensorFlow Hub if that is "
        "not set.",
        changeable=True,
    )


def resampling_option(convolutions: str, auto: str) -> Any:
    """Return the option that chooses how resampling is computed.

    Args:
        convolutions: The convolutions next to the resampling, for the help text.
        auto: What `auto` chooses, for the help text.
    """
    forms = {"auto": auto, "strided": "each pair as one convolution", "plain": "one operation after the other"}
    return option(
        "auto",
        f"Computation of {convolutions} and of the resampling next to them: {describe_names(forms)}. The results "
        "differ by rounding only.",
        choices=tuple(forms),
    )


def overwrite_option(output: str) -> Any:
    """Return the option that allows a command to replace its earlier output.

    Args:
        output: The output, for the help text.
    """
    return option(False, f"Replace {output}.")


def labels_option(classes: str, default: str) -> Any:
    """Return the option that chooses classes.

    Args:
        classes: How a class can be given, for the help text.
        default: The classes if the option is empty, for the help text.
    """
    return option(
        (),
        f"Comma list of classes by {classes}. A name with a comma needs double quotes, as in "
        f"""--labels='"tench, Tinca tinca",3'. Empty: {default}.""",
    )


def first_seed_option() -> Any:
    """Return the option that chooses the first of several images."""
    return option(
        0,
        "Seed of the first image; the next images have the seeds after it. Seed, class and truncation determine an "
        "image.",
    )


def truncation_option() -> Any:
    """Return the option that truncates latents."""
    return option(None, "Truncate the latents at +-this value (BigGAN's truncation trick); unset: no truncation.")
