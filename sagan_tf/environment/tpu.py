"""TPU chips, found without TensorFlow."""

from __future__ import annotations

import os
import pathlib

_DEVICES = ("dev/accel[0-9]*", "dev/vfio/[0-9]*")
"""Device files of TPUs up to v4, and from v5e on."""
_LOAD_LIBRARY = "TPU_LOAD_LIBRARY"


def has_tpu(root: str | os.PathLike[str] = "/") -> bool:
    """Return whether this machine has the device files of a TPU.

    Other devices that are passed through to a virtual machine have the same device files, so there may be no TPU.

    Args:
        root: The directory that contains `dev`.
    """
    return any(any(pathlib.Path(root).glob(pattern)) for pattern in _DEVICES)


def skip_tpu_library_without_tpu() -> None:
    """Keep TensorFlow from loading the TPU library on a machine without a TPU.

    Call it before TensorFlow is imported. During its import, tensorflow-tpu asks the metadata server of a TPU VM for
    the type of the TPU. Other machines have no such server, and the import tries for more than 25 minutes. A value of
    TPU_LOAD_LIBRARY that is set already is kept (1: load the library). Other builds of TensorFlow do not read it.
    """
    if not has_tpu():
        os.environ.setdefault(_LOAD_LIBRARY, "0")
