"""A loss becomes NaN at a chosen step of a run, by way of its door: with both policies."""

from __future__ import annotations

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import train
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.training import trainer, updates
from sagan_tf.training.ema import move_average
from sagan_tf.training.state import TrainState
from tests.training.tiny import PLAIN_FLAGS

FLAGS = [
    "--dataset=fashion_mnist_10k",
    "--resolution=32",
    "--image_channels=1",
    *PLAIN_FLAGS,
    "--base_channels=2",
    "--loss=wasserstein",  # hinge says nothing of the images before the discriminator is near them
    "--global_batch_size=8",
    "--strategy=one_device",
    "--steps_per_loop=1",
    "--log_every=1",
    "--sample_every=1000",
    "--checkpoint_every=2",
]
STEP = 5
"""Steps done before the one that is spoilt; a step makes two draws, the discriminator's and the generator's."""


class SpoiltSampler(LatentSampler):
    """NaN in place of one draw's latents."""

    def draw_for_replica(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        latents, labels = super().draw_for_replica(number)
        return tf.where(self.is_spoilt(number), np.nan, latents), labels

    def is_spoilt(self, number: tf.Tensor) -> tf.Tensor:
        """Whether it is this draw."""
        return number == 2 * STEP


class AlwaysSpoiltSampler(SpoiltSampler):
    """NaN in place of the latents of that step, after every rollback too."""

    def is_spoilt(self, number: tf.Tensor) -> tf.Tensor:
        return number % 2**40 == 2 * STEP


class AtOnceSpoiltSampler(SpoiltSampler):
    """NaN in the first step."""

    def is_spoilt(self, number: tf.Tensor) -> tf.Tensor:
        return number == 0


def run(run_dir: pathlib.Path, *flags: str, num_steps: int = 8) -> int:
    return train.run([*FLAGS, f"--run_dir={run_dir}", f"--num_steps={num_steps}", *flags])


def values(run_dir: pathlib.Path, step: int) -> dict[str, np.ndarray]:
    """Every value of a checkpoint, but for how often was saved."""
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints" / f"step-{step}"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith(("_", "save_counter"))]
    return {name: reader.get_tensor(name) for name in names}


def assert_equal(ours: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> None:
    assert ours.keys() == others.keys()
    assert [name for name in ours if np.asarray(ours[name]).tobytes() != np.asarray(others[name]).tobytes()] == []


def counted(run_dir: pathlib.Path) -> int:
    """Rollbacks, as the newest checkpoint has them."""
    (found,) = [value for name, value in values(run_dir, 8).items() if "rollbacks" in name]
    return int(found)


def last_line(text: str) -> str:
    assert "Traceback" not in text
    return text.rstrip().splitlines()[-1]


def test_by_default_it_stops(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of the spoilt state is kept: where the draw is right, the same command ends as if nothing had been."""
    with monkeypatch.context() as patched:
        patched.setattr(updates, "LatentSampler", SpoiltSampler)
        assert run(tmp_path / "a") == 2
    said = last_line(capsys.readouterr().err)
    assert "discriminator_gradient_norm" in said.split("received ")[1]
    assert said.endswith(f"between steps 5 and 6; the last good checkpoint is {tmp_path}/a/checkpoints/step-4")
    assert run(tmp_path / "a") == 0 and run(tmp_path / "b") == 0
    assert_equal(values(tmp_path / "a", 8), values(tmp_path / "b", 8))


def test_a_rollback_goes_on_with_other_draws(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(updates, "LatentSampler", SpoiltSampler)
    assert run(tmp_path / "a", "--on_non_finite=rollback") == 0
    said = capsys.readouterr().out
    assert (
        "discriminator_gradient_norm" in said.split("received ")[1]
        and "rollback 1 of 3: on from step 4 with other latents and images" in said
    )
    assert counted(tmp_path / "a") == 1
    assert all(np.isfinite(value).all() for value in values(tmp_path / "a", 8).values() if value.dtype.kind == "f")
    lines = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["kind"] == "train"]
    assert [line["step"] for line in lines] == list(range(1, 9))  # once each, although two were done twice
    assert [line["rollbacks"] for line in lines] == [0] * 4 + [1] * 4
    # What was decided is in the checkpoint: interrupted on the way, the run ends with the same bits.
    assert run(tmp_path / "b", "--on_non_finite=rollback", num_steps=6) == 0
    assert run(tmp_path / "b", "--on_non_finite=rollback") == 0
    assert_equal(values(tmp_path / "a", 8), values(tmp_path / "b", 8))


def test_rollbacks_have_an_end(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(updates, "LatentSampler", AlwaysSpoiltSampler)
    assert run(tmp_path, "--on_non_finite=rollback", "--max_rollbacks=2") == 2
    said = capsys.readouterr()
    assert "rollback 1 of 2" in said.out and "rollback 2 of 2" in said.out
    assert last_line(said.err).endswith("2 rollbacks did not help (--max_rollbacks=2)")
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index")) == ["step-2.index", "step-4.index"]


def test_a_collapsed_loss_scale_ends_a_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(TrainState, "loss_scales", lambda self: {"generator_loss_scale": 2.0**-11})
    assert run(tmp_path) == 2
    assert "received loss scale not finite between steps 0 and 1" in last_line(capsys.readouterr().err)


def test_a_spoilt_average_is_neither_shown_nor_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is in no loss. A picture of it, or its attention maps, would be the first to show it."""

    def spoilt(ours: list[keras.Variable], others: list[keras.Variable], decay: tf.Tensor) -> None:
        move_average(ours, others, decay)
        ours[1].assign(np.nan * ours[1])

    monkeypatch.setattr(trainer, "move_average", spoilt)
    flags = ["--sample_every=1", "--architecture=sagan", "--attention_resolutions=16"]
    assert run(tmp_path, *flags) == 2
    assert "received weights not finite between steps 0 and 1" in last_line(capsys.readouterr().err)
    assert not list(tmp_path.rglob("*.png")) and not list(tmp_path.rglob("*.index"))


def test_without_a_checkpoint_it_stops(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(updates, "LatentSampler", AtOnceSpoiltSampler)
    assert run(tmp_path, "--on_non_finite=rollback") == 2
    assert last_line(capsys.readouterr().err).endswith("no checkpoint had been saved")
