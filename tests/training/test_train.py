"""Tests of whole training runs."""

import contextlib
import functools
import json
import logging
import pathlib
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError, WorkerLostError
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training import opening
from sagan_tf.training import train as training
from sagan_tf.training.state import create_state
from sagan_tf.training.train import train
from sagan_tf.training.validation import resolve_classes
from tests.training.tiny import (
    ADAPTIVE,
    PLAIN_NETWORKS,
    PLAINEST_NETWORKS,
    find_differences,
    make_state,
    make_updates,
    one_device,
    restore_values,
    run_config,
    tiny_config,
)


@pytest.mark.parametrize(("fraction", "count"), [(1.0, 4), (0.25, 1)])
def test_top_k_uses_the_images_with_the_highest_logits(fraction, count):
    loss = make_updates(tiny_config(**PLAIN_NETWORKS, generator_top_k=fraction)).loss
    logits = tf.constant([[0.1], [0.4], [-0.3], [0.2]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss.generator(logits)
    assert np.count_nonzero(tape.gradient(value, logits)) == count


def two_updates_config(run_dir: pathlib.Path, num_steps: int, **options: Any) -> Config:
    """Create a configuration with two updates of the discriminator in each step."""
    intervals = {"log_every": 2, "sample_every": 4, "checkpoint_every": 3}
    updates = {"random_flip": True, "discriminator_steps_per_step": 2, "ema_start_step": 2}
    return run_config(run_dir, num_steps, **intervals | updates | options)


@pytest.mark.parametrize(
    "options",
    # tests/faults/test_kills.py interrupts a run without augmentation too.
    [
        pytest.param({}, marks=pytest.mark.slow, id="plain"),
        pytest.param(ADAPTIVE | PLAINEST_NETWORKS, marks=pytest.mark.slow, id="adaptive_augmentation"),
        pytest.param({"label_sampling": "balanced"} | PLAINEST_NETWORKS, marks=pytest.mark.slow, id="balanced"),
        pytest.param({"label_sampling": "data"} | PLAINEST_NETWORKS, marks=pytest.mark.slow, id="labels_of_the_data"),
    ],
)
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, options):
    # One call of the compiled loop for all steps, against calls of 1, 2 and 3 steps with an interruption. The adaptive
    # probability changes at step 4, by signs from before and after the interruption.
    seldom = {"log_every": 100, "sample_every": 100, "checkpoint_every": 100, **PLAIN_NETWORKS, **options}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(two_updates_config(whole, 6, steps_per_loop=6, **seldom))
    train(two_updates_config(parts, 3, steps_per_loop=2, **seldom))
    train(two_updates_config(parts, 6, steps_per_loop=3, **seldom))
    expected, received = (restore_values(two_updates_config(path, 6, **seldom)) for path in (whole, parts))
    assert find_differences(expected, received) == set()
    lines = [json.loads(line) for line in (parts / "metrics.jsonl").read_text().splitlines()]
    line = [line for line in lines if line["kind"] == "train"][-1]
    assert ("augment_probability" in line) == ("real_logit_signs" in line) == ("ada_target" in options)
    assert received["step"] == 6 and received["data_position"] == 6 * 2 * 4


def test_records_are_written_at_their_steps_and_continue_after_resuming(tmp_path, caplog):
    # The records have another interval than the loop, and lines after the checkpoint are written again.
    often: dict[str, Any] = {
        "log_every": 2,
        "steps_per_loop": 5,
        "checkpoint_every": 3,
        "discriminator_steps_per_step": 1,
    }
    often |= {"learning_rate_schedule": "linear", "learning_rate_decay_steps": 4, **PLAINEST_NETWORKS}
    train(two_updates_config(tmp_path, 4, **often))
    assert "learning rates" not in caplog.text
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99, "kind": "train"}\n')
    train(two_updates_config(tmp_path, 7, **often))
    assert "learning rates" in caplog.text and "--num_steps=7" in caplog.text  # they are 0 in the new steps
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [2, 4, 6, 7]
    assert [line["step"] for line in lines if line["kind"] == "health"] == [4, 7]  # at the end of each part


def test_a_run_writes_the_documented_files(tmp_path, caplog):
    config = functools.partial(run_config, tmp_path, architecture="dcgan", sample_every=4)
    caplog.set_level(logging.INFO, logger="sagan_tf")
    train(config(4, num_classes=0))  # the number of classes is that of the data
    names = "checkpoints .lock flags.cfg metrics.jsonl samples startup.json tensorboard versions.json"
    assert {path.name for path in tmp_path.iterdir()} == set(names.split())
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step_00000004.png"]
    assert "--num_classes=10\n" in (tmp_path / "flags.cfg").read_text()
    *_, line, health = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert line["kind"] == "train" and line["step"] == health["step"] == 4 and health["kind"] == "health"
    expected = {"discriminator_loss", "generator_loss", "real_logits", "fake_logits", "discriminator_gradient_norm"}
    expected |= {"generator_gradient_norm", "generator_learning_rate", "images_per_second"}
    expected |= {"gamma/generator/attention_16", "gamma/discriminator/attention_16", "sigma/generator/dense"}
    assert expected <= line.keys() and "10000 images" in caplog.text
    # After the end the same command changes nothing.
    before = restore_values(config(4))
    train(config(4))
    assert find_differences(before, restore_values(config(4))) == set()
    with pytest.raises(UserError, match=r"adam_beta2.*0\.9"):
        train(config(9, adam_beta2=0.9))


def test_a_run_that_another_process_has_continued_is_not_continued_from_an_older_step(tmp_path, monkeypatch):
    config = run_config(tmp_path, 4, **PLAINEST_NETWORKS)
    state = make_state(config, one_device())
    checkpoints = Checkpoints(tmp_path / "checkpoints", state, keep=2)
    checkpoints.save()
    RunDirectory(tmp_path).write_records(config.to_flagfile())
    before = sorted(tmp_path.iterdir())

    @contextlib.contextmanager
    def continue_run(run_dir: pathlib.Path) -> Iterator[None]:
        """Lock a directory that was not locked when training began, after another process has saved a step."""
        state.step.assign(3)
        checkpoints.save()
        yield

    monkeypatch.setattr(training, "lock_run_directory", continue_run)
    with pytest.raises(UserError, match=r"^run_dir: .*step-3"):
        train(config)
    assert sorted(tmp_path.iterdir()) == before


def test_images_come_in_the_order_of_seed_and_rollbacks_from_the_position_on(tmp_path):
    strategy, batches = one_device(), []
    source = open_source(two_updates_config(tmp_path, 1).data, resolution=32, image_channels=1)
    state = create_state(resolve_classes(two_updates_config(tmp_path, 1), source))
    # Rollbacks, seed, position, flips.
    cases = [(0, 0, 0, True), (1, 0, 0, True), (0, 1, 0, True), (0, 0, 4, True), (0, 0, 0, True), (0, 0, 0, False)]
    for rollbacks, seed, position, random_flip in cases:
        state.rollbacks.assign(rollbacks)
        state.data_position.assign(position)
        config = two_updates_config(tmp_path, 1, seed=seed, random_flip=random_flip, global_batch_size=64)
        batches.append(next(training._create_training_iterator(config, source, strategy, state))["images"].numpy())
    np.testing.assert_array_equal(batches[0], batches[4])
    assert all(np.abs(batches[0] - batch).max() > 0.1 for batch in batches[1:4])
    plain, given = batches[5], batches[0]
    flipped = (given != plain).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(given[flipped], plain[flipped][:, :, ::-1])
    assert 0.25 < flipped.mean() < 0.75


@pytest.mark.parametrize(("num_bytes", "expected"), [(0, []), (10**6, []), (70 * 10**9, ["70.0 GB", "image 400 "])])
def test_a_long_reread_of_an_epoch_is_logged(num_bytes, expected, caplog):
    source: Any = types.SimpleNamespace(
        name="records", num_examples=1000, count_reread_bytes=lambda position: num_bytes
    )
    with caplog.at_level(logging.INFO, logger="sagan_tf"):
        training._log_reread_bytes(source, 3400)
    assert len(caplog.messages) == bool(expected)
    assert all(part in caplog.messages[0] for part in expected)


def test_a_worker_that_fails_before_the_first_step(tmp_path, monkeypatch):
    """Workers communicate for the first time when they compare their counters."""

    def fail(*arguments: object) -> None:
        raise tf.errors.InternalError(None, None, "NCCL: unhandled system error")

    monkeypatch.setattr(training, "count_workers", lambda strategy: 2)
    monkeypatch.setattr(opening, "check_worker_consistency", fail)
    with pytest.raises(WorkerLostError, match="NCCL: unhandled system error.*--collectives=ring"):
        train(two_updates_config(tmp_path / "run", 1))
    assert not (tmp_path / "run").exists()
