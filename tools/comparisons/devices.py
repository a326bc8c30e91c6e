"""Devices on which the runs of a comparison are trained, each with one run at a time."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from sagan_tf.config.option import option
from sagan_tf.environment.cores import list_usable_cores
from sagan_tf.environment.cuda import has_nvidia_gpu, list_visible_devices
from sagan_tf.errors import UserError

_GPUS_VARIABLE = "CUDA_VISIBLE_DEVICES"
_NO_GPU = "-1"
_DEVICE = re.compile(r"cpu|(cpu|gpu):(\d+)")


def devices_option() -> Any:
    """Declare the option of the devices of a comparison."""
    return option(
        (),
        "Comma list of devices, each of which trains one run at a time: cpu (all cores, no GPU), cpu:N (the core N) or "
        "gpu:N (the GPU N of those that are visible). With two devices, two runs are trained at the same time. Empty: "
        "one run at a time, on all devices.",
    )


def check_device_names(names: Sequence[str]) -> None:
    """Check names of devices, which may be those of another machine.

    Args:
        names: Names such as `cpu`, `cpu:0` and `gpu:1`.

    Raises:
        UserError: A name is not that of a device, or is given twice.
    """
    for index, name in enumerate(names):
        if not _DEVICE.fullmatch(name):
            raise UserError(f"devices: expected cpu, cpu:N or gpu:N with a number N, received {name!r}")
        if name in names[:index]:
            raise UserError(f"devices: expected each device once, received {name!r} twice")


def check_devices_exist(names: Sequence[str]) -> None:
    """Check that this process can use devices.

    Args:
        names: Names that `check_device_names` accepts.

    Raises:
        UserError: This process cannot use a core or a GPU.
    """
    for name in names:
        kind, _, number = name.partition(":")
        if kind == "gpu":
            _find_gpu(int(number))
        elif number and int(number) not in list_usable_cores():
            cores = ", ".join(map(str, list_usable_cores())) or "none, as this system cannot bind a process to a core"
            raise UserError(f"devices: expected a core of {cores}, received {name!r}")


@contextlib.contextmanager
def use_device(name: str) -> Iterator[None]:
    """Let the processes that are started inside the context use one device only.

    A process that is bound to a core computes with one thread: TensorFlow and NumPy count the cores that they may use.

    Args:
        name: A name that `check_devices_exist` accepts, or an empty string for all devices.
    """
    kind, _, number = name.partition(":")
    gpus, cores = os.environ.get(_GPUS_VARIABLE), list_usable_cores()
    if kind:
        os.environ[_GPUS_VARIABLE] = _find_gpu(int(number)) if kind == "gpu" else _NO_GPU
    if kind == "cpu" and number:
        os.sched_setaffinity(0, {int(number)})
    try:
        yield
    finally:
        if kind and gpus is None:
            del os.environ[_GPUS_VARIABLE]
        elif gpus is not None:
            os.environ[_GPUS_VARIABLE] = gpus
        if kind == "cpu" and number:
            os.sched_setaffinity(0, cores)


def _find_gpu(index: int) -> str:
    """Return what CUDA calls the GPU with an index: its number, or its entry in CUDA_VISIBLE_DEVICES.

    Raises:
        UserError: This process cannot see such a GPU.
    """
    if not has_nvidia_gpu():
        raise UserError(f"devices: expected a device that exists, received 'gpu:{index}', and found no NVIDIA GPU")
    visible = list_visible_devices()
    if visible is None:
        return str(index)
    if index >= len(visible):
        raise UserError(
            f"devices: expected a GPU from gpu:0 to gpu:{len(visible) - 1}, the entries of {_GPUS_VARIABLE}, received "
            f"'gpu:{index}'"
        )
    return visible[index]
