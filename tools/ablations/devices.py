"""Devices on which the runs of a study are trained, each with one run at a time."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence

from sagan_tf.errors import UserError

_GPUS_VARIABLE = "CUDA_VISIBLE_DEVICES"
_NO_GPU = "-1"
_DEVICE = re.compile(r"cpu|(cpu|gpu):(\d+)")


def check_devices(names: Sequence[str]) -> None:
    """Check names of devices.

    Args:
        names: Names such as `cpu`, `cpu:0` and `gpu:1`.

    Raises:
        UserError: A name is not that of a device, is given twice, or is that of a core that this process cannot use.
    """
    for index, name in enumerate(names):
        match = _DEVICE.fullmatch(name)
        if match is None:
            raise UserError(f"devices: expected cpu, cpu:N or gpu:N with a number N, received {name!r}")
        if name in names[:index]:
            raise UserError(f"devices: expected each device once, received {name!r} twice")
        if match[1] == "cpu" and int(match[2]) not in _list_cores():
            cores = ", ".join(map(str, _list_cores())) or "none, as this system cannot bind a process to a core"
            raise UserError(f"devices: expected a core of {cores}, received {name!r}")


@contextlib.contextmanager
def use_device(name: str) -> Iterator[None]:
    """Let the processes that are started inside the context use one device only.

    Args:
        name: A name that `check_devices` accepts, or an empty string for all devices.
    """
    kind, _, number = name.partition(":")
    gpus, cores = os.environ.get(_GPUS_VARIABLE), _list_cores()
    if kind:
        os.environ[_GPUS_VARIABLE] = number if kind == "gpu" else _NO_GPU
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


def _list_cores() -> list[int]:
    """Return the numbers of the cores that this process may use; empty if the system cannot tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
