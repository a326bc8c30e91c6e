"""Runs the training steps that `tools/lower_training.py write` has stored: needs numpy and jax 0.11, nothing else.

    python run_lowered_training.py DIR --steps=900 --save_every=300

It continues from the newest variables in DIR, adds lines to DIR/metrics.jsonl and saves variables as
DIR/variables-STEP.npz. Every epoch has all images in another order. Order and flips are a function of the seed and the
step alone, so that a run that was interrupted continues with the same images.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


class Program:
    """A compiled program and its variables, on the first device that JAX finds.

    Args:
        directory: what `lower_training.py write` has made.
        description: what its `training.json` says.
    """

    def __init__(self, directory: Path, description: dict[str, Any]) -> None:
        import jax
        from jax._src.lib import xla_client  # JAX has no public function that compiles an HLO module

        jax.config.update("jax_enable_x64", True)  # counters are int64
        self._inputs: list[int] = description["inputs"]
        computation = xla_client.XlaComputation((directory / "training.hlo").read_bytes())
        module = _without_copies(xla_client._xla.mlir.xla_computation_to_mlir_module(computation))
        self.device = jax.devices()[0]
        self._executable = self.device.client.compile_and_load(
            module, xla_client.DeviceList((self.device,)), xla_client.CompileOptions()
        )
        # An output that replaces a variable is aliased with the parameter that held it: {output}: (parameter, ...).
        head = computation.as_hlo_text().partition("\n")[0]
        self._replaced = {int(output): int(index) for output, index in re.findall(r"\{(\d+)\}: \((\d+), \{\}", head)}
        self.put = jax.device_put

    def load(self, path: Path) -> None:
        """Take the variables of a file."""
        with np.load(path, allow_pickle=False) as file:
            self._values = [file[name] for name in sorted(file.files)]
        self._variables = [self.put(self._values[index]) for index in self._inputs]

    def call(self, *arguments: Any) -> np.ndarray:
        """Run the steps of one call; return the means of the metrics."""
        results = self._executable.execute([*map(self.put, arguments), *self._variables])
        for output, parameter in self._replaced.items():
            self._variables[parameter - len(arguments)] = results[output]
        return np.asarray(results[0])

    def save(self, path: Path) -> None:
        """Write all variables, including those that no step changes; the file appears as a whole or not at all."""
        for index, variable in zip(self._inputs, self._variables, strict=True):
            self._values[index] = np.asarray(variable)
        partial = path.with_name(f".{path.name}.part")
        try:
            with partial.open("wb") as file:
                np.savez(file, **{f"{index:05d}": value for index, value in enumerate(self._values)})
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _without_copies(module: str) -> str:
    """Return a module without `mhlo.copy`, which is no part of StableHLO and which JAX does not send to a GPU."""
    return re.sub(r"mhlo\.copy (%\S+) : (tensor<\S+>)", r"stablehlo.reshape \1 : (\2) -> \2", module)


def draws(num_images: int, seed: int, position: int) -> Iterator[tuple[int, bool]]:
    """Yield the row of an image and whether to flip it, without end.

    Args:
        num_images: images of the data set.
        seed: the seed of the run.
        position: how many images the run has drawn before.
    """
    epoch, first = divmod(position, num_images)
    while True:
        generator = np.random.default_rng([seed, epoch])
        order, flips = generator.permutation(num_images), generator.random(num_images) < 0.5
        yield from zip(order[first:].tolist(), flips[first:].tolist(), strict=True)
        epoch, first = epoch + 1, 0


def train(directory: Path, steps: int, save_every: int) -> None:
    """Train until a step, and save variables on the way.

    Args:
        directory: what `lower_training.py write` has made.
        steps: the step.
        save_every: steps between saved variables, rounded up to whole calls.

    Raises:
        ValueError: `steps` cannot be reached by whole calls.
        ArithmeticError: a metric is not finite.
    """
    description = json.loads((directory / "training.json").read_bytes())
    newest = max(directory.glob("variables-*.npz"))  # `write` has made the first
    done, shape = int(newest.stem.partition("-")[2]), tuple(description["rows_shape"])
    calls, per_call = shape[0], int(np.prod(shape))
    if steps < done or (steps - done) % calls:
        raise ValueError(f"--steps: expected {done} and a multiple of {calls}, the steps of a call, received {steps}")
    program = Program(directory, description)
    program.load(newest)
    with np.load(directory / "images.npz", allow_pickle=False) as file:
        images, labels = program.put(file["images"]), program.put(file["labels"])
    stream = draws(len(labels), description["seed"], done * (per_call // calls))
    print(f"{program.device}: from step {done} to {steps}", flush=True)
    with (directory / "metrics.jsonl").open("a", encoding="utf-8") as file:
        while done < steps:
            start = time.perf_counter()
            drawn = np.array(list(itertools.islice(stream, per_call)), np.int32).reshape(*shape, 2)
            rows, flips = drawn[..., 0], drawn[..., 1].astype(bool) & description["random_flip"]
            metrics = program.call(images, labels, np.ascontiguousarray(rows), flips)
            done += calls
            line = {"step": done, **dict(zip(description["metrics"], metrics.tolist(), strict=True))}
            if not np.isfinite(metrics).all():
                raise ArithmeticError(f"expected finite metrics, received {line}")
            line["steps_per_second"] = round(calls / (time.perf_counter() - start), 3)
            file.write(json.dumps(line) + "\n")
            file.flush()
            if done // save_every > (done - calls) // save_every or done >= steps:
                program.save(directory / f"variables-{done:08d}.npz")
                print(json.dumps(line), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="what lower_training.py write has made")
    parser.add_argument("--steps", type=int, required=True, help="train until this step")
    parser.add_argument("--save_every", type=int, default=10_000, help="steps between saved variables; default: 10000")
    options = parser.parse_args(arguments)
    try:
        if options.save_every < 1:
            raise ValueError(f"--save_every: expected at least 1, received {options.save_every}")
        train(options.directory.expanduser(), options.steps, options.save_every)
        return 0
    # RuntimeError: XLA's own errors, such as too little memory. AttributeError: another version of JAX.
    except (ImportError, AttributeError, OSError, ValueError, KeyError, ArithmeticError, RuntimeError) as error:
        hint = "; install jax 0.11" if isinstance(error, ImportError | AttributeError) else ""
        print(f"run_lowered_training.py: error: {' '.join(str(error).splitlines())}{hint}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
