"""The strategy for the chips of one TPU virtual machine."""

from __future__ import annotations

import importlib.metadata
import logging
import os

import tensorflow as tf

from sagan_tf.environment.tpu import has_tpu
from sagan_tf.errors import UserError
from sagan_tf.text import one_line

_logger = logging.getLogger("sagan_tf")
_NAME = "TPU_NAME"
_LOCAL = "local"
_SYSTEM_DEVICE = "TPU_SYSTEM"
"""The device by which TensorFlow starts TPU chips; only a build with TPU support that has loaded libtpu has it."""
_NO_TPU = (
    "strategy: expected a TPU for tpu, found no /dev/accel* or /dev/vfio on this machine; run it on a TPU VM, or pass "
    "--strategy=auto"
)


def is_tpu_wanted() -> bool:
    """Return whether `--strategy=auto` means a TPU: whether TPU_NAME asks for one or TensorFlow has found one."""
    return bool(os.environ.get(_NAME) or tf.config.list_physical_devices(_SYSTEM_DEVICE))


def create_tpu_strategy(precision: str = "float32") -> tf.distribute.Strategy:
    """Start the TPU chips of this machine and return the strategy that computes on all of them.

    Only a TPU of this machine can be used: the input pipeline decodes images in this process, and workers that are
    reached by an address cannot call it. So nothing waits for a network here.

    Args:
        precision: What training will compute in: `float32` or `mixed_bfloat16`.

    Raises:
        UserError: There is no TPU, TensorFlow was built without support for it, it cannot be started, or it does not
            compute in `precision`.
    """
    if precision == "mixed_float16":
        raise UserError(
            "precision: expected float32 or mixed_bfloat16 for a TPU, whose half precision is bfloat16, received "
            "mixed_float16"
        )
    name = os.environ.get(_NAME) or _LOCAL
    if name != _LOCAL:
        raise UserError(
            f"{_NAME}: expected {_LOCAL}, since images are decoded in the process that trains, which has to run on the "
            f"TPU VM itself, received {name!r}; unset {_NAME}, or pass --strategy=one_device or mirrored"
        )
    if not tf.config.list_physical_devices(_SYSTEM_DEVICE):
        raise UserError(f"strategy: expected a TPU that can be used: {_explain_unusable()}" if has_tpu() else _NO_TPU)
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(_LOCAL)
    except (ValueError, OSError, RuntimeError, tf.errors.OpError) as error:
        reason = one_line(str(error))[:500]
        raise UserError(
            f"strategy: the TPU of this machine cannot be started ({reason}); --strategy=one_device does without it"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def warn_of_unused_tpu() -> None:
    """Log why this machine's TPU is not used, if it seems to have one; with GPUs, the device files may be theirs."""
    if has_tpu() and not tf.config.list_physical_devices("GPU"):
        _logger.warning("this machine seems to have a TPU, which is not used: %s", _explain_unusable())


def _explain_unusable() -> str:
    """Return why TensorFlow does not find the TPU of this machine, and what to do."""
    if _is_installed("tensorflow-tpu"):
        return (
            "tensorflow-tpu does not find it; another process may be using it, or libtpu is missing "
            "(TF_CPP_MIN_LOG_LEVEL=0 logs the reason)"
        )
    return (
        f"TensorFlow {tf.__version__} is built without TPU support; install tensorflow-tpu in its place, as "
        "tools/launch/tpu-requirements.txt says"
    )


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
