"""Several processes on this machine that are the workers of one TF_CONFIG."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

_ROOT = pathlib.Path(__file__).parents[1]


@contextlib.contextmanager
def start_workers(
    commands: Sequence[Sequence[str]], variables: Sequence[dict[str, str]] = ()
) -> Iterator[list[subprocess.Popen[str]]]:
    """Start a worker for each list of Python arguments, and kill the workers at the end of the context.

    The environment variables in `variables` describe each worker, TF_CONFIG by default. The standard output and
    standard error of each worker can be read from `stdout`.
    """
    workers = []
    for command, described in zip(commands, variables or _create_tf_configs(len(commands)), strict=True):
        environment = os.environ | described
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        workers.append(subprocess.Popen([sys.executable, *command], cwd=_ROOT, env=environment, **streams))
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            if worker.stdout is not None:
                worker.stdout.close()


def run_workers(commands: Sequence[Sequence[str]], variables: Sequence[dict[str, str]] = ()) -> list[str]:
    """Run the workers of `start_workers` to their end, and return the outputs."""
    with start_workers(commands, variables) as workers:
        printed = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(workers), "\n".join(printed)
    return printed


def _create_tf_configs(count: int) -> list[dict[str, str]]:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in find_free_ports(count)]}
    tasks = ({"type": "worker", "index": index} for index in range(count))
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def find_free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
