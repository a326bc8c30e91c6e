"""Test of too little memory during a run: the error is one line with advice, and the run can be resumed.

A step requests more memory than any machine has. With limits that are too low for small allocations (`ulimit -v`,
`ulimit -d`), some of TensorFlow's libraries crash, depending on which allocation fails first. If Linux has promised
more memory than there is, it kills a process. test_kills.py covers both cases.
"""

import pytest
import tensorflow as tf

from sagan_tf.generation.latents import LatentSampler
from sagan_tf.training import updates
from tests.faults.outcomes import assert_equal_runs
from tests.faults.short_run import STEPS, run_training

STEP = 5


class GreedySampler(LatentSampler):
    """A sampler that requests 4 PB of memory in one step."""

    def draw_for_replica(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        latents, labels = super().draw_for_replica(number)
        size = tf.where(number == 2 * STEP, 2**10, 0)
        more = tf.reduce_sum(tf.fill(tf.stack([size, 2**20, 2**20]), 1.0))
        return latents + more, labels


@pytest.mark.slow
def test_run_can_be_resumed_with_more_memory(tmp_path, uninterrupted_run, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(updates, "LatentSampler", GreedySampler)
        assert run_training(tmp_path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sagan_tf.train: error: training: ")
    assert "1024 x 1048576 x 1048576" in line and "--gradient_accumulation_steps" in line
    assert run_training(tmp_path) == 0
    assert "resumed at step 4" in capsys.readouterr().out
    assert_equal_runs(tmp_path, uninterrupted_run, STEPS)
