"""What has to be settled before TensorFlow starts."""

import contextlib
import gc
import os
import signal
import threading
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notices would bury what the tests print
# Oracles and bit-identical runs are promised for CPUs. Who sets this to a GPU tests it, in float32.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import hypothesis
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

# The same examples in every run, however slow the machine: what fails here fails everywhere.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

# A background process of a shell ignores SIGINT, and so do its children, of which tests interrupt some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _split_cpu(devices: int) -> None:
    """Lets tests run MirroredStrategy(["CPU:0", "CPU:1"]); impossible once TensorFlow has started."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)


@contextlib.contextmanager
def _forget_custom_gradients() -> Iterator[list[str]]:
    """Remove the gradients that are registered in this context, at its end; list their names.

    `tf.custom_gradient` registers a function for every call that is traced, under a name of its own and for the whole
    life of the process. The function refers to the graph, and so to all graphs around it: about 70 MB a training step.
    """
    registered = ops.gradient_registry._registry
    before, names = set(registered), []
    yield names
    names += [name for name in registered if name.startswith("CustomGradient-") and name not in before]
    for name in names:
        del registered[name]


@pytest.fixture(autouse=True)
def _free_graphs_of_a_test() -> Iterator[None]:
    with _forget_custom_gradients() as names:
        yield
    if names:
        gc.collect()


@pytest.fixture(autouse=True, scope="module")
def _free_graphs_of_a_module() -> Iterator[None]:
    """Also spare the garbage collector what remains, such as TensorFlow itself."""
    with _forget_custom_gradients():
        yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()


_split_cpu(2)
tf.config.experimental.enable_tensor_float_32_execution(False)
