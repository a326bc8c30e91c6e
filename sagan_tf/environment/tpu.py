"""TPU chips as the machine and the environment show them, found without TensorFlow."""

from __future__ import annotations

import os
import pathlib

_DEVICES = ("dev/accel[0-9]*", "dev/vfio/[0-9]*")  # up to v4, and from v5e on
_LOAD_LIBRARY = "TPU_LOAD_LIBRARY"


def has_tpu(root: str | os.PathLike[str] = "/") -> bool:
    """Return whether this machine may have a TPU: whether it has the device files of one.

    Other devices that are handed to a virtual machine have such files too.

    Args:
        root: The directory in which `dev` is.
    """
    return any(any(pathlib.Path(root).glob(pattern)) for pattern in _DEVICES)


def skip_tpu_library_without_tpu() -> None:
    """Keep TensorFlow from loading the TPU library on a machine without a TPU. Call it before TensorFlow is imported.

    When it is imported, tensorflow-tpu asks the metadata server of a TPU VM for the type of the TPU. On other machines
    there is no such server, and the import tries for more than 25 minutes. A value that the environment has for
    TPU_LOAD_LIBRARY is kept (1: load the library). Other builds of TensorFlow do not read it.
    """
    if not has_tpu():
        os.environ.setdefault(_LOAD_LIBRARY, "0")
