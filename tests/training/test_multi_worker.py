"""Tests of two processes that train one run."""

import os

import numpy as np

from tests.distribution.test_cluster import slurm_task
from tests.training import small_training
from tests.training.tiny import PLAIN_NETWORKS, make_state, one_device, tiny_config
from tests.workers import run_workers


def test_two_workers_equal_one_process(tmp_path):
    # Other tests describe workers in TF_CONFIG. The number of the job determines the ports.
    tasks = [slurm_task(rank, job=os.getpid()) for rank in range(2)]
    run_workers([["-m", "tests.training.small_training", str(tmp_path / "two.npz")]] * 2, tasks)
    small_training.train(tmp_path / "one.npz", "one_device")
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert set(one.files) == set(two.files) and one["step"] == two["step"] == small_training.STEPS
        assert one["data_position"] == two["data_position"] == 8 * 2 * small_training.STEPS
        largest = {name: np.abs(one[name].astype(np.float64) - two[name]).max() for name in one.files}
        kernel = next(one[name] for name in one.files if name.endswith("image|image|kernel"))
    assert {name: error for name, error in largest.items() if error > 1e-5} == {}
    initial = make_state(tiny_config(**PLAIN_NETWORKS), one_device()).generator.get_layer("image").layer.kernel
    assert np.abs(kernel - initial).max() > 1e-3
