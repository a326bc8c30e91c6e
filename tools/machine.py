"""Facts about the machine and its software, for records of measurements."""

from __future__ import annotations

import contextlib
import os
import platform
from importlib import metadata
from typing import Any

from sagan_tf.environment.cores import count_usable_cores
from sagan_tf.exporting.model_card import read_git_revision


def collect_machine_facts() -> dict[str, Any]:
    """Return processor, cores, memory and versions."""
    return {
        "processor": _read_processor_name(),
        "cores": count_usable_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "tensorflow": _find_tensorflow_version(),
        "keras": metadata.version("keras"),
    }


def describe_machine(about: dict[str, Any]) -> str:
    """Return one line about the machine that `collect_machine_facts` describes."""
    cores, memory = about["cores"], about["memory_bytes"] / 2**30
    return (
        f"{about['processor']}, {cores} {'core' if cores == 1 else 'cores'}, {memory:.0f} GiB; "
        f"Python {about['python']}, TensorFlow {about['tensorflow']}, Keras {about['keras']}"
    )


def describe_origin() -> dict[str, str]:
    """Return the machine and, in a git checkout, the `git_revision` of the sources, for a record."""
    revision = read_git_revision()
    about = {"machine": describe_machine(collect_machine_facts())}
    return about | {"git_revision": revision} if revision else about


def _find_tensorflow_version() -> str:
    """Return the version of TensorFlow, which several packages provide."""
    for name in ("tensorflow", "tensorflow-cpu", "tensorflow-tpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "unknown"


def _read_processor_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
