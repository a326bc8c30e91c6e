"""Training with the steps that `tools/lower_training.py write` has stored; needs only numpy and jax 0.11.

    python run_lowered_training.py DIR --steps=1240 --save_every=500

Training continues from the newest variables in DIR, adds lines to DIR/metrics.jsonl and saves DIR/variables-STEP.npz.
Every epoch shuffles all images. Order and flips depend only on the seed and the step, so that an interrupted run
continues with the same images. SIGINT or SIGTERM saves after the current call and exits; a second one exits at once.
"""

from __future__ import annotations

import argparse  # This file is copied to machines that have neither sagan_tf nor absl.
import contextlib
import itertools
import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_VARIABLES = re.compile(r"variables-([0-9]{8,})\.npz")
# RuntimeError: errors of XLA, such as too little memory. AttributeError: a different version of JAX.
_RUN_ERRORS = (ImportError, AttributeError, OSError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError)


class Program:
    """Compiled program and its variables, on the first device that JAX finds.

    Args:
        directory: Directory that `lower_training.py write` has made.
        description: Content of its `training.json`.
    """

    def __init__(self, directory: Path, description: dict[str, Any]) -> None:
        import jax
        from jax._src.lib import xla_client  # JAX has no public function that compiles an HLO module

        jax.config.update("jax_enable_x64", True)  # counters are int64
        self._inputs: list[int] = description["inputs"]
        computation = xla_client.XlaComputation((directory / "training.hlo").read_bytes())
        module = xla_client._xla.mlir.xla_computation_to_mlir_module(computation)
        # JAX does not send mhlo.copy, which is not StableHLO, to a GPU.
        module = re.sub(r"mhlo\.copy (%\S+) : (tensor<\S+>)", r"stablehlo.reshape \1 : (\2) -> \2", module)
        self.device = jax.devices()[0]
        self._executable = self.device.client.compile_and_load(
            module, xla_client.DeviceList((self.device,)), xla_client.CompileOptions()
        )
        # An output that replaces a variable is aliased with its parameter; the header has {output}: (parameter, ...).
        head = computation.as_hlo_text().partition("\n")[0]
        self._replaced = {int(output): int(index) for output, index in re.findall(r"\{(\d+)\}: \((\d+), \{\}", head)}
        self.put = jax.device_put

    def load(self, path: Path) -> None:
        """Load the variables of a file."""
        self._values = [value for _, value in sorted(read_arrays(path).items())]
        self._variables = [self.put(self._values[index]) for index in self._inputs]

    def call(self, *arguments: Any) -> np.ndarray:
        """Run the steps of one call and return the means of the metrics."""
        results = self._executable.execute([*map(self.put, arguments), *self._variables])
        for output, parameter in self._replaced.items():
            self._variables[parameter - len(arguments)] = results[output]
        return np.asarray(results[0])

    def save(self, path: Path) -> None:
        """Write all variables atomically, including those that no step changes."""
        for index, variable in zip(self._inputs, self._variables, strict=True):
            self._values[index] = np.asarray(variable)
        arrays: dict[str, Any] = {f"{index:05d}": value for index, value in enumerate(self._values)}
        with _replace_atomically(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)


@contextlib.contextmanager
def _replace_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary file that replaces `path` at the end, as in `sagan_tf.files`, which is missing here."""
    partial = path.with_name(f".{path.name}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def generate_draws(num_images: int, seed: int, position: int) -> Iterator[tuple[int, bool]]:
    """Yield the row of an image and whether to flip it, without end.

    Args:
        num_images: Number of images of the data set.
        seed: Seed of the run.
        position: Number of images that the run has drawn before.
    """
    epoch, first = divmod(position, num_images)
    while True:
        generator = np.random.default_rng([seed, epoch])
        order, flips = generator.permutation(num_images), generator.random(num_images) < 0.5
        yield from zip(order[first:].tolist(), flips[first:].tolist(), strict=True)
        epoch, first = epoch + 1, 0


def find_variables(directory: Path) -> dict[int, Path]:
    """Find the files variables-STEP.npz of a directory, by step."""
    return {int(match[1]): path for path in sorted(directory.iterdir()) if (match := _VARIABLES.fullmatch(path.name))}


def read_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Read arrays (default: all) of a `.npz` file; raise ValueError if that fails."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in names or file.files}
    except Exception as error:  # damaged archives raise nearly every kind of exception
        raise ValueError(f"DIR: {path} cannot be read as a .npz file ({error})") from error


def read_description(directory: Path) -> dict[str, Any]:
    """Read the description of a program; raise ValueError if that fails."""
    path = directory / "training.json"
    expected = {"inputs": list, "metrics": list, "random_flip": bool, "rows_shape": list, "seed": int}
    try:
        description = dict(json.loads(path.read_bytes()))
        if wrong := [name for name, kind in expected.items() if not isinstance(description[name], kind)]:
            raise TypeError(f"{wrong[0]}: {description[wrong[0]]!r}")
        return description
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"DIR: {path} was not written by `lower_training.py write` ({error!r})") from error


def remove_later_metrics(path: Path, done: int) -> None:
    """Remove truncated lines and those of steps after `done`, which are trained again."""
    lines = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if json.loads(line)["step"] <= done:
                lines.append(line + b"\n")
    with _replace_atomically(path) as partial:
        partial.write_bytes(b"".join(lines))


@contextlib.contextmanager
def record_signals() -> Iterator[list[int]]:
    """Record the first SIGINT or SIGTERM; a second one acts as before the context."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    received: list[int] = []

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def record(number: int, frame: Any) -> None:
        received.append(number)
        restore()

    for number in handlers:
        signal.signal(number, record)
    try:
        yield received
    finally:
        restore()


def train(directory: Path, steps: int, save_every: int) -> int:
    """Train until a step, and save variables at intervals.

    Args:
        directory: Directory that `lower_training.py write` has made.
        steps: Last step.
        save_every: Steps between saved variables, rounded up to whole calls.

    Returns:
        The exit status: 0, or 128 plus the number of the signal that ended the training early.

    Raises:
        ValueError: `steps` cannot be reached by whole calls, or a file is damaged.
        ArithmeticError: A metric is not finite.
    """
    description, files = read_description(directory), find_variables(directory)
    if not files:
        raise ValueError(f"DIR: no variables-STEP.npz in {directory}; run `lower_training.py write` first")
    done, calls = max(files), description["rows_shape"][0]
    if steps < done or (steps - done) % calls:
        raise ValueError(f"--steps: expected {done} plus a multiple of {calls} (steps per call), received {steps}")
    if steps == done:
        print(f"nothing to do: {files[done]} exists", flush=True)
        return 0
    data = read_arrays(directory / "images.npz", "images", "labels")
    program = Program(directory, description)
    program.load(files[done])
    remove_later_metrics(directory / "metrics.jsonl", done)
    print(f"{program.device}: from step {done} to {steps}", flush=True)
    with (directory / "metrics.jsonl").open("a", encoding="utf-8") as file, record_signals() as signals:
        for line in run_calls(program, description, data, done, steps):
            file.write(json.dumps(line) + "\n")
            file.flush()
            before, done = done, line["step"]
            number = signals[0] if signals and done < steps else 0
            if number or done // save_every > before // save_every or done >= steps:
                program.save(directory / f"variables-{done:08d}.npz")
                print(json.dumps(line), flush=True)
            if number:
                print(f"stopped at step {done} and saved; run the same command again to continue", flush=True)
                return 128 + number
    return 0


def run_calls(
    program: Program, description: dict[str, Any], data: dict[str, np.ndarray], done: int, steps: int
) -> Iterator[dict[str, Any]]:
    """Run the program until a step; yield the step and the metrics after each call."""
    shape = tuple(description["rows_shape"])
    calls, per_call = shape[0], int(np.prod(shape))
    images, labels = program.put(data["images"]), program.put(data["labels"])
    stream = generate_draws(len(labels), description["seed"], done * (per_call // calls))
    while done < steps:
        start = time.perf_counter()
        drawn = np.array(list(itertools.islice(stream, per_call)), np.int32).reshape(*shape, 2)
        rows, flips = drawn[..., 0], drawn[..., 1].astype(bool) & description["random_flip"]
        metrics = program.call(images, labels, np.ascontiguousarray(rows), flips)
        done += calls
        line = {"step": done, **dict(zip(description["metrics"], metrics.tolist(), strict=True))}
        if not np.isfinite(metrics).all():
            raise ArithmeticError(f"metrics are not finite: {line}")
        yield line | {"steps_per_second": round(calls / (time.perf_counter() - start), 3)}


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the directory of lower_training.py write")
    parser.add_argument("--steps", type=int, required=True, help="train until this step")
    parser.add_argument("--save_every", type=int, default=10_000, help="steps between saved variables; default: 10000")
    options = parser.parse_args(arguments)
    try:
        if options.save_every < 1:
            raise ValueError(f"--save_every: expected at least 1, received {options.save_every}")
        return train(options.directory.expanduser(), options.steps, options.save_every)
    except _RUN_ERRORS as error:
        hint = "; install jax 0.11" if isinstance(error, ImportError | AttributeError) else ""
        print(f"run_lowered_training.py: error: {' '.join(str(error).splitlines())}{hint}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
