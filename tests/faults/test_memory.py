"""Too little memory in the middle of a run: one line that says what to do, and the run goes on.

The machine is asked for more than any has. With less than it takes for small things (`ulimit -v`, `ulimit -d`) some of
TensorFlow's libraries crash, depending on what finds no memory first; and where Linux has promised more than it has, it
kills a program: for both see test_kills.py.
"""

from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf

from sagan_tf.generation.latents import LatentSampler
from sagan_tf.training import updates
from tests.faults.outcomes import assert_same
from tests.faults.short_run import STEPS, run

STEP = 5


class GreedySampler(LatentSampler):
    """Asks for 4 PB in a step."""

    def draw_for_replica(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        latents, labels = super().draw_for_replica(number)
        size = tf.where(number == 2 * STEP, 2**10, 0)
        more = tf.reduce_sum(tf.fill(tf.stack([size, 2**20, 2**20]), 1.0))
        return latents + more, labels


@pytest.mark.slow
def test_the_run_goes_on_with_more_memory(
    tmp_path: pathlib.Path, whole: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(updates, "LatentSampler", GreedySampler)
        assert run(tmp_path) == 2
    line = "training: expected enough memory, received too little for a tensor of 1024 x 1048576 x 1048576; raise"
    assert capsys.readouterr().err.startswith(f"sagan_tf.train: error: {line} --gradient_accumulation_steps")
    assert run(tmp_path) == 0
    assert "resumed at step 4" in capsys.readouterr().out
    assert_same(tmp_path, whole, STEPS)
