"""Import of a checkpoint of TF-GAN's SAGAN example, or of the official SAGAN code, as a run of this project.

    python tools/import_tfgan_checkpoint.py --checkpoint=model.ckpt-1000000 --run_dir=DIR [--TRAINING_FLAG=value ...]

The run can be sampled, evaluated, exported and trained further like any other run:

    python -m sagan_tf.sample --run_dir=DIR --mode=grid --output=grid.png

The names and shapes of the variables show which code wrote the checkpoint, the image size, width, classes, length of
the latents and attention. All other options have the defaults of that code (tools/importing/tfgan_names.py), unless
they are given as flags of `python -m sagan_tf.train`: --dataset and --data_dir, which evaluation and training read,
learning rates, batch size, --spectral_norm_constraint, --batch_norm_epsilon ... The defaults that --help lists for
these flags are those of `sagan_tf.train` and do not apply here. --run_dir must be given, a new or empty directory.

The tool imports the networks, the moving averages of the generator, Adam's moments and the step, and lists the
variables that it does not use. A checkpoint without a discriminator is refused, unless --generator_only is given, which
imports the generator beside a new discriminator.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.cli.flags import FlagError
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config import Config, get_option_values
from sagan_tf.config.flag_text import build_options
from sagan_tf.config.option import check_given, option
from sagan_tf.errors import UserError
from sagan_tf.exporting.atomic_directories import check_is_new_or_empty, replace_directories_atomically
from sagan_tf.files import check_can_write_directory
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.tensorflow_paths import check_tensorflow_path
from sagan_tf.text import find_equal_names, read_text

if TYPE_CHECKING:
    from sagan_tf.training.state import TrainState
    from tools.importing.configuration import CheckpointDescription
    from tools.importing.tf1_checkpoint import Tf1Checkpoint


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """The checkpoint; the options of the run, such as --run_dir, follow."""

    checkpoint: str = option("", "Prefix of the checkpoint: its path without .index.")
    class_names: str = option("", "Text file with a class name on each line; empty: the classes have numbers.")
    generator_only: bool = option(False, "Import no discriminator; create a new one.")

    def __post_init__(self) -> None:
        check_given(self, "checkpoint")


def main(options: ImportOptions, flags: Config, given: Collection[str]) -> None:
    """Create the run, and print what has been imported.

    Args:
        options: Options of the tool.
        flags: The options of the run that were given as flags; the others have their defaults.
        given: The names of the options that were given, which override the values from the checkpoint.

    Raises:
        UserError: A file or variable is missing, or a value is inconsistent; nothing has been written then.
    """
    if "run_dir" not in given:
        raise FlagError("run_dir: missing; set it with --run_dir")
    directory = RunDirectory(flags.training.run_dir)
    check_is_new_or_empty(directory.path, "run_dir")
    for path in (directory.path, directory.path.parent):  # `write_run` writes to the parent first.
        check_can_write_directory(path, "run_dir")
    names = read_class_names(options.class_names) if options.class_names else ()
    prefix = find_checkpoint(options.checkpoint)
    load_tensorflow()
    from sagan_tf.runs.system_errors import explain_write_errors
    from sagan_tf.training.state import create_state
    from sagan_tf.training.validation import check_config
    from tools.importing.configuration import create_config, describe_checkpoint
    from tools.importing.conversion import fill_state
    from tools.importing.tf1_checkpoint import Tf1Checkpoint

    checkpoint = Tf1Checkpoint(prefix)
    found = describe_checkpoint(checkpoint.shapes, options.generator_only)
    config = apply_flags(create_config(found, flags.training.run_dir), flags, given)
    check_config(config)
    if names and len(names) != config.model.num_classes:
        raise UserError(f"class_names: expected {config.model.num_classes} names, received {len(names)}")
    state = create_state(config)
    lines = fill_state(state, checkpoint, found)
    with explain_write_errors(directory.path):
        write_run(directory.path, config, state, names)
    lines = [f"network: {_describe_network(config)}", *lines, *_list_differences(config, checkpoint, found)]
    used = f"{checkpoint.count_used()} of {len(checkpoint.shapes)} variables"
    sys.stdout.write(f"{prefix}, by {found.naming.title}: took {used}\n")
    sys.stdout.writelines(f"  {line}\n" for line in lines)
    sys.stdout.write(f"run in {directory.path}\n")


def find_checkpoint(text: str) -> str:
    """Return the prefix of an existing checkpoint.

    Args:
        text: The value of `--checkpoint`.

    Raises:
        UserError: There is no such checkpoint; the message lists those in the same directory.
    """
    path = pathlib.Path(text).expanduser()
    check_tensorflow_path("checkpoint", path)
    if pathlib.Path(f"{path}.index").is_file():
        return str(path)
    directory = path if path.is_dir() else path.parent
    found = sorted(index.stem for index in directory.glob("*.index")) if directory.is_dir() else []
    raise UserError(
        "checkpoint: expected a prefix such as model.ckpt-1000, of a file model.ckpt-1000.index, received "
        f"{text}; checkpoints in {directory}: {', '.join(found) or 'none'}"
    )


def read_class_names(path: str) -> tuple[str, ...]:
    """Read class names from the lines of a text file.

    Raises:
        UserError: The file cannot be read, or a name is empty or occurs twice.
    """
    try:
        names = tuple(map(str.strip, read_text(pathlib.Path(path).expanduser()).strip().splitlines()))
    except (OSError, UserError) as error:
        raise UserError(f"class_names: expected a text file in UTF-8, received {path} ({error})") from error
    if not names or "" in names or find_equal_names(names):
        raise UserError(
            f"class_names: expected a different name on every line, received empty or equal names in {path}"
        )
    return names


def apply_flags(config: Config, flags: Config, given: Collection[str]) -> Config:
    """Return a configuration with the values of the options in `given` from `flags`, and all others from `config`."""
    overrides = {name: value for name, value in get_option_values(flags).items() if name in given}
    return build_options(Config, get_option_values(config) | overrides)


def write_run(path: pathlib.Path, config: Config, state: TrainState, class_names: tuple[str, ...]) -> None:
    """Write the directory of a run atomically.

    Args:
        path: The directory, which is new or empty.
        config: The configuration of the run.
        state: The state in the only checkpoint of the run.
        class_names: The class names; empty if they are unknown.
    """
    from sagan_tf.runs.checkpoints import Checkpoints

    with replace_directories_atomically([path], overwrite=False, option="run_dir") as (new,):
        unfinished = RunDirectory(new)
        unfinished.create()
        unfinished.write_records(config.to_flagfile())
        if class_names:  # A run that was trained here has its class names in this file; the images are unknown.
            data = {"num_examples": None, "label_histogram": dict.fromkeys(class_names)}
            unfinished.write_json(unfinished.startup, {"data": data})
        Checkpoints(unfinished.checkpoints, state, config.training.keep_checkpoints).save()


def _list_differences(config: Config, checkpoint: Tf1Checkpoint, found: CheckpointDescription) -> list[str]:
    """List the choices that were made and the variables that were not imported."""
    from tools.importing.conversion import list_unused_variables

    lines = [f"in doubt: {found.ambiguity}"] if found.ambiguity else []
    if "discriminator" not in found.scopes:
        lines.append("discriminator: new, untrained")
    return [
        *lines,
        *(f"left out: {line}" for line in list_unused_variables(checkpoint, found, config.training.adam_beta1)),
    ]


def _describe_network(config: Config) -> str:
    model = config.model
    attention = [
        f"{name} {','.join(map(str, getattr(model, f'{name}_attention'))) or 'none'}"
        for name in ("generator", "discriminator")
    ]
    own_width = f" (discriminator {model.discriminator_base_channels})" if model.discriminator_base_channels else ""
    return (
        f"{model.resolution} px, {model.image_channels} channels, {model.num_classes} classes, base_channels "
        f"{model.base_channels}{own_width}, latent_dim {model.latent_dim}, {model.attention_form} attention at "
        f"{', '.join(attention)}, spectral_norm_constraint {model.spectral_norm_constraint}"
    )


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    program = "tools/import_tfgan_checkpoint.py"
    return run_command_line(program, __doc__, main, ImportOptions, Config, argv=argv, passes_flagfiles=True)


if __name__ == "__main__":
    sys.exit(run())
