"""Tests of two processes that train one run."""

import os
import pathlib

import numpy as np
import pytest

from tests.distribution.test_cluster import slurm_task
from tests.training import small_training
from tests.training.tiny import PLAIN_NETWORKS, PLAINEST_FLAGS, RUN_FLAGS, make_state, one_device, tiny_config
from tests.workers import run_workers, start_workers

TRAIN_WITH_A_SIGN = """
import dataclasses, sys
from sagan_tf.training.actions import health
always = dataclasses.replace(health.SIGNS["dying discriminator"], is_unhealthy=lambda values: True)
health.SIGNS = {"always": always}
from tests import commands
sys.exit(commands.train(sys.argv[1:]))
"""
"""A training command in which every reading of the chief shows a sign."""


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


@pytest.mark.slow
def test_two_workers_end_together_for_a_sign_of_the_chief(tmp_path: pathlib.Path) -> None:
    """The other worker does not read the health."""
    flags = [*RUN_FLAGS, *PLAINEST_FLAGS, "--strategy=auto", "--num_steps=8", "--steps_per_loop=1", "--health_every=1"]
    flags += ["--on_unhealthy=stop", "--checkpoint_every=1000", f"--run_dir={tmp_path / 'run'}"]
    with start_workers([["-c", TRAIN_WITH_A_SIGN, *flags]] * 2) as workers:
        printed = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [2, 2], "\n".join(printed)
    for text, read in zip(printed, ("dead_units is", "dead_units was read by the chief"), strict=True):
        assert f"always at step 2: health/{read}" in text and f"Saved {tmp_path / 'run/checkpoints/step-2'}" in text
    assert (tmp_path / "run/checkpoints/step-2.index").exists()
