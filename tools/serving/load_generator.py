"""Measure a served generator under load, and check every answer.

    python tools/serving/load_generator.py --server=localhost:8500 --requests=2000 --concurrency=4 --batch_sizes=1,4,16

The tool sends requests as fast as the server answers, and reports throughput and latency for each batch size. The same
seed, label and truncation must give the same PNG file in every request and in any batch. With --malformed, a share of
the requests is malformed in changing ways, and the server must refuse them. The exit status is 1 if a good request
failed or gave a wrong file, or if a malformed request was answered or failed in another way.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sagan_tf.cli.console import run_command
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_file, write_atomically, write_result
from sagan_tf.serving.classes import read_classes
from sagan_tf.serving.client import Client
from sagan_tf.serving.contract import GENERATE, GENERATOR_SIGNATURES, MAX_BATCH_SIZE, MODEL_NAME, SERVING_DEFAULT
from sagan_tf.serving.transports import RequestRefusedError
from tools.serving.malformed_requests import MALFORMED_REQUESTS, Request
from tools.serving.request_log import (
    BAD_ANSWERED,
    BAD_FAILED,
    BAD_REFUSED,
    GOOD_ANSWERED,
    GOOD_FAILED,
    Key,
    RequestLog,
)

_PROGRAM = "load_generator"
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
    client: Client, log: RequestLog, rows: int, latent_dim: int, options: argparse.Namespace
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


def run(options: argparse.Namespace) -> dict[str, Any]:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    options = _parse(arguments)
    try:
        if options.json is not None:
            check_can_write_file(options.json, "json")
        if options.model_card:
            options.num_classes = max(read_classes(options.model_card).count or 0, 1)
        result = run(options)
        print(format_report(result))
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
    add("--rest", action="store_true", help="use REST instead of gRPC")
    add("--model", default=MODEL_NAME, help="name of the model (default: %(default)s)")
    add("--model_card", default="", help="model_card.json of the model, with the number of classes")
    add(
        "--num_classes",
        type=_parse_positive_number,
        default=1,
        help="number of classes, without a model card (default: 1, which requests class 0 only)",
    )
    add("--requests", type=_parse_positive_number, default=1000, help="for each batch size (default: %(default)s)")
    add(
        "--concurrency", type=_parse_positive_number, default=4, help="requests at the same time (default: %(default)s)"
    )
    add("--batch_sizes", type=_parse_batch_sizes, default=[1, 4, 16], help="images per request (default: 1,4,16)")
    add("--malformed", type=_parse_share, default=0.0, help="share of malformed requests, 0 to 1 (default: 0)")
    add("--timeout", type=float, default=60.0, help="seconds to wait for an answer (default: 60)")
    add("--json", type=Path, help="file to write the result to")
    return parser.parse_args(arguments)


def _parse_positive_number(text: str) -> int:
    number = int(text) if text.strip().isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {text}")
    return number


def _parse_batch_sizes(text: str) -> list[int]:
    sizes = [_parse_positive_number(part) for part in text.split(",")]
    if max(sizes) > MAX_BATCH_SIZE:
        raise argparse.ArgumentTypeError(f"expected at most {MAX_BATCH_SIZE}, received {max(sizes)}")
    return sizes


def _parse_share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected 0 to 1, received {text}")
    return share


if __name__ == "__main__":
    sys.exit(run_command(_PROGRAM, main, prints_result=True))
