"""TF_CONFIG, looked at before TensorFlow reads it: what is wrong is one line that says what was expected."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from sagan_tf.errors import UserError

_EXAMPLE = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
_TYPES = ("chief", "worker")
_ADDRESS = re.compile(r"(\[[^\[\]]+\]|[^:\s\[\]]+):(\d{1,5})")
_LONGEST_QUOTE = 80


def num_workers() -> int:
    """Workers that TF_CONFIG describes, a chief included; 0 where it is not set.

    Raises:
        UserError: if TensorFlow could not train with it.
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
        raise _error('tasks of type chief and worker in "cluster": parameter servers and evaluators have no part in '
                     "multi_worker", ", ".join(unknown))  # fmt: skip
    for task_type, addresses in cluster.items():
        if not isinstance(addresses, list) or not addresses:
            raise _error(f"a list of host:port for {task_type}", _quote(json.dumps(addresses)))
        for address in addresses:
            match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
            if not match or not 0 < int(match[2]) < 2**16:
                raise _error(f"host:port for each {task_type}", _quote(json.dumps(address)))
    if len(cluster.get("chief", [])) > 1:
        raise _error("one chief at most", str(len(cluster["chief"])))
    everyone = [address for addresses in cluster.values() for address in addresses]
    if twice := sorted({address for address in everyone if everyone.count(address) > 1}):
        raise _error("an address of its own for every worker", f"{twice[0]} twice")
    return cluster


def _check_task(task: Any, cluster: dict[str, list[str]]) -> None:
    """Raise UserError unless `task` is one of `cluster`."""
    if not isinstance(task, dict) or "type" not in task or "index" not in task:
        raise _error(f'which worker this is in "task", as in {_EXAMPLE}', _quote(json.dumps(task)))
    task_type, index = task["type"], task["index"]
    if task_type not in cluster:
        raise _error(f"a task of type {' or '.join(cluster)}, as in its cluster", _quote(json.dumps(task_type)))
    tasks = len(cluster[task_type])
    if not re.fullmatch(r"\d+", str(index)) or int(index) >= tasks:
        raise _error(f"an index from 0 to {tasks - 1} of a {task_type}", _quote(json.dumps(index)))


def _error(expected: str, received: str) -> UserError:
    return UserError(f"TF_CONFIG: expected {expected}, received {received}")


def _quote(text: str) -> str:
    """`text` in one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_QUOTE else f"{line[: _LONGEST_QUOTE - 3]}..."
