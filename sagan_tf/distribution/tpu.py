"""Distribution strategy for the chips of one TPU virtual machine."""

from __future__ import annotations

import importlib.metadata
import logging
import os

import tensorflow as tf

from sagan_tf.environment.tpu import has_tpu
from sagan_tf.errors import UserError
from sagan_tf.text import make_single_line

_logger = logging.getLogger("sagan_tf")
_NAME = "TPU_NAME"
_LOCAL = "local"
_SYSTEM_DEVICE = "TPU_SYSTEM"
"""The device with which TensorFlow starts TPU chips. Only a build with TPU support that has loaded libtpu has it."""
_NO_TPU = (
    "strategy: --strategy=tpu finds no TPU (/dev/accel* or /dev/vfio) on this machine; run the command on a TPU VM, or "
    "pass --strategy=auto"
)


def is_tpu_requested() -> bool:
    """Return whether `--strategy=auto` selects a TPU.

    It does if TPU_NAME is set or TensorFlow has found a TPU.
    """
    return bool(os.environ.get(_NAME) or tf.config.list_physical_devices(_SYSTEM_DEVICE))


def create_tpu_strategy(precision: str = "float32") -> tf.distribute.Strategy:
    """Start the TPU chips of this machine and create a strategy for all of them.

    Only a TPU of this machine can be used, because the input pipeline decodes images in this process, and remote
    workers cannot call it. Therefore this function never waits for a network.

    Args:
        precision: The precision of the run: `float32` or `mixed_bfloat16`.

    Raises:
        UserError: There is no TPU, TensorFlow was built without support for it, it cannot be started, or it does not
            support the precision.
    """
    if precision == "mixed_float16":
        raise UserError(
            "precision: expected float32 or mixed_bfloat16 for a TPU, whose half precision is bfloat16, received "
            "mixed_float16"
        )
    name = os.environ.get(_NAME) or _LOCAL
    if name != _LOCAL:
        raise UserError(
            f"{_NAME}: expected {_LOCAL}, because the process that trains also decodes images and must run on the TPU "
            f"VM itself, received {name!r}; unset {_NAME}, or pass --strategy=one_device or mirrored"
        )
    if not tf.config.list_physical_devices(_SYSTEM_DEVICE):
        reason = f"strategy: the TPU of this machine cannot be used: {_explain_unusable_tpu()}"
        raise UserError(reason if has_tpu() else _NO_TPU)
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(_LOCAL)
    except (ValueError, OSError, RuntimeError, tf.errors.OpError) as error:
        reason = make_single_line(str(error))[:500]
        raise UserError(
            f"strategy: the TPU of this machine cannot be started ({reason}); --strategy=one_device does not use it"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def warn_about_unused_tpu() -> None:
    """Log why the TPU of this machine is not used, if there seems to be one.

    On a machine with GPUs nothing is logged, because the device files may be those of the GPUs.
    """
    if has_tpu() and not tf.config.list_physical_devices("GPU"):
        _logger.warning("this machine seems to have a TPU, which is not used: %s", _explain_unusable_tpu())


def _explain_unusable_tpu() -> str:
    """Return why TensorFlow does not find the TPU of this machine and what to do."""
    if _is_installed("tensorflow-tpu"):
        return (
            "tensorflow-tpu does not find it; another process may be using it, or libtpu is missing "
            "(set TF_CPP_MIN_LOG_LEVEL=0 in the environment to see the reason)"
        )
    return (
        f"TensorFlow {tf.__version__} is built without TPU support; replace it by tensorflow-tpu, as described in "
        "tools/launch/tpu-requirements.txt"
    )


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
