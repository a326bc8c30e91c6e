"""Asks a served generator for pictures as fast as it gives them, and checks every answer.

    python tools/serving/load_generator.py --server=localhost:8500 --requests=2000 --concurrency=4 --batch_sizes=1,4,16

Reports throughput and latency for each batch size. The same seed, label and truncation must give the same file whenever
they are asked for, alone or among others. With --malformed a share of the requests is wrong, each kind in its turn, and
must be refused. The exit status is 1 if a good request failed, or a bad one was answered or not refused for what it is.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sagan_tf.cli.console import run_command
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_file, write_atomically, write_result
from sagan_tf.serving.classes import read_classes
from sagan_tf.serving.client import Client
from sagan_tf.serving.contract import GENERATE, GENERATOR_SIGNATURES, LARGEST_BATCH, MODEL_NAME, SERVING_DEFAULT
from sagan_tf.serving.transports import Refused

_PROGRAM = "load_generator"
_DISTINCT = 64
"""Pictures that are asked for over and over."""
_TRUNCATIONS = (8.0, 1.0, 0.5)
_PERCENTILES = (50, 90, 99)
_MOST_MESSAGES = 5

Key = tuple[int, int, float]
"""Seed, label and truncation of a picture."""
Request = tuple[str, dict[str, np.ndarray]]
"""A signature and its inputs."""


def _pictures(rows: int, **others: np.ndarray) -> Request:
    """Return a good request, or one with other inputs."""
    inputs: dict[str, np.ndarray] = {
        "seeds": np.arange(rows, dtype=np.int64),
        "labels": np.zeros(rows, np.int32),
        "truncation": np.ones(rows, np.float32),
    }
    return GENERATE, inputs | others


def _images(rows: int, latent_dim: int, value: float) -> Request:
    latents: np.ndarray = np.full((rows, latent_dim), value, np.float32)
    return SERVING_DEFAULT, {"latents": latents, "labels": np.zeros(rows, np.int32)}


MALFORMED: dict[str, Callable[[int, int], Request]] = {
    "label too large": lambda rows, _: _pictures(rows, labels=np.full(rows, 2**31 - 1, np.int32)),
    "label below 0": lambda rows, _: _pictures(rows, labels=np.full(rows, -1, np.int32)),
    "truncation below 0": lambda rows, _: _pictures(rows, truncation=np.full(rows, -1.0, np.float32)),
    "truncation not a number": lambda rows, _: _pictures(rows, truncation=np.full(rows, np.nan, np.float32)),
    "wrong shape": lambda rows, _: _pictures(rows, seeds=np.zeros((rows, 2), np.int64)),
    "wrong latent_dim": lambda rows, latent_dim: _images(rows, latent_dim + 1, 0.0),
    "wrong dtype": lambda rows, _: _pictures(rows, labels=np.full(rows, 0.5, np.float32)),
    "latents not a number": lambda rows, latent_dim: _images(rows, latent_dim, np.nan),
    "latents too large": lambda rows, latent_dim: _images(rows, latent_dim, 3e38),
    "batch over the limit": lambda rows, _: _pictures(LARGEST_BATCH + 1),
    "unknown signature": lambda rows, _: ("no_such_signature", _pictures(rows)[1]),
}
"""What a server must refuse: from a number of rows and latent_dim to a request."""


class Ledger:
    """What came of the requests so far; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._digests: dict[Key, str] = {}
        self.counts: collections.Counter[str] = collections.Counter()
        self.messages: list[str] = []

    def check(self, keys: Sequence[Key], files: Sequence[bytes]) -> None:
        """Return whether files are PNG, and those that the same keys gave before."""
        for key, file in zip(keys, files, strict=True):
            digest = hashlib.sha256(file).hexdigest()
            with self._lock:
                is_known = key in self._digests
                is_right = self._digests.setdefault(key, digest) == digest and file.startswith(b"\x89PNG")
            self.count("pictures compared with an earlier one", is_known)
            if not is_right:
                self.fail("wrong pictures", f"seed, label, truncation {key}: expected the same PNG file as before")

    def count(self, what: str, times: int = 1) -> None:
        """Count what went as it should."""
        with self._lock:
            self.counts[what] += times

    def fail(self, what: str, message: str) -> None:
        """Count what did not, and keep the first messages."""
        with self._lock:
            self.counts[what] += 1
            if len(self.messages) < _MOST_MESSAGES:
                self.messages.append(f"{what}: {message}")


def keys_of(index: int, rows: int, num_classes: int) -> list[Key]:
    """Return the pictures that a request asks for: a few of the same ones, mixed anew in every request."""
    seeds = np.random.default_rng(index).integers(_DISTINCT, size=rows)
    return [(int(seed), int(seed) % num_classes, _TRUNCATIONS[seed % len(_TRUNCATIONS)]) for seed in seeds]


def ask_well(client: Client, ledger: Ledger, keys: Sequence[Key]) -> float:
    """Make a good request; return the seconds that it took."""
    begin = time.perf_counter()
    try:
        files = client.generate(*(np.array(values) for values in zip(*keys, strict=True)))
    except UserError as error:
        ledger.fail("good requests that failed", str(error))
        return time.perf_counter() - begin
    seconds = time.perf_counter() - begin
    ledger.count("good requests answered")
    ledger.check(keys, files)
    return seconds


def ask_badly(client: Client, ledger: Ledger, kind: str, request: Request, timeout_s: float) -> None:
    """Make a bad request, past the checks of the client."""
    signature, inputs = request
    contract = GENERATOR_SIGNATURES.get(signature, GENERATOR_SIGNATURES[GENERATE])
    try:
        client.transport.predict(signature, inputs, next(iter(contract.outputs)), timeout_s)
    except Refused:
        ledger.count("bad requests refused")
    except UserError as error:
        ledger.fail("bad requests that failed otherwise", f"{kind}: {error}")
    else:
        ledger.fail("bad requests answered", kind)


def measure(client: Client, ledger: Ledger, rows: int, latent_dim: int, options: argparse.Namespace) -> dict[str, Any]:
    """Make all requests of one batch size; return throughput and latencies of the good ones."""

    def ask(index: int) -> float | None:
        number = int(index * options.malformed)  # of the bad request, if this is one
        if int((index + 1) * options.malformed) > number:
            kind = list(MALFORMED)[number % len(MALFORMED)]
            ask_badly(client, ledger, kind, MALFORMED[kind](rows, latent_dim), options.timeout)
            return None
        return ask_well(client, ledger, keys_of(index, rows, options.num_classes))

    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(options.concurrency) as threads:
        seconds = [one for one in threads.map(ask, range(options.requests)) if one is not None]
    elapsed = time.perf_counter() - begin
    percentiles: np.ndarray = np.percentile(seconds, (*_PERCENTILES, 100)) if seconds else np.zeros(0)
    names = [*(f"p{percentile}_ms" for percentile in _PERCENTILES), "max_ms"]
    return {
        "batch_size": rows,
        "requests": len(seconds),
        "requests_per_second": len(seconds) / elapsed,
        "images_per_second": rows * len(seconds) / elapsed,
        **dict(zip(names, (1000.0 * percentiles).tolist(), strict=False)),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all batch sizes; return what was measured and what came of the requests."""
    ledger = Ledger()
    client = Client(options.server, rest=options.rest, model=options.model, timeout_s=options.timeout)
    with client:
        latent_dim = client.signature(SERVING_DEFAULT).inputs["latents"].shape[1]
        ask_well(client, Ledger(), keys_of(0, 1, options.num_classes))  # whatever a first request has to wait for
        measured = [measure(client, ledger, rows, int(latent_dim), options) for rows in options.batch_sizes]
    failed = sum(count for what, count in ledger.counts.items() if what not in _GOOD)
    return {"measured": measured, "counts": dict(ledger.counts), "failed": failed, "messages": ledger.messages}


_GOOD = ("good requests answered", "bad requests refused", "pictures compared with an earlier one")


def report(result: dict[str, Any]) -> str:
    """Return the result as text."""
    lines = []
    for one in result["measured"]:
        latencies = "  ".join(f"{name.removesuffix('_ms')} {one[name]:.1f}" for name in one if name.endswith("_ms"))
        lines.append(
            f"batch {one['batch_size']:3d}: {one['requests_per_second']:8.1f} requests/s "
            f"{one['images_per_second']:8.1f} images/s   ms: {latencies}"
        )
    lines += [f"{what}: {count}" for what, count in sorted(result["counts"].items())]
    return "\n".join([*lines, *result["messages"]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    options = _parse(arguments)
    try:
        if options.json is not None:
            check_can_write_file(options.json, "json")
        if options.model_card:
            options.num_classes = max(read_classes(options.model_card).count or 0, 1)
        result = run(options)
        print(report(result))
        if options.json is not None:
            settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
            content = json.dumps({"options": settings, **result}, indent=2) + "\n"
            write_result(options.json, "json", lambda path: write_atomically(path, content))
    except UserError as error:
        sys.stderr.write(f"{_PROGRAM}: error: {error}\n")
        return 2
    return 1 if result["failed"] else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--server", required=True, help="HOST:PORT of the gRPC interface, or with --rest of the REST interface")
    add("--rest", action="store_true", help="ask by REST instead of gRPC")
    add("--model", default=MODEL_NAME, help="name of the model (default: %(default)s)")
    add("--model_card", default="", help="model_card.json of the model: says how many classes there are")
    add(
        "--num_classes", type=_at_least_one, default=1, help="the same, without a card (default: ask for class 0 alone)"
    )
    add("--requests", type=_at_least_one, default=1000, help="for each batch size (default: %(default)s)")
    add("--concurrency", type=_at_least_one, default=4, help="requests under way at a time (default: %(default)s)")
    add("--batch_sizes", type=_batch_sizes, default=[1, 4, 16], help="pictures in a request (default: 1,4,16)")
    add("--malformed", type=_share, default=0.0, help="share of bad requests, 0 to 1 (default: 0)")
    add("--timeout", type=float, default=60.0, help="seconds to wait for an answer (default: 60)")
    add("--json", type=Path, help="file to write the result to")
    return parser.parse_args(arguments)


def _at_least_one(text: str) -> int:
    number = int(text) if text.strip().isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {text}")
    return number


def _batch_sizes(text: str) -> list[int]:
    sizes = [_at_least_one(part) for part in text.split(",")]
    if max(sizes) > LARGEST_BATCH:
        raise argparse.ArgumentTypeError(f"expected at most {LARGEST_BATCH}, received {max(sizes)}")
    return sizes


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected 0 to 1, received {text}")
    return share


if __name__ == "__main__":
    sys.exit(run_command(_PROGRAM, main, prints_result=True))
