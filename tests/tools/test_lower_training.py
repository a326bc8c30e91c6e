"""Lowered training compared with the trainer, and checkpoints from its variables."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import pathlib
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config
from sagan_tf.runs.checkpoints import Checkpoints, restore_latest
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.state import TrainState, create_state
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from tests.test_structure import find_imports_in_file
from tests.training.tiny import ADAPTIVE, one_device, read_all_values, tiny_config
from tools import lower_training, run_lowered_training
from tools.lowering import collection, inputs, program
from tools.lowering.program import Program, create_trainer, create_training_function, lower_training_steps
from tools.lowering.variables import list_variables, read_variables, write_variables

ROOT = pathlib.Path(__file__).parents[2]
DCGAN = {"architecture": "dcgan", "attention_resolutions": ()}
FLAGS = [
    *("--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--architecture=dcgan"),
    *("--base_channels=2", "--attention_resolutions=", "--global_batch_size=4", "--ema_start_step=0"),
]
EVERY_VARIABLE = {
    "conditioning": "none",
    "num_classes": 0,
    "lecam_weight": 0.1,
    "precision": "mixed_float16",
} | {**ADAPTIVE, "augment": ("color", "translation", "cutout", "flip")}
NUM_IMAGES = 12


def check_module(program: Program, config: Config, state: TrainState, num_images: int) -> None:
    """Check the parameters and operations of a module.

    It reads only the four inputs and variables, and XLA can run it without the host.
    """
    module = hlo_pb2.HloModuleProto.FromString(program.module)
    size, variables = config.model.resolution, list_variables(state)
    expected = [(num_images, size, size, config.model.image_channels), (num_images,), *[program.rows_shape] * 2]
    expected += [tuple(variables[index].shape) for index in program.inputs]
    assert [tuple(shape.dimensions) for shape in module.host_program_shape.parameters] == expected
    assert len(set(program.inputs)) == len(program.inputs)
    instructions = [instruction for computation in module.computations for instruction in computation.instructions]
    assert not any(any(instruction.shape.is_dynamic_dimension) for instruction in instructions)
    outside = {"custom-call", "infeed", "outfeed", "send", "recv", "get-dimension-size", "set-dimension-size"}
    assert not outside & {instruction.opcode for instruction in instructions}
    # Initial values of weights would be constants: the module holds none as large as a kernel.
    assert max(instruction.ByteSize() for instruction in instructions) < 2**16


def test_a_program_reads_images_and_variables_only(tmp_path: pathlib.Path) -> None:
    config = tiny_config(**DCGAN, **EVERY_VARIABLE)
    state = create_state(config)
    program = lower_training_steps(config, state, NUM_IMAGES, 2)
    check_module(program, config, state, NUM_IMAGES)
    changed = {id(state.step), id(state.data_position)}
    changed |= {id(variable.value) for variable in state.generator.trainable_variables}
    assert changed <= {id(list_variables(state)[index]) for index in program.inputs}
    stored = tf.train.list_variables(tf.train.Checkpoint(state=state).write(str(tmp_path / "state")))
    shapes = sorted(tuple(shape) for name, shape in stored if name.startswith("state/"))
    assert sorted(tuple(variable.shape) for variable in list_variables(state)) == shapes


def draw_inputs(num_steps: int, config: Config) -> tuple[np.ndarray, ...]:
    """Return images, labels, rows and flips."""
    generator, size = np.random.default_rng(0), config.model.resolution
    shape = num_steps, config.training.discriminator_steps_per_step, config.training.global_batch_size
    return (
        generator.integers(0, 256, (NUM_IMAGES, size, size, config.model.image_channels), np.uint8),
        generator.integers(0, 3, NUM_IMAGES, np.int32),
        generator.integers(0, NUM_IMAGES, shape, np.int32),
        generator.random(shape) < 0.5,
    )


def generate_batches(images: np.ndarray, labels: np.ndarray, rows: np.ndarray, flips: np.ndarray) -> Iterator[Any]:
    """Yield the batches of a trainer."""
    for start, (chosen, flipped) in enumerate(zip(rows.reshape(-1, 4), flips.reshape(-1, 4), strict=True)):
        scaled = images[chosen].astype(np.float32) / 127.5 - 1
        scaled[flipped] = scaled[flipped, :, ::-1]
        yield {"images": scaled, "labels": labels[chosen], "positions": np.arange(4 * start, 4 * start + 4)}


@pytest.mark.slow
def test_steps_agree_with_the_trainer() -> None:
    config = tiny_config(**DCGAN, discriminator_steps_per_step=2, ema_decay=0.5, adam_epsilon=0.01)
    compiled = dataclasses.replace(config, training=dataclasses.replace(config.training, jit_compile=True))
    given, state, expected_state = draw_inputs(2, config), create_state(config), create_state(compiled)
    signature = {"images": tf.TensorSpec([4, 32, 32, 1]), "labels": tf.TensorSpec([4], tf.int32)}
    signature["positions"] = tf.TensorSpec([4], tf.int64)
    dataset = tf.data.Dataset.from_generator(lambda: generate_batches(*given), output_signature=signature)
    strategy = one_device()
    trainer = Trainer(create_updates(compiled, expected_state), strategy, iter(dataset), compiled.training)
    expected = list(trainer.train(2).values())
    np.testing.assert_allclose(
        create_training_function(create_trainer(config, state))(*given), expected, rtol=1e-3, atol=1e-3
    )
    for name, value in read_all_values(state).items():
        np.testing.assert_allclose(value, read_all_values(expected_state)[name], rtol=1e-3, atol=1e-3, err_msg=name)
    assert int(state.step.numpy()) == 2 and int(state.data_position.numpy()) == 16


@pytest.fixture(scope="module")
def lowered(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the directory of a run that was lowered at step 0."""
    directory = tmp_path_factory.mktemp("lowered")
    flags = [*FLAGS, f"--run_dir={directory / 'run'}"]
    assert lower_training.main(["write", str(directory / "program"), "--steps_per_call=2", *flags]) == 0
    assert [path.name for path in directory.iterdir()] == ["program"]
    return directory / "program"


@pytest.fixture(scope="module")
def template(lowered: pathlib.Path) -> pathlib.Path:
    """Return a copy of that directory with variables of the steps 2 and 4."""
    directory = lowered.with_name("template")
    shutil.copytree(lowered, directory)
    state = create_state_of(directory)
    for step in (2, 4):
        state.step.assign(step)
        for variable in list_variables(state)[:-3]:
            variable.assign(variable + tf.ones_like(variable))
        write_variables(directory, state)
    return directory


@pytest.fixture
def saved(template: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a copy of the template that a test may change."""
    return pathlib.Path(shutil.copytree(template, tmp_path / "program"))


def read_config(directory: pathlib.Path) -> Config:
    flagfile = json.loads((directory / "training.json").read_text())["flagfile"]
    return parse_config([line for line in flagfile.splitlines() if line.startswith("--")])


def create_state_of(directory: pathlib.Path) -> TrainState:
    return create_state(read_config(directory))


def test_write_stores_a_program_of_the_data_set(lowered: pathlib.Path) -> None:
    description = json.loads((lowered / "training.json").read_text())
    variables, shape = tuple(description["inputs"]), tuple(description["rows_shape"])
    program = Program((lowered / "training.hlo").read_bytes(), variables, tuple(description["metrics"]), shape)
    check_module(program, read_config(lowered), create_state_of(lowered), 10_000)
    with np.load(lowered / "images.npz") as file:
        assert file["images"].shape == (10_000, 32, 32, 1) and np.bincount(file["labels"]).tolist() == [1000] * 10


def test_write_continues_from_the_newest_checkpoint(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = [*FLAGS, f"--run_dir={tmp_path / 'run'}"]
    config, run = parse_config([*flags, "--num_classes=10"]), RunDirectory(tmp_path / "run")
    state = create_state(config)
    state.step.assign(3)
    for variable in list_variables(state)[:-3]:
        variable.assign(variable + tf.ones_like(variable))
    run.create()
    run.write_records(config.to_flagfile())
    Checkpoints(run.checkpoints, state, 1).save()
    monkeypatch.setattr(program, "lower_training_steps", lambda *_: Program(b"", (), (), (1, 1, 4)))
    directory = tmp_path / "program"
    assert lower_training.main(["write", str(directory), *flags]) == 0
    assert json.loads((directory / "training.json").read_text())["first_step"] == 3
    received = create_state(config)
    read_variables(directory / "variables-00000003.npz", received)
    for expected, value in zip(list_variables(state), list_variables(received), strict=True):
        np.testing.assert_array_equal(value, expected)


def collect(directory: pathlib.Path, run_dir: pathlib.Path) -> int:
    return lower_training.main(["collect", str(directory), f"--run_dir={run_dir}"])


def test_collected_checkpoints_hold_the_saved_variables(saved: pathlib.Path, tmp_path: pathlib.Path, capsys) -> None:
    run = RunDirectory(tmp_path / "run")
    (saved / "variables-00000004 (1).npz").write_bytes(b"")  # a copy that a browser made
    assert collect(saved, run.path) == 0 and "2, 4" in capsys.readouterr().out
    expected, received = create_state_of(saved), create_state_of(saved)
    read_variables(saved / "variables-00000004.npz", expected)
    assert restore_latest(received, run.checkpoints) == 4
    for variable, value in zip(list_variables(expected), list_variables(received), strict=True):
        np.testing.assert_array_equal(value, variable)
    assert run.read_flags()["num_classes"] == "10" and len(run.read_class_names(10)) == 10
    before = {path: path.read_bytes() for path in run.checkpoints.glob("step-*")}
    assert len(before) == 4 and collect(saved, run.path) == 2  # nothing new
    received.step.assign(6)
    write_variables(saved, received)
    assert collect(saved, run.path) == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    assert restore_latest(received, run.checkpoints) == 6


def test_a_run_that_has_continued_is_not_changed(saved: pathlib.Path, tmp_path: pathlib.Path, capsys) -> None:
    run, state = RunDirectory(tmp_path / "run"), create_state_of(saved)
    assert collect(saved, run.path) == 0
    state.step.assign(5)
    Checkpoints(run.checkpoints, state, 9).save()
    before = sorted(run.checkpoints.iterdir())
    state.step.assign(8)
    write_variables(saved, state)
    assert collect(saved, run.path) == 2 and "step 5" in capsys.readouterr().err
    run.flags.write_text(run.flags.read_text().replace("--base_channels=2", "--base_channels=4"))
    assert collect(saved, run.path) == 2 and "base_channels" in capsys.readouterr().err
    assert sorted(run.checkpoints.iterdir()) == before


def test_a_run_that_continues_before_it_is_locked_is_not_changed(
    saved: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    run, state = RunDirectory(tmp_path / "run"), create_state_of(saved)
    state.step.assign(5)

    @contextlib.contextmanager
    def late_lock(run_dir: pathlib.Path) -> Iterator[None]:
        Checkpoints(run.checkpoints, state, 9).save()
        run.write_records(json.loads((saved / "training.json").read_text())["flagfile"])
        yield

    monkeypatch.setattr(collection, "lock_run_directory", late_lock)
    assert collect(saved, run.path) == 2 and "step 5" in capsys.readouterr().err
    assert [path.name for path in run.checkpoints.glob("step-*.index")] == ["step-5.index"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "different shapes", "not finite"])
def test_damaged_variables_create_no_run(damage: str, saved: pathlib.Path, tmp_path: pathlib.Path, capsys) -> None:
    path, state = saved / "variables-00000004.npz", create_state_of(saved)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "different shapes":
        np.savez(path, **{"00000": np.zeros(3)})
    else:
        state.step.assign(4)
        kernel = state.generator.trainable_variables[0]
        kernel.assign(tf.fill(kernel.shape, np.nan))
        write_variables(saved, state)
    assert collect(saved, tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert path.name in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["write", "{new}", *FLAGS, "--strategy=mirrored"], "mirrored"),
        (["write", "{new}", *FLAGS, "--logical_cpus=2"], "logical_cpus"),
        (["write", "{new}", *FLAGS, "--steps_per_call=0"], "steps_per_call"),
        (["write", "{new}", *FLAGS, "--bass_channels=2"], "bass_channels"),
        (["write", "{new}", *FLAGS, "--augment=flip", "--ada_speed_images=9"], "ada_speed_images"),
        (["write", "{new}", *FLAGS, "--resolution=64"], "16,384"),
        (["write", "{new}", *FLAGS, "--global_batch_size=20000"], "20000"),
        (["write", "{old}", *FLAGS], "{old}"),
        (["write", "/proc/absent", *FLAGS], "/proc/absent"),
        (["collect", "{new}"], "{new}"),
        (["collect", "{old}"], "{old}"),
    ],
)
def test_errors_leave_nothing_behind(arguments, named, tmp_path: pathlib.Path, monkeypatch, capsys) -> None:
    if named == "16,384":
        monkeypatch.setattr(inputs, "MAX_IMAGE_BYTES", 2**14)
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    given = [argument.format(old=old, new=new) for argument in arguments]
    given += [f"--run_dir={tmp_path / 'run'}"]
    assert lower_training.main(given) == 2
    error = capsys.readouterr().err
    assert named.format(old=old, new=new) in error and error.count("\n") == 1
    assert list(tmp_path.rglob("*")) == [old]


def test_the_program_runs_without_this_package() -> None:
    modules = {name.partition(".")[0] for _, name in find_imports_in_file(ROOT / "tools" / "run_lowered_training.py")}
    assert modules - sys.stdlib_module_names == {"numpy", "jax"}


@pytest.mark.slow
def test_jax_runs_the_program(lowered: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("jax")
    directory = tmp_path / "program"
    shutil.copytree(lowered, directory)
    assert run_lowered_training.main([str(directory), "--steps=2"]) == 0
    assert run_lowered_training.main([str(directory), "--steps=4"]) == 0
    config = parse_config([*FLAGS, "--num_classes=10"])
    state, shape = create_state(config), (2, 1, 4)
    function = create_training_function(create_trainer(config, state))
    with np.load(directory / "images.npz") as file:
        images, labels = file["images"], file["labels"]
    drawn = run_lowered_training.generate_draws(len(labels), config.training.seed, 0)
    for line in (directory / "metrics.jsonl").read_text().splitlines():
        rows, flips = zip(*itertools.islice(drawn, 8), strict=True)
        flips = np.array(flips).reshape(shape) & config.data.random_flip
        expected = function(images, labels, np.array(rows, np.int32).reshape(shape), flips)
        received = list(json.loads(line).values())[1:-1]
        np.testing.assert_allclose(received, expected, rtol=2e-2, atol=2e-2)
    trained = create_state_of(directory)
    read_variables(directory / "variables-00000004.npz", trained)
    for expected, variable in zip(list_variables(state), list_variables(trained), strict=True):
        np.testing.assert_allclose(expected, variable, rtol=2e-2, atol=2e-2, err_msg=variable.name)


@pytest.mark.slow
def test_imagenet_is_lowered_at_full_width() -> None:
    config = parse_config([f"--flagfile={ROOT / 'configs' / 'imagenet.cfg'}", "--num_classes=1000"])
    assert config.model.base_channels == 64 and config.model.resolution == 128
    state = create_state(config)
    check_module(lower_training_steps(config, state, 1000, 1), config, state, 1000)
