"""Writing of shards by several processes, each of which writes one shard at a time."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.errors import UserError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from tools.preparation.shards import Shard
    from tools.preparation.unfinished import FinishedShard

Observer = Callable[[int, int, dict[str, str]], None]
"""Function of the number of a shard, followed by the arguments of `shards.Report`."""


class WorkerError(UserError):
    """Raised if a process ends unexpectedly."""


def write_shards(shards: Iterator[Shard], num_workers: int, observe: Observer) -> Generator[FinishedShard, None, None]:
    """Write shards in several processes, and yield each one when it is finished.

    With one worker, this process writes them. If this process ends for any reason, the workers end too: they notice
    that their pipe is closed.

    Args:
        shards: Shards to write.
        num_workers: Number of processes.
        observe: Function that is called with the progress of each shard.

    Yields:
        The finished shards, in the order in which they are finished.

    Raises:
        WorkerError: A process has ended unexpectedly.
        UserError: As `shards.write_shard`.
        OSError: As `shards.write_shard`.
    """
    if num_workers == 1:
        from tools.preparation.shards import write_shard

        for shard in shards:
            yield write_shard(shard, lambda *done, index=shard.index: observe(index, *done))
        return
    with _start_processes(num_workers) as processes:
        busy = dict(zip(processes, shards, strict=False))
        for pipe, shard in busy.items():
            _send(pipe, processes[pipe], shard)
        while busy:
            ready = multiprocessing.connection.wait(list(busy))
            for pipe in [pipe for pipe in busy if pipe in ready]:
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


def run_worker(pipe: Connection) -> None:
    """Write the shards that arrive through a pipe until it is closed."""
    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
    load_tensorflow()
    logging.getLogger("sagan_tf").disabled = True  # the parent receives and logs the skipped images
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            shard = pipe.recv()
            pipe.send(_try_to_write_shard(shard, lambda *done: pipe.send(("done", *done))))


def _try_to_write_shard(shard: Shard, report: Callable[..., None]) -> tuple[str, Any]:
    from tools.preparation.shards import write_shard

    try:
        return "finished", write_shard(shard, report)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except (UserError, OSError) as error:
        return "failed", error


@contextlib.contextmanager
def _start_processes(count: int) -> Iterator[dict[Connection, BaseProcess]]:
    """Start processes that call `run_worker`, by pipe; they end with the context."""
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    processes: dict[Connection, BaseProcess] = {}
    # Ctrl-C goes to all processes of a terminal. The workers inherit that it is ignored; this process ends them.
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        try:
            for _ in range(count):
                pipe, worker_pipe = context.Pipe()
                processes[pipe] = context.Process(target=run_worker, args=(worker_pipe,), daemon=True)
                processes[pipe].start()
                worker_pipe.close()
        finally:
            signal.signal(signal.SIGINT, on_interrupt)
        yield processes
    finally:
        for process in processes.values():
            process.kill()  # incomplete files are written again; nothing else is lost
        for process in processes.values():
            process.join()


def _send(pipe: Connection, process: BaseProcess, shard: Shard) -> None:
    try:
        pipe.send(shard)
    except BrokenPipeError:
        raise _create_worker_error(process) from None


def _receive(pipe: Connection, process: BaseProcess) -> tuple[Any, ...]:
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        raise _create_worker_error(process) from None


def _create_worker_error(process: BaseProcess) -> WorkerError:
    process.join()
    code = process.exitcode or 0
    return WorkerError(
        f"num_workers: a process ended unexpectedly with {f'signal {-code}' if code < 0 else f'status {code}'}; run "
        "the same command again to continue, with fewer workers if memory is short"
    )
