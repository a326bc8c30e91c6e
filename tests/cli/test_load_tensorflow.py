"""Tests of the import of TensorFlow without its messages."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("has_gpu", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_import_is_silent_and_later_errors_are_shown_with_a_gpu(has_gpu):
    program = (
        "import os, sys\n"
        "from sagan_tf.cli import load_tensorflow as module\n"
        f"module.has_nvidia_gpu = lambda: {has_gpu}\n"
        "module.load_tensorflow()\n"
        "assert 'tensorflow' in sys.modules and os.environ['CUDA_CACHE_MAXSIZE']\n"
        "print('after the import', file=sys.stderr)\n"
        "import tensorflow as tf\n"
        "assert tf.config.list_physical_devices('GPU') == []\n"
        "from sagan_tf.config import DataConfig\n"
        "from sagan_tf.data.sources.registry import open_source\n"
        "open_source(DataConfig(dataset='fashion_mnist_10k'), resolution=32, image_channels=1)\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
        "print(tf.test.is_built_with_cuda())\n"
    )
    environment = {"PATH": "", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, env=environment
    )
    first, *errors = done.stderr.splitlines()
    assert first == "after the import"
    assert bool(errors) is (has_gpu and done.stdout == "True\n")
    assert all(line.startswith("E") for line in errors)
