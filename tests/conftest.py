"""What has to be settled before TensorFlow starts."""

import gc
import os
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notices would bury what the tests print

import hypothesis
import pytest
import tensorflow as tf

# The same examples in every run, however slow the machine: what fails here fails everywhere.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def _split_cpu(devices: int) -> None:
    """Lets tests run MirroredStrategy(["CPU:0", "CPU:1"]); impossible once TensorFlow has started."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)


@pytest.fixture(autouse=True, scope="module")
def _old_objects_are_not_looked_at_again() -> Iterator[None]:
    """Traced graphs stay for the whole run: going through all of them whenever Python collects took a third of it."""
    yield
    gc.collect()
    gc.freeze()


_split_cpu(2)
