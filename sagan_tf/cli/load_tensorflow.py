"""Import of TensorFlow without the messages that it prints meanwhile."""

from __future__ import annotations

import logging
import os
import sys

from sagan_tf.cli.console import open_closed_descriptors
from sagan_tf.environment.cuda import has_nvidia_gpu, prepare_cuda
from sagan_tf.environment.keras_settings import load_keras
from sagan_tf.environment.tpu import skip_tpu_library_without_tpu

_VERBOSITY = "TF_CPP_MIN_LOG_LEVEL"
_ERRORS_ONLY, _SILENT = "2", "3"


def load_tensorflow() -> None:
    """Import TensorFlow without its messages on standard error.

    The messages would hide the single line that an error message of this package takes. TensorFlow's libraries print
    some of them before they read any setting, so standard error is redirected to the null device during the import.
    Errors still arrive as Python exceptions. Afterwards, the errors that TensorFlow logs are shown on machines with an
    NVIDIA GPU, where they say why the driver or cuDNN cannot be used. (On other machines TensorFlow logs the missing
    driver as an error.) If TF_CPP_MIN_LOG_LEVEL is set, nothing is hidden.

    Keras gets its default settings, so that results do not depend on the user's settings. CUDA gets a large cache for
    compiled kernels.

    Raises:
        UserError: This process has already imported Keras with another backend.
    """
    skip_tpu_library_without_tpu()
    prepare_cuda()
    if "tensorflow" in sys.modules or _VERBOSITY in os.environ:
        load_keras(read_user_settings=False)
        return
    os.environ[_VERBOSITY] = _ERRORS_ONLY if has_nvidia_gpu() else _SILENT
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    open_closed_descriptors()
    if sys.stderr is not None:
        sys.stderr.flush()
    standard_error = os.dup(2)
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, 2)
    try:
        load_keras(read_user_settings=False)
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(null_device)
