"""Directory of a lowered run, the run of its program, and checkpoints from its variables."""

from __future__ import annotations

import contextlib
import itertools
import json
import pathlib
import shutil
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.cli.flags import parse_config
from sagan_tf.runs.checkpoints import Checkpoints, restore_latest
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.state import TrainState, create_state
from tests.test_structure import find_imports_in_file
from tools import lower_training, run_lowered_training
from tools.lowering import collection, inputs, program
from tools.lowering.program import Program, create_trainer, create_training_function
from tools.lowering.variables import list_variables, read_variables, write_variables

ROOT = pathlib.Path(__file__).parents[2]
FLAGS = [
    *("--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--architecture=dcgan"),
    *("--base_channels=2", "--attention_resolutions=", "--global_batch_size=4", "--ema_start_step=0"),
    *("--nogenerator_spectral_norm", "--nodiscriminator_spectral_norm"),
]


@pytest.fixture(scope="module")
def lowered(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the directory of a run that was lowered at step 0."""
    directory = tmp_path_factory.mktemp("lowered")
    flags = [*FLAGS, f"--run_dir={directory / 'run'}"]
    assert lower_training.run(["write", str(directory / "program"), "--steps_per_call=2", *flags]) == 0
    assert [path.name for path in directory.iterdir()] == ["program"]
    with np.load(directory / "program" / "images.npz") as file:
        assert file["images"].shape == (10_000, 32, 32, 1) and np.bincount(file["labels"]).tolist() == [1000] * 10
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


def create_state_of(directory: pathlib.Path) -> TrainState:
    flagfile = json.loads((directory / "training.json").read_text())["flagfile"]
    return create_state(parse_config([line for line in flagfile.splitlines() if line.startswith("--")]))


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
    assert lower_training.run(["write", str(directory), *flags]) == 0
    assert json.loads((directory / "training.json").read_text())["first_step"] == 3
    received = create_state(config)
    read_variables(directory / "variables-00000003.npz", received)
    for expected, value in zip(list_variables(state), list_variables(received), strict=True):
        np.testing.assert_array_equal(value, expected)


def collect(directory: pathlib.Path, run_dir: pathlib.Path) -> int:
    return lower_training.run(["collect", str(directory), f"--run_dir={run_dir}"])


@pytest.mark.slow
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


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "while collect waits for the lock"])
def test_a_run_that_has_continued_is_not_changed(
    is_late: bool, saved: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    run, state = RunDirectory(tmp_path / "run"), create_state_of(saved)
    state.step.assign(5)

    @contextlib.contextmanager
    def continue_run(run_dir: pathlib.Path) -> Iterator[None]:
        Checkpoints(run.checkpoints, state, 9).save()
        run.write_records(json.loads((saved / "training.json").read_text())["flagfile"])
        yield

    if is_late:
        monkeypatch.setattr(collection, "lock_run_directory", continue_run)
    else:
        run.create()
        with continue_run(run.path):
            pass
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
        np.savez(path, np.zeros(3))
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
        (["write"], "DIR"),
        (["lower", "{new}"], "lower"),
        (["collect", "{new}"], "{new}"),
        (["updates", "{new}", "--loss=hinges"], "hinges"),
        (["updates", "{new}", "--steps_per_call=2"], "steps_per_call"),
        (["updates", "{new}", "--conditioning=projection"], "num_classes"),
        (["updates", "{old}", "--num_classes=3"], "{old}"),
        (["collect", "{old}", "--seed=1"], "seed"),
    ],
)
def test_errors_leave_nothing_behind(arguments, named, tmp_path: pathlib.Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(inputs, "MAX_IMAGE_BYTES", 2**14 if named == "16,384" else inputs.MAX_IMAGE_BYTES)
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    given = [argument.format(old=old, new=new) for argument in arguments]
    assert lower_training.run([*given, f"--run_dir={tmp_path / 'run'}"]) == 2
    assert named.format(old=old, new=new) in capsys.readouterr().err.splitlines()[-1]
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
