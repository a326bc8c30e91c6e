"""Check of TF_CONFIG before TensorFlow reads it, with an error message of one line."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from sagan_tf.errors import UserError

_EXAMPLE = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
_TYPES = ("chief", "worker")
_ADDRESS = re.compile(r"(\[[^\[\]]+\]|[^:\s\[\]]+):(\d{1,5})")
_MAX_QUOTE_LENGTH = 80


def count_workers() -> int:
    """Return the number of workers in TF_CONFIG, or 0 if it is not set.

    A chief counts as a worker.

    Raises:
        UserError: TensorFlow could not train with this TF_CONFIG.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 0
    config = _parse(text)
    cluster = _check_cluster(config.get("cluster"), text)
    _check_task(config.get("task"), cluster)
    return sum(len(addresses) for addresses in cluster.values())


def _parse(text: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise _error(f"JSON such as {_EXAMPLE}", f"{_quote(text)} ({error})") from None
    if not isinstance(config, dict):
        raise _error(f"an object such as {_EXAMPLE}", _quote(text))
    return config


def _check_cluster(cluster: Any, text: str) -> dict[str, list[str]]:
    if not isinstance(cluster, dict) or not cluster:
        raise _error(f'the workers\' addresses in "cluster", as in {_EXAMPLE}', _quote(text))
    if unknown := sorted(set(cluster) - set(_TYPES)):
        expected = 'only tasks of type chief and worker in "cluster" (no parameter servers or evaluators)'
        raise _error(expected, ", ".join(unknown))
    for task_type, addresses in cluster.items():
        if not isinstance(addresses, list) or not addresses:
            raise _error(f"a list of host:port for {task_type}", _quote(json.dumps(addresses)))
        for address in addresses:
            match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
            if not match or not 0 < int(match[2]) < 2**16:
                raise _error(f"host:port for each {task_type}", _quote(json.dumps(address)))
    if len(cluster.get("chief", [])) > 1:
        raise _error("at most one chief", str(len(cluster["chief"])))
    all_addresses = [address for addresses in cluster.values() for address in addresses]
    if repeated := sorted({address for address in all_addresses if all_addresses.count(address) > 1}):
        raise _error("a different address for every worker", f"{repeated[0]} twice")
    return cluster


def _check_task(task: Any, cluster: dict[str, list[str]]) -> None:
    """Raise UserError unless a task is part of the cluster."""
    if not isinstance(task, dict) or "type" not in task or "index" not in task:
        raise _error(f'the type and index of this worker in "task", as in {_EXAMPLE}', _quote(json.dumps(task)))
    task_type, index = task["type"], task["index"]
    if task_type not in cluster:
        raise _error(f"a task of type {' or '.join(cluster)}, as in its cluster", _quote(json.dumps(task_type)))
    tasks = len(cluster[task_type])
    if not re.fullmatch(r"\d+", str(index)) or int(index) >= tasks:
        raise _error(f"an index from 0 to {tasks - 1} of a {task_type}", _quote(json.dumps(index)))


def _error(expected: str, received: str) -> UserError:
    return UserError(f"TF_CONFIG: expected {expected}, received {received}")


def _quote(text: str) -> str:
    """Return text on one line, shortened if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_QUOTE_LENGTH else f"{line[: _MAX_QUOTE_LENGTH - 3]}..."
