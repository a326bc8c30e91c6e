"""Several processes on this machine that work as one, as TF_CONFIG tells them."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

_ROOT = pathlib.Path(__file__).parents[1]


@contextlib.contextmanager
def started_workers(commands: Sequence[Sequence[str]]) -> Iterator[list[subprocess.Popen[str]]]:
    """One worker for each list of arguments of Python; their output can be read. They are killed in the end."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(len(commands))]}
    workers = []
    for index, command in enumerate(commands):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        environment = os.environ | {"TF_CONFIG": json.dumps(config)}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        workers.append(subprocess.Popen([sys.executable, *command], cwd=_ROOT, env=environment, **streams))
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            if worker.stdout is not None:
                worker.stdout.close()


def run_workers(commands: Sequence[Sequence[str]], timeout: float = 300) -> list[str]:
    """Runs one worker for each list of arguments of Python, all to their end; returns what they printed."""
    with started_workers(commands) as workers:
        printed = [worker.communicate(timeout=timeout)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(workers), "\n".join(printed)
    return printed


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
