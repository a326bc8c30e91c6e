"""Two processes on this machine train one run."""

import json
import pathlib

import pytest

from tests.workers import run_workers

FLAGS = [
    "--dataset=fashion_mnist_10k",
    "--resolution=32",
    "--image_channels=1",
    "--attention_resolutions=16",
    "--base_channels=2",
    "--global_batch_size=8",
    "--steps_per_loop=2",
    "--log_every=2",
    "--strategy=multi_worker",
]


def train(run_dir: pathlib.Path, num_steps: int) -> list[str]:
    """Runs both workers to the end; returns what they printed."""
    return run_workers([["-m", "sagan_tf.train", *FLAGS, f"--num_steps={num_steps}", f"--run_dir={run_dir}"]] * 2)


@pytest.mark.slow
def test_two_workers_train_one_run_and_resume_it(tmp_path: pathlib.Path):
    train(tmp_path, 2)
    printed = train(tmp_path, 4)
    assert all("resumed at step 2" in text for text in printed)
    startup = json.loads((tmp_path / "startup.json").read_text())
    assert startup["replicas"] == 2
    # One worker writes: no line stands twice.
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [2, 4]
    assert (tmp_path / "checkpoints" / "step-4.index").exists()
