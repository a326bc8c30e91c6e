"""What has to be settled before TensorFlow starts."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notices would bury what the tests print

import hypothesis
import tensorflow as tf

# The same examples in every run, however slow the machine: what fails here fails everywhere.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def _split_cpu(devices: int) -> None:
    """Lets tests run MirroredStrategy(["CPU:0", "CPU:1"]); impossible once TensorFlow has started."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)


_split_cpu(2)
