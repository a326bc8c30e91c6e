"""Lowers training to an XLA program that runs where TensorFlow cannot be installed, and collects its results.

    python tools/lower_training.py write DIR --flagfile=configs/quickstart.cfg --run_dir=runs/elsewhere
    python tools/run_lowered_training.py DIR --steps=1240 --save_every=500    (needs numpy and jax 0.11, nothing else)
    python tools/lower_training.py collect DIR

`write` stores in DIR, a new directory, everything that training needs: a program of `--steps_per_call` training steps
(an HLO module), the variables that the run starts with (those of its newest checkpoint, if it has one) and all images
of the data set. Copy DIR and run_lowered_training.py to the other machine, and DIR back. `collect` then adds a
checkpoint to the run's directory for each step whose variables were saved. These are ordinary checkpoints for
`sagan_tf.evaluate`, `sample` and `export`, and `sagan_tf.train` resumes from the newest. The metrics of the
program stay in DIR/metrics.jsonl.

The program trains on one device, of any kind that XLA compiles for. It makes the updates of `sagan_tf.train` and none
of its evaluations, sample grids or rollbacks. Its order of images is another one, and its latents are those of
`--jit_compile`: XLA makes other normal numbers of the same random bits. Layers have their forms for a GPU or TPU, on
whatever machine they are lowered; on a CPU the program is slower than it could be.

    python tools/lower_training.py updates DIR --flagfile=configs/imagenet.cfg --num_classes=1000

`updates` stores the discriminator's and the generator's update in DIR, a new directory, as StableHLO text. It needs the
number of classes and no data; --global_batch_size is the batch of one replica. `tools/compile_for_tpu.py` compiles them
for a TPU and reports the memory that they take there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.console import run_action, run_command
from sagan_tf.cli.flags import parse_config
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.exporting.atomic_directories import replace_directories_atomically
from sagan_tf.files import check_can_write_directory

NAME = "tools/lower_training.py"


def write(directory: Path, steps_per_call: int, config: Config) -> str:
    """Write the program of a configuration into a new directory.

    Args:
        directory: the directory, which appears as a whole or not at all.
        steps_per_call: training steps of one call of the program.
        config: the run.

    Returns:
        A line that describes what was written.

    Raises:
        UserError: the configuration or its data cannot be used, or the directory exists.
    """
    if steps_per_call < 1:
        raise UserError(f"steps_per_call: expected at least 1, received {steps_per_call}")
    _check_new(directory)
    load_tensorflow()
    from tools.lowering.inputs import prepare_run
    from tools.lowering.program import lower
    from tools.lowering.storage import write_directory

    run = prepare_run(config)
    program = lower(run.config, run.state, len(run.labels), steps_per_call)
    with replace_directories_atomically([directory], overwrite=False) as (new,):
        write_directory(new, program, run)
    return (
        f"{directory}: from step {int(run.state.step.numpy())}, {steps_per_call} steps a call, "
        f"{len(program.module):,} bytes, {len(program.inputs)} variables, {len(run.labels):,} images"
    )


def write_updates(directory: Path, config: Config) -> str:
    """Write the two updates of a configuration as StableHLO into a new directory.

    Args:
        directory: the directory, which appears as a whole or not at all.
        config: the run, with its number of classes.

    Returns:
        A line that describes what was written.

    Raises:
        UserError: the configuration cannot be used or compiled, or the directory exists.
    """
    _check_new(directory)
    load_tensorflow()
    from sagan_tf.training.state import create_state
    from sagan_tf.training.validation import check_config
    from tools.lowering.updates import lower_updates

    check_config(config)
    if config.model.conditioning != "none" and not config.model.num_classes:
        raise UserError("num_classes: expected the number of classes of the data set, received 0")
    modules = lower_updates(config, create_state(config))
    with replace_directories_atomically([directory], overwrite=False) as (new,):
        for name, module in modules.items():
            (new / f"{name}.mlir").write_text(module, encoding="utf-8")
    sizes = ", ".join(f"{name}.mlir with {len(module):,} characters" for name, module in modules.items())
    return f"{directory}: {sizes}"


def collect(directory: Path, run_dir: str) -> str:
    """Add a checkpoint to the run's directory for each step whose variables were saved.

    Args:
        directory: what `write` has written and the program has added variables to.
        run_dir: the directory of the run; empty: the one that `write` was given.

    Returns:
        A line that describes what was added.

    Raises:
        UserError: the directory or the run cannot be used.
    """
    load_tensorflow()
    from tools.lowering.collection import add_checkpoints

    run_directory, steps = add_checkpoints(directory, run_dir)
    return f"{run_directory}: added {len(steps)} checkpoints, of steps {', '.join(map(str, steps))}"


def _check_new(directory: Path) -> None:
    check_can_write_directory(directory, "DIR")
    if directory.exists():
        raise UserError(f"DIR: expected the name of a new directory, received {directory}, which exists")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options, flags = _parse(arguments)
    directory = options.directory.expanduser()
    if options.action == "collect":
        return run_action(NAME, lambda: print(collect(directory, options.run_dir)))
    if options.action == "updates":
        return run_action(NAME, lambda: print(write_updates(directory, parse_config(flags))))
    return run_action(NAME, lambda: print(write(directory, options.steps_per_call, parse_config(flags))))


def _parse(arguments: Sequence[str] | None) -> tuple[Any, list[str]]:
    """Return the options of the tool and the remaining flags, which are those of `sagan_tf.train`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    actions = parser.add_subparsers(dest="action", required=True)
    writing = actions.add_parser("write", allow_abbrev=False, help="lower the training of a configuration")
    writing.add_argument("--steps_per_call", type=int, default=50, metavar="N", help="steps of a call; default: 50")
    lowering = actions.add_parser("updates", allow_abbrev=False, help="lower the two updates to StableHLO")
    for action in (writing, lowering):
        action.epilog = "All other flags are those of `python -m sagan_tf.train`, written --name=value."
        action.add_argument("directory", type=Path, metavar="DIR", help="the directory to make")
    collecting = actions.add_parser("collect", allow_abbrev=False, help="add checkpoints to the run's directory")
    collecting.add_argument("directory", type=Path, metavar="DIR", help="what `write` has made")
    collecting.add_argument(
        "--run_dir", default="", help="the run's directory; default: the one that `write` was given"
    )
    options, flags = parser.parse_known_args(arguments)
    if flags and options.action == "collect":
        parser.error(f"unrecognized arguments: {' '.join(flags)}")
    return options, flags


if __name__ == "__main__":
    sys.exit(run_command(NAME, main))
