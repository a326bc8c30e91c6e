"""Settings that must be made before TensorFlow starts, and fixtures of several packages."""

import contextlib
import gc
import os
import pathlib
import random
import signal
import threading
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notices would hide the output of the tests.
# Oracles and bit-identical runs are guaranteed on CPUs. Set this variable to test a GPU, in float32.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from tests.browser import Page, start_browser
from tests.data.sample_folders import build_class_directories

# Use the same examples in every run, without a time limit, so that a failure can be reproduced on every machine.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

# A background process of a shell ignores SIGINT, and so do its children, of which tests interrupt some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _split_cpu(devices: int) -> None:
    """Split the CPU so that tests can run MirroredStrategy(["CPU:0", "CPU:1"]).

    This is impossible after TensorFlow has started.
    """
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)


@contextlib.contextmanager
def _forget_custom_gradients() -> Iterator[list[str]]:
    """Remove the custom gradients that are registered inside the context, and yield a list of their names.

    `tf.custom_gradient` registers a function for every call that is traced, under a unique name and for the whole life
    of the process. The function refers to its graph and thus to all graphs around it: about 70 MB for a training step.
    """
    registered = ops.gradient_registry._registry
    before = set(registered)
    names: list[str] = []
    yield names
    names += [name for name in registered if name.startswith("CustomGradient-") and name not in before]
    for name in names:
        del registered[name]


@pytest.fixture(scope="session")
def _browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    with start_browser(str(tmp_path_factory.mktemp("profile"))) as pipes:
        yield pipes


@pytest.fixture
def browser(_browser: tuple[int, int]) -> Iterator[Page]:
    """Return a new page of the browser that all tests share."""
    page = Page(*_browser)
    yield page
    page.close()


@pytest.fixture(scope="session")
def class_directories(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory with 2 class subdirectories of 6 images each, which no test changes."""
    data_dir = tmp_path_factory.mktemp("class_directories")
    build_class_directories(data_dir)
    return data_dir


@pytest.fixture(autouse=True, scope="module")
def _seed_module() -> None:
    """Seed all random numbers, also TensorFlow's, at the start of a file of tests.

    Not before each test, because `tf.random.set_seed` removes all compiled kernels from TensorFlow's cache.
    """
    keras.utils.set_random_seed(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Give the networks of a test the same random weights in every run, whatever has run before in this process.

    Keras draws the seeds of initializers from Python's generator.
    """
    random.seed(1)
    np.random.seed(1)


@pytest.fixture(autouse=True)
def _free_graphs_of_test() -> Iterator[None]:
    with _forget_custom_gradients() as names:
        yield
    if names:
        gc.collect()


@pytest.fixture(autouse=True, scope="module")
def _free_graphs_of_module() -> Iterator[None]:
    """Free graphs, and exclude the remaining objects, such as TensorFlow's, from garbage collection for good."""
    with _forget_custom_gradients():
        yield
    gc.collect()
    gc.freeze()


_split_cpu(2)
tf.config.experimental.enable_tensor_float_32_execution(False)
