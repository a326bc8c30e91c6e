"""Shards are written by several processes, each one shard at a time."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.errors import UserError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from tools.preparation.shards import Shard
    from tools.preparation.unfinished import FinishedShard

Observer = Callable[[int, int, dict[str, str]], None]
"""Called with a shard's number and what `shards.Report` is called with."""


class WorkerError(UserError):
    """A process has ended that should not have."""


def write_shards(shards: Iterator[Shard], num_workers: int, observe: Observer) -> Iterator[FinishedShard]:
    """Write shards in `count_workers` processes, or in this one if that is 1, and give each as it is finished.

    Whatever ends this process ends the others: they notice that nobody listens.

    Raises:
        WorkerError: a process has ended that should not have.
        UserError: as `shards.write_shard`.
        OSError: as `shards.write_shard`.
    """
    if num_workers == 1:
        from tools.preparation.shards import write_shard

        for shard in shards:
            yield write_shard(shard, lambda *done, index=shard.index: observe(index, *done))
        return
    with _processes(num_workers) as processes:
        busy = dict(zip(processes, shards, strict=False))
        for pipe, shard in busy.items():
            _send(pipe, processes[pipe], shard)
        while busy:
            for pipe in multiprocessing.connection.wait(list(busy)):
                kind, *content = _receive(pipe, processes[pipe])
                if kind == "failed":
                    raise content[0]
                if kind == "done":
                    observe(busy[pipe].index, *content)
                    continue
                del busy[pipe]
                yield content[0]
                if (following := next(shards, None)) is not None:
                    _send(pipe, processes[pipe], following)
                    busy[pipe] = following


def serve(pipe: Connection) -> None:
    """Write the shards that are sent, until nobody sends any more."""
    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
    load_tensorflow()
    logging.getLogger("sagan_tf").disabled = True  # what is left out is sent to the parent, which logs it
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            shard = pipe.recv()
            pipe.send(_written(shard, lambda *done: pipe.send(("done", *done))))


def _written(shard: Shard, report: Callable[..., None]) -> tuple[str, Any]:
    from tools.preparation.shards import write_shard

    try:
        return "finished", write_shard(shard, report)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except (UserError, OSError) as error:
        return "failed", error


@contextlib.contextmanager
def _processes(count: int) -> Iterator[dict[Connection, BaseProcess]]:
    """Start processes that `serve`, by their pipes; they end with the context."""
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    processes: dict[Connection, BaseProcess] = {}
    # Ctrl-C goes to all processes of a terminal: these inherit that it is ignored, and are ended by this one.
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        try:
            for _ in range(count):
                pipe, other_end = context.Pipe()
                processes[pipe] = context.Process(target=serve, args=(other_end,), daemon=True)
                processes[pipe].start()
                other_end.close()
        finally:
            signal.signal(signal.SIGINT, on_interrupt)
        yield processes
    finally:
        for process in processes.values():
            process.kill()  # what is half-written is written again; nothing else is lost
        for process in processes.values():
            process.join()


def _send(pipe: Connection, process: BaseProcess, shard: Shard) -> None:
    try:
        pipe.send(shard)
    except BrokenPipeError:
        raise _ended(process) from None


def _receive(pipe: Connection, process: BaseProcess) -> tuple[Any, ...]:
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        raise _ended(process) from None


def _ended(process: BaseProcess) -> WorkerError:
    process.join()
    code = process.exitcode or 0
    return WorkerError(
        f"expected --num_workers processes that run to the end, received one that ended with "
        f"{f'signal {-code}' if code < 0 else f'status {code}'}; the same command goes on from the finished shards "
        "(with fewer workers, if memory is short)"
    )
