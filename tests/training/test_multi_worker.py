"""Tests of two processes that train one run."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from tests.training import small_training
from tests.training.tiny import PLAIN_FLAGS, PLAIN_NETWORKS, make_state, one_device, tiny_config
from tests.workers import run_workers

FLAGS = [
    "--dataset=fashion_mnist_10k",
    "--resolution=32",
    "--image_channels=1",
    *PLAIN_FLAGS,
    "--base_channels=2",
    "--global_batch_size=8",
    "--steps_per_loop=2",
    "--log_every=2",
    "--strategy=multi_worker",
]


def train(run_dir: pathlib.Path, num_steps: int) -> list[str]:
    """Run both workers to the end and return their output."""
    return run_workers([["-m", "sagan_tf.train", *FLAGS, f"--num_steps={num_steps}", f"--run_dir={run_dir}"]] * 2)


def test_two_workers_equal_one_process(tmp_path: pathlib.Path) -> None:
    """The weights equal those of one process to 1e-5, for the same global batches."""
    run_workers([["-m", "tests.training.small_training", str(tmp_path / "two.npz")]] * 2)
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
def test_two_workers_train_one_run_and_resume_it(tmp_path: pathlib.Path) -> None:
    train(tmp_path, 2)
    printed = train(tmp_path, 4)
    assert all("resumed at step 2" in text for text in printed)
    startup = json.loads((tmp_path / "startup.json").read_text())
    assert startup["replicas"] == 2
    # Only one worker writes, so there are no duplicate lines.
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["kind"]) for line in lines] == [
        (2, "train"),
        (2, "health"),
        (4, "train"),
        (4, "health"),
    ]
    assert (tmp_path / "checkpoints" / "step-4.index").exists()
