"""Lowering of training to an XLA program for machines without TensorFlow, and collection of its results.

    python tools/lower_training.py write DIR --flagfile=configs/quickstart.cfg --run_dir=runs/elsewhere
    python tools/run_lowered_training.py DIR --steps=1240 --save_every=500    (needs only numpy and jax 0.11)
    python tools/lower_training.py collect DIR

`write` stores everything that training needs in DIR, a new directory: a program of `--steps_per_call` training steps
(an HLO module), the variables with which the run starts (those of its newest checkpoint, if it has one) and all images
of the data set. Copy DIR and run_lowered_training.py to the other machine, and DIR back. `collect` then adds a
checkpoint to the run's directory, or to another one given by --run_dir, for each step whose variables were saved. These
are ordinary checkpoints for `sagan_tf.evaluate`, `sample` and `export`, and `sagan_tf.train` resumes from the newest.
The metrics of the program stay in DIR/metrics.jsonl.

The program trains on one device, of any kind for which XLA compiles. It makes the updates of `sagan_tf.train` and none
of its evaluations, sample grids or rollbacks. Its order of images differs from that of `sagan_tf.train`. Its latents
are those of `--jit_compile`, since XLA derives different normal numbers from the same random bits. Layers have their
forms for a GPU or TPU, whatever the machine on which they are lowered; on a CPU the program is slower than necessary.

    python tools/lower_training.py updates DIR --flagfile=configs/imagenet.cfg --num_classes=1000

`updates` stores the updates of the discriminator and of the generator in DIR, a new directory, as StableHLO text. It
needs the number of classes and no data; --global_batch_size is the batch of one replica. `tools/compile_for_tpu.py`
compiles them for a TPU and reports the memory that they take there.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import report_unknown_action, run_command_line
from sagan_tf.cli.console import run_command
from sagan_tf.cli.flags import FlagError
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config import Config
from sagan_tf.config.option import check_positive, option
from sagan_tf.errors import UserError
from sagan_tf.exporting.atomic_directories import replace_directories_atomically
from sagan_tf.files import check_can_write_directory

_PROGRAM = "tools/lower_training.py"


@dataclasses.dataclass(frozen=True)
class LoweringOptions:
    """Options of the program that trains."""

    steps_per_call: int = option(50, "Training steps of one call of the program.")

    def __post_init__(self) -> None:
        check_positive(self, "steps_per_call")


@dataclasses.dataclass(frozen=True)
class CollectionOptions:
    """The run that receives the checkpoints."""

    run_dir: str = option("", "Directory of the run; empty: the one that was given to `write`.")


def write_program(directory: Path, options: LoweringOptions, config: Config) -> str:
    """Write the program of a configuration to a new directory.

    Args:
        directory: New directory, which appears complete or not at all.
        options: Options of the program.
        config: Configuration of the run.

    Returns:
        A line that describes what was written.

    Raises:
        UserError: The configuration or its data cannot be used, or the directory exists.
    """
    _check_is_new(directory)
    load_tensorflow()
    from tools.lowering.inputs import prepare_run
    from tools.lowering.program import lower_training_steps
    from tools.lowering.storage import write_directory

    run = prepare_run(config)
    program = lower_training_steps(run.config, run.state, len(run.labels), options.steps_per_call)
    with replace_directories_atomically([directory], overwrite=False, option="DIR") as (new,):
        write_directory(new, program, run)
    return (
        f"{directory}: from step {int(run.state.step.numpy())}, {options.steps_per_call} steps a call, "
        f"{len(program.module):,} bytes, {len(program.inputs)} variables, {len(run.labels):,} images"
    )


def write_updates(directory: Path, config: Config) -> str:
    """Write both updates of a configuration as StableHLO to a new directory.

    Args:
        directory: New directory, which appears complete or not at all.
        config: Configuration of the run, with its number of classes.

    Returns:
        A line that describes what was written.

    Raises:
        UserError: The configuration cannot be used or compiled, or the directory exists.
    """
    _check_is_new(directory)
    load_tensorflow()
    from sagan_tf.training.state import create_state
    from sagan_tf.training.validation import check_config
    from tools.lowering.updates import lower_updates

    check_config(config)
    if config.model.uses_classes and not config.model.num_classes:
        raise UserError("num_classes: expected the number of classes of the data set, received 0")
    modules = lower_updates(config, create_state(config))
    with replace_directories_atomically([directory], overwrite=False, option="DIR") as (new,):
        for name, module in modules.items():
            (new / f"{name}.mlir").write_text(module, encoding="utf-8")
    sizes = ", ".join(f"{name}.mlir with {len(module):,} characters" for name, module in modules.items())
    return f"{directory}: {sizes}"


def collect_checkpoints(directory: Path, options: CollectionOptions) -> str:
    """Add a checkpoint to a run for each step whose variables were saved.

    Args:
        directory: Directory that `write` has made, with the variables that the program has saved.
        options: Options of the collection.

    Returns:
        A line that describes what was added.

    Raises:
        UserError: The directory or the run cannot be used.
    """
    load_tensorflow()
    from tools.lowering.collection import add_checkpoints

    run_directory, steps = add_checkpoints(directory, options.run_dir)
    return f"{run_directory}: added {len(steps)} checkpoints, of steps {', '.join(map(str, steps))}"


def _check_is_new(directory: Path) -> None:
    check_can_write_directory(directory, "DIR")
    if directory.exists():
        raise UserError(f"DIR: {directory} exists; choose the name of a new directory")


@dataclasses.dataclass(frozen=True)
class Action:
    """An action of the tool.

    Attributes:
        perform: Function that receives DIR and one object for each of `option_classes`, and returns a line that
            describes its result.
        option_classes: The dataclasses that the flags are made from; see `Flags`.
        description: One line for `--help`.
    """

    perform: Callable[..., str]
    option_classes: tuple[type, ...]
    description: str


ACTIONS = {
    "write": Action(write_program, (LoweringOptions, Config), "Store a program that trains, and its data, in DIR."),
    "updates": Action(write_updates, (Config,), "Store both updates of a configuration in DIR."),
    "collect": Action(collect_checkpoints, (CollectionOptions,), "Add checkpoints to a run from the variables in DIR."),
}


def main(name: str, directory: str, *options: Any) -> None:
    """Perform an action, and print a line that describes the result.

    Args:
        name: Name of the action.
        directory: DIR; empty if it was not given.
        *options: One object for each of the option classes of the action.

    Raises:
        UserError: The arguments are invalid, or the action fails.
    """
    if not directory:
        raise FlagError(f"expected {name} DIR, received {name} without a directory")
    print(ACTIONS[name].perform(Path(directory).expanduser(), *options))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    name, *arguments = (sys.argv[1:] if argv is None else list(argv)) or [""]
    if name not in ACTIONS:
        descriptions = {known: action.description for known, action in ACTIONS.items()}
        describe = functools.partial(report_unknown_action, _PROGRAM, __doc__, descriptions, name, "NAME DIR")
        return run_command(_PROGRAM, describe, prints_result=True, restart=argv is None)
    directory = arguments.pop(0) if arguments and not arguments[0].startswith("-") else ""
    return run_command_line(
        f"{_PROGRAM} {name} DIR",
        __doc__,
        functools.partial(main, name, directory),
        *ACTIONS[name].option_classes,
        argv=arguments,
        restart=argv is None,
    )


if __name__ == "__main__":
    sys.exit(run())
