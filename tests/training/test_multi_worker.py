"""Two processes on this machine train one run."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
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


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def train(run_dir: pathlib.Path, num_steps: int) -> list[str]:
    """Runs both workers to the end; returns what they printed."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    workers = []
    for index in range(2):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        command = [sys.executable, "-m", "sagan_tf.train", *FLAGS, f"--num_steps={num_steps}", f"--run_dir={run_dir}"]
        environment = os.environ | {"TF_CONFIG": json.dumps(config)}
        workers.append(
            subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    printed = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(printed)
    return printed


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
