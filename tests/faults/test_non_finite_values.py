"""Tests of a loss that becomes NaN at a chosen step of a run, with both values of --on_non_finite."""

import json
import pathlib
import shutil

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.generation.latents import LatentSampler
from sagan_tf.training import trainer, updates
from sagan_tf.training.ema import move_average
from sagan_tf.training.state import TrainState
from tests import commands
from tests.faults.outcomes import read_tensors
from tests.training.tiny import PLAINEST_FLAGS, RUN_FLAGS

# The gradients of the hinge loss do not depend on the images in the first steps.
FLAGS = [*RUN_FLAGS, *PLAINEST_FLAGS, "--loss=wasserstein"]
FLAGS += ["--steps_per_loop=1", "--log_every=1", "--sample_every=1000", "--checkpoint_every=2"]
STEP = 5
"""Number of steps before the step with NaN. A step has two draws: of the discriminator and of the generator."""


class NanSampler(LatentSampler):
    def draw_for_replica(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        latents, labels = super().draw_for_replica(number)
        return tf.where(self.is_nan_draw(number), np.nan, latents), labels

    def is_nan_draw(self, number: tf.Tensor) -> tf.Tensor:
        """Return whether a draw is NaN."""
        return number == 2 * STEP


class RepeatedNanSampler(NanSampler):
    """A sampler that returns NaN in the same step after every rollback."""

    def is_nan_draw(self, number: tf.Tensor) -> tf.Tensor:
        return number % 2**40 == 2 * STEP


def run(run_dir: pathlib.Path, *flags: str, num_steps: int = 8) -> int:
    return commands.train([*FLAGS, f"--run_dir={run_dir}", f"--num_steps={num_steps}", *flags])


def last_line(text: str) -> str:
    assert "Traceback" not in text
    return text.rstrip().splitlines()[-1]


def test_run_stops_by_default(tmp_path, monkeypatch, capsys):
    """No NaN is saved: without the fault, the same command resumes the run, with the results of a normal run."""
    with monkeypatch.context() as patched:
        patched.setattr(updates, "LatentSampler", NanSampler)
        assert run(tmp_path / "a") == 2
    output = last_line(capsys.readouterr().err)
    assert "discriminator_gradient_norm" in output
    assert output.endswith(f"between steps 5 and 6; the last good checkpoint is {tmp_path}/a/checkpoints/step-4")
    assert run(tmp_path / "a") == 0 and run(tmp_path / "b") == 0
    assert read_tensors(tmp_path / "a") == read_tensors(tmp_path / "b")


def test_rollback_resumes_with_other_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(updates, "LatentSampler", NanSampler)
    assert run(tmp_path / "a", "--on_non_finite=rollback") == 0
    output = capsys.readouterr().out
    assert "discriminator_gradient_norm" in output and "rollback 1 of 3: resuming at step 4" in output
    lines = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["kind"] == "train"]
    assert [line["step"] for line in lines] == list(range(1, 9))  # Two steps were repeated, but each has one line.
    assert [line["rollbacks"] for line in lines] == [0] * 4 + [1] * 4
    # The checkpoint records the rollback: a run that is resumed after it has the same bits.
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for path in (tmp_path / "b" / "checkpoints").glob("step-8.*"):
        path.unlink()  # so that the run resumes at step 6
    assert run(tmp_path / "b", "--on_non_finite=rollback") == 0
    assert read_tensors(tmp_path / "a") == read_tensors(tmp_path / "b")


def test_limit_of_rollbacks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(updates, "LatentSampler", RepeatedNanSampler)
    assert run(tmp_path, "--on_non_finite=rollback", "--max_rollbacks=2") == 2
    output = capsys.readouterr()
    assert "rollback 1 of 2" in output.out and "rollback 2 of 2" in output.out
    assert last_line(output.err).endswith("2 rollbacks did not help (--max_rollbacks=2)")
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index")) == ["step-2.index", "step-4.index"]


def test_collapsed_loss_scale_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(TrainState, "read_loss_scales", lambda self: {"generator_loss_scale": 2.0**-11})
    assert run(tmp_path) == 2
    assert "loss scale between steps 0 and 1" in last_line(capsys.readouterr().err)


def test_ema_generator_with_nan_is_neither_sampled_nor_saved(tmp_path, monkeypatch, capsys):
    """No loss depends on the EMA generator, so that only its images and attention maps would show the NaN."""

    def insert_nan(ours: list[keras.Variable], others: list[keras.Variable], decay: tf.Tensor) -> None:
        move_average(ours, others, decay)
        ours[1].assign(np.nan * ours[1])

    monkeypatch.setattr(trainer, "move_average", insert_nan)
    flags = ["--sample_every=1", "--attention_resolutions=16"]
    assert run(tmp_path, *flags) == 2
    assert "weights between steps 0 and 1" in last_line(capsys.readouterr().err)
    assert not list(tmp_path.rglob("*.png")) and not list(tmp_path.rglob("*.index"))
