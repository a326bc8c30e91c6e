"""Makes a run of a checkpoint that TF-GAN's SAGAN example, or the official SAGAN code, has written.

    python tools/import_tfgan_checkpoint.py --checkpoint=model.ckpt-1000000 --run_dir=RUN_DIR [--FLAG=VALUE ...]

The run can be sampled, evaluated, exported and trained further as one of this project's own:

    python -m sagan_tf.sample --run_dir=RUN_DIR --mode=grid --output=grid.png

Whose code it was, image size, width, classes, length of the latents and attention are read from variables' names and
shapes. What they do not show is set as that code has it by default (tools/importing/tfgan_names.py), or by any flag of
`python -m sagan_tf.train` given here: --dataset and --data_dir, which evaluation and training read, learning rates,
batch size, --spectral_norm_constraint, --batch_norm_epsilon ...

Networks, moving averages of the generator, Adam's moments and the step are taken over; what is left out is listed. A
checkpoint without a discriminator is refused, unless --generator_only asks for the generator and a new discriminator.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from sagan_tf.cli.console import run_action, run_command
from sagan_tf.cli.flags import config_to_flagfile, parse_config
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.tensorflow_paths import check_tensorflow_path
from sagan_tf.text import find_equal_names, read_text

if TYPE_CHECKING:
    from sagan_tf.training.state import TrainState


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--checkpoint", required=True, help="prefix of the checkpoint: its files without .index, .data")
    parser.add_argument("--run_dir", required=True, help="folder of the run to make; must be new or empty")
    parser.add_argument("--class_names", default="", help="text file, the name of a class a line; default: numbers")
    parser.add_argument("--generator_only", action="store_true", help="leave the discriminator as a new run has it")
    options, flags = parser.parse_known_args(argv)
    return run_action("import_tfgan_checkpoint", lambda: import_checkpoint(options, flags))


def import_checkpoint(options: argparse.Namespace, flags: Sequence[str]) -> None:
    """Make the run, and say what became of the checkpoint.

    Args:
        options: of the tool.
        flags: of `python -m sagan_tf.train`, which come before what was read.

    Raises:
        UserError: something is missing or does not fit; nothing has then been written.
    """
    directory = RunDirectory(options.run_dir)
    _check_new(directory.path)
    for path in (directory.path, directory.path.parent):  # written beside its final path first
        check_can_write_directory(path, "run_dir")
    names = read_class_names(options.class_names) if options.class_names else ()
    prefix = find_checkpoint(options.checkpoint)
    load_tensorflow()
    from sagan_tf.runs.system_errors import explaining_writes
    from sagan_tf.training.state import create_state
    from sagan_tf.training.validation import check_config
    from tools.importing.configuration import configure, read_shapes
    from tools.importing.conversion import fill_state, left_out
    from tools.importing.tf1_checkpoint import Tf1Checkpoint

    checkpoint = Tf1Checkpoint(prefix)
    found = read_shapes(checkpoint.shapes, options.generator_only)
    config = with_flags(configure(found, options.run_dir), flags)
    check_config(config)
    if names and len(names) != config.model.num_classes:
        raise UserError(f"class_names: expected {config.model.num_classes} names, received {len(names)}")
    state = create_state(config)
    lines = fill_state(state, checkpoint, found)
    with explaining_writes(directory.path):
        write_run(directory.path, config, state, names)
    lines = [f"network: {_description(config)}", *lines]
    if found.doubt:
        lines.append(f"in doubt: {found.doubt}")
    if "discriminator" not in found.scopes:
        lines.append("discriminator: new, it has learned nothing")
    lines += [f"left out: {line}" for line in left_out(checkpoint, found, config.training.adam_beta1)]
    used = f"{checkpoint.number_used()} of {len(checkpoint.shapes)} variables"
    sys.stdout.write(f"{prefix}, by {found.naming.title}: took {used}\n")
    sys.stdout.writelines(f"  {line}\n" for line in lines)
    sys.stdout.write(f"run in {directory.path}\n")


def find_checkpoint(text: str) -> str:
    """Return the prefix of a checkpoint that is there.

    Raises:
        UserError: there is none; the message names those that lie beside.
    """
    path = pathlib.Path(text).expanduser()
    check_tensorflow_path("checkpoint", path)
    if pathlib.Path(f"{path}.index").is_file():
        return str(path)
    folder = path if path.is_dir() else path.parent
    found = sorted(one.stem for one in folder.glob("*.index")) if folder.is_dir() else []
    raise UserError(
        "checkpoint: expected a prefix such as model.ckpt-1000, where model.ckpt-1000.index lies, received "
        f"{text}; in {folder} there is {', '.join(found) or 'none'}"
    )


def read_class_names(path: str) -> tuple[str, ...]:
    """Return the lines of a text file; raise UserError if it cannot be read, or if a name is empty or comes twice."""
    try:
        names = tuple(map(str.strip, read_text(pathlib.Path(path).expanduser()).strip().splitlines()))
    except (OSError, UserError) as error:
        raise UserError(f"class_names: expected a text file in UTF-8, received {path} ({error})") from error
    if not names or "" in names or find_equal_names(names):
        raise UserError(f"class_names: expected another name on every line, received empty or equal ones in {path}")
    return names


def with_flags(config: Config, flags: Sequence[str]) -> Config:
    """Return the configuration with values of flags of `sagan_tf.train`, `run_dir` excepted."""
    own = [line for line in config_to_flagfile(config).splitlines() if line.startswith("-")]
    run_dir = [line for line in own if line.startswith("--run_dir=")]
    return parse_config([*own, *flags, *run_dir])  # repeat run_dir last: a flagfile may set another one


def write_run(path: pathlib.Path, config: Config, state: TrainState, class_names: tuple[str, ...]) -> None:
    """Write a run's folder: as a whole, or not at all.

    Args:
        path: of the folder, which is new or empty.
        config: the run's.
        state: what its one checkpoint holds.
        class_names: empty if they are not known.
    """
    from sagan_tf.runs.checkpoints import Checkpoints

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
        unfinished = RunDirectory(pathlib.Path(beside) / path.name)
        unfinished.create()
        unfinished.write_records(config_to_flagfile(config))
        if class_names:  # where a run that was trained here keeps them; of their images nothing is known
            data = {"num_examples": None, "label_histogram": dict.fromkeys(class_names)}
            unfinished.write_json(unfinished.startup, {"data": data})
        Checkpoints(unfinished.checkpoints, state, config.training.keep_checkpoints).save()
        unfinished.path.rename(path)


def _check_new(path: pathlib.Path) -> None:
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"run_dir: expected a new or an empty folder, received {path}, which is there already")


def _description(config: Config) -> str:
    model = config.model
    places = [
        f"{name} {','.join(map(str, getattr(model, f'{name}_attention'))) or 'none'}"
        for name in ("generator", "discriminator")
    ]
    own_width = f" (discriminator {model.discriminator_base_channels})" if model.discriminator_base_channels else ""
    return (
        f"{model.resolution} px, {model.image_channels} channels, {model.num_classes} classes, base_channels "
        f"{model.base_channels}{own_width}, latent_dim {model.latent_dim}, {model.attention_form} attention at "
        f"{', '.join(places)}, spectral_norm_constraint {model.spectral_norm_constraint}"
    )


if __name__ == "__main__":
    sys.exit(run_command("import_tfgan_checkpoint", main))
