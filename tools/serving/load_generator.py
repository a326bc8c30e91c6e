"""Measure a served generator under load, and check every answer.

    python tools/serving/load_generator.py --server=localhost:8500 --requests=2000 --concurrency=4 --batch_sizes=1,4,16

The tool sends requests as fast as the server answers, and reports throughput and latency for each batch size. The same
seed, label and truncation must give the same PNG file in every request and in any batch. With --malformed, a share of
the requests is malformed in changing ways, and the server must refuse them. The exit status is 1 if a good request
failed or gave a wrong file, or if a malformed request was answered or failed in another way.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.errors import CommandEndedError, UserError
from sagan_tf.files import check_can_write_file, write_result_atomically
from sagan_tf.serving.classes import read_classes
from sagan_tf.serving.connection import Client
from sagan_tf.serving.contract import GENERATE, GENERATOR_SIGNATURES, SERVING_DEFAULT
from sagan_tf.serving.transports import RequestRefusedError
from tools.serving.malformed_requests import MALFORMED_REQUESTS, Request
from tools.serving.options import LoadOptions
from tools.serving.request_log import (
    BAD_ANSWERED,
    BAD_FAILED,
    BAD_REFUSED,
    GOOD_ANSWERED,
    GOOD_FAILED,
    Key,
    RequestLog,
)

_NUM_SEEDS = 64
"""Number of different images, which are requested again and again."""
_TRUNCATIONS = (8.0, 1.0, 0.5)
_PERCENTILES = (50, 90, 99)


def choose_keys(index: int, rows: int, num_classes: int) -> list[Key]:
    """Return the keys of the images of a request.

    Every index gives a different selection from the same 64 images.
    """
    seeds = np.random.default_rng(index).integers(_NUM_SEEDS, size=rows)
    return [(int(seed), int(seed) % num_classes, _TRUNCATIONS[seed % len(_TRUNCATIONS)]) for seed in seeds]


def send_good_request(client: Client, log: RequestLog, keys: Sequence[Key]) -> float:
    """Send a good request, and return the seconds that it took."""
    begin = time.perf_counter()
    try:
        files = client.generate(*(np.array(values) for values in zip(*keys, strict=True)))
    except UserError as error:
        log.add_failure(GOOD_FAILED, str(error))
        return time.perf_counter() - begin
    seconds = time.perf_counter() - begin
    log.add(GOOD_ANSWERED)
    log.check_files(keys, files)
    return seconds


def send_malformed_request(client: Client, log: RequestLog, kind: str, request: Request, timeout_s: float) -> None:
    """Send a malformed request without the checks of the client."""
    signature, inputs = request
    contract = GENERATOR_SIGNATURES.get(signature, GENERATOR_SIGNATURES[GENERATE])
    try:
        client.transport.predict(signature, inputs, next(iter(contract.outputs)), timeout_s)
    except RequestRefusedError:
        log.add(BAD_REFUSED)
    except UserError as error:
        log.add_failure(BAD_FAILED, f"{kind}: {error}")
    else:
        log.add_failure(BAD_ANSWERED, kind)


def measure_batch_size(
    client: Client, log: RequestLog, rows: int, latent_dim: int, options: LoadOptions
) -> dict[str, Any]:
    """Send all requests of a batch size.

    Returns:
        Throughput and latencies of the good requests.
    """

    def send(index: int) -> float | None:
        number = int(index * options.malformed)  # of malformed requests before this one
        if int((index + 1) * options.malformed) > number:
            kind = list(MALFORMED_REQUESTS)[number % len(MALFORMED_REQUESTS)]
            request = MALFORMED_REQUESTS[kind](rows, latent_dim)
            send_malformed_request(client, log, kind, request, options.timeout)
            return None
        return send_good_request(client, log, choose_keys(index, rows, options.num_classes))

    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(options.concurrency) as threads:
        durations = [duration for duration in threads.map(send, range(options.requests)) if duration is not None]
    elapsed = time.perf_counter() - begin
    percentiles: np.ndarray = np.percentile(durations, (*_PERCENTILES, 100)) if durations else np.zeros(0)
    names = [*(f"p{percentile}_ms" for percentile in _PERCENTILES), "max_ms"]
    return {
        "batch_size": rows,
        "requests": len(durations),
        "requests_per_second": len(durations) / elapsed,
        "images_per_second": rows * len(durations) / elapsed,
        **dict(zip(names, (1000.0 * percentiles).tolist(), strict=False)),
    }


def measure(options: LoadOptions) -> dict[str, Any]:
    """Measure all batch sizes.

    Returns:
        The measurements and the outcomes of the requests.
    """
    log = RequestLog()
    client = Client(options.server, rest=options.rest, model=options.model, timeout_s=options.timeout)
    with client:
        latent_dim = client.signature(SERVING_DEFAULT).inputs["latents"].shape[1]
        # The first request may have to wait for the server to start, and is not measured.
        send_good_request(client, RequestLog(), choose_keys(0, 1, options.num_classes))
        measured = [measure_batch_size(client, log, rows, int(latent_dim), options) for rows in options.batch_sizes]
    return {"measured": measured, "counts": dict(log.counts), "failed": log.num_failures, "messages": log.messages}


def format_report(result: dict[str, Any]) -> str:
    """Return the result as text."""
    lines = []
    for row in result["measured"]:
        latencies = "  ".join(f"{name.removesuffix('_ms')} {row[name]:.1f}" for name in row if name.endswith("_ms"))
        lines.append(
            f"batch {row['batch_size']:3d}: {row['requests_per_second']:8.1f} requests/s "
            f"{row['images_per_second']:8.1f} images/s   ms: {latencies}"
        )
    lines += [f"{outcome}: {count}" for outcome, count in sorted(result["counts"].items())]
    return "\n".join([*lines, *result["messages"]])


def main(options: LoadOptions) -> None:
    """Measure a server, print the result and write it.

    Raises:
        UserError: If an option is wrong, the server cannot be reached or the result cannot be written.
        CommandEndedError: If the server failed a check.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # The report counts failures; warnings would interrupt it.
    output = Path(os.path.expanduser(options.json))
    if options.json:
        check_can_write_file(output, "json")
    if options.model_card:
        options = dataclasses.replace(options, num_classes=max(read_classes(options.model_card).count or 0, 1))
    result = measure(options)
    print(format_report(result))
    if options.json:
        content = json.dumps({"options": dataclasses.asdict(options), **result}, indent=2) + "\n"
        write_result_atomically(output, "json", content)
    if result["failed"]:
        raise CommandEndedError(f"{result['failed']} requests failed or had wrong answers", status=1)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return run_command_line(
        "tools/serving/load_generator.py", __doc__, main, LoadOptions, argv=argv, prints_result=True
    )


if __name__ == "__main__":
    sys.exit(run())
