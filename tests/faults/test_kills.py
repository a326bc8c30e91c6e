"""Tests of `kill -9` at any moment: the next start resumes the run, with the results of an uninterrupted run."""

import functools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.runs.checkpoints import Checkpoints, remove_unfinished_checkpoints, restore_latest
from sagan_tf.training.state import TrainState
from tests import commands
from tests.faults.outcomes import assert_equal_runs, read_metrics
from tests.faults.processes import SMALL, read_output, start_training, wait_until
from tests.training.tiny import (
    ADAPTIVE,
    PLAINEST_NETWORKS,
    find_differences,
    make_state,
    one_device,
    read_all_values,
    tiny_config,
)

EVERY = 4
KEPT = 2
# With these flags a checkpoint must hold first moments, an EMA generator that differs from the generator, and the
# position in the data, which determines the flips.
FLAGS = ["--adam_beta1=0.5", "--ema_start_step=3", "--ema_decay=0.9", "--random_flip"]
FLAGS += ["--discriminator_steps_per_step=2", "--log_every=1", "--sample_every=6"]
FLAGS += [f"--checkpoint_every={EVERY}", f"--keep_checkpoints={KEPT}"]

Moment = Callable[[pathlib.Path, subprocess.Popen], None]
"""A function that waits for the moment at which a training process should be killed."""


def after_seconds(seconds: float, run_dir: pathlib.Path, process: subprocess.Popen) -> None:
    """Wait for some seconds, in which the process starts, or until it has trained a step."""
    before, end = steps_done(run_dir), time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end or steps_done(run_dir) > before, process)


def after_step(step: int, seconds: float, run_dir: pathlib.Path, process: subprocess.Popen) -> None:
    """Wait until some time after a step."""
    wait_until(lambda: steps_done(run_dir) >= step, process)
    time.sleep(seconds)


def during_save_after_step(step: int, seconds: float, run_dir: pathlib.Path, process: subprocess.Popen) -> None:
    """Wait until some time after the start of a save, and before its end.

    The process is stopped to check that the save has not ended; if it has, the process continues to the next save.
    """
    after_step(step, 0.0, run_dir, process)
    while True:
        wait_until(lambda: bool(list_unfinished_files(run_dir / "checkpoints")), process, every=0.0)
        time.sleep(seconds)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if list_unfinished_files(run_dir / "checkpoints"):
            return
        process.send_signal(signal.SIGCONT)
        seconds /= 2


def during_evaluation(step: int, run_dir: pathlib.Path, process: subprocess.Popen) -> None:
    """Wait until a checkpoint is saved whose evaluation has not been recorded yet."""
    listing = run_dir / "checkpoints" / "checkpoint"
    wait_until(lambda: listing.exists() and f'model_checkpoint_path: "step-{step}"' in listing.read_text(), process)
    assert step not in [line["step"] for line in read_metrics(run_dir) if line["kind"] == "evaluation"]


def draw_moments(kills: int, num_steps: int, seed: int) -> list[Moment]:
    """Return random moments of the three kinds in turn.

    The last moment is well before the end of the run, because a save may not be caught in time. The moments after steps
    let the run make progress.
    """
    generator = random.Random(seed)
    found: list[Moment] = []
    for kill in range(kills):
        step = num_steps * (kill + 1) // (2 * kills) + generator.randrange(EVERY)
        kinds = (
            functools.partial(after_seconds, generator.uniform(0.5, 10.0)),
            functools.partial(during_save_after_step, step, generator.uniform(0.0, 0.01)),
            functools.partial(after_step, step, generator.uniform(0.0, 0.1)),
        )
        found.append(kinds[kill % 3])
    return found


def kill_at(moment: Moment, run_dir: pathlib.Path, flags: Sequence[str]) -> None:
    with start_training(run_dir, *flags) as process:
        moment(run_dir, process)
        process.kill()
        assert process.wait() == -signal.SIGKILL, read_output(run_dir, "err")


def steps_done(run_dir: pathlib.Path) -> int:
    """Return the step of the last complete line of `metrics.jsonl`; the last line may be half written."""
    try:
        lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[:-1]
        return max((json.loads(line)["step"] for line in lines[-1:]), default=0)
    except FileNotFoundError:
        return 0


def list_unfinished_files(directory: pathlib.Path) -> list[str]:
    """Return the files of an unfinished save: new files that are not in the list, or the new list itself."""
    try:
        names = os.listdir(directory)
        listing = (directory / "checkpoint").read_text(encoding="utf-8") if "checkpoint" in names else ""
    except FileNotFoundError:
        return []
    files = [name for name in names if name != "checkpoint"]
    return [name for name in files if f'"{name.partition(".")[0]}"' not in listing]


def assert_killed_run_equals_whole(
    directory: pathlib.Path, moments: Sequence[Moment], num_steps: int, capsys: pytest.CaptureFixture[str], *flags: str
) -> None:
    """Assert that a run that is killed at each moment and then resumed equals a run that is not killed."""
    flags = (*FLAGS, f"--num_steps={num_steps}", *flags)
    for moment in moments:
        kill_at(moment, directory / "killed", flags)
    for name, is_resumed in (("killed", True), ("whole", False)):
        capsys.readouterr()
        assert commands.train([*SMALL, *flags, f"--run_dir={directory / name}"]) == 0
        assert ("resumed at step" in capsys.readouterr().out) == is_resumed
    assert_equal_runs(directory / "killed", directory / "whole", num_steps)


def test_a_kill_leaves_no_trace(tmp_path, capsys):
    moments = [functools.partial(during_save_after_step, EVERY + 1, 0.002)]
    assert_killed_run_equals_whole(tmp_path, moments, 4 * EVERY, capsys)


@pytest.mark.slow
def test_many_kills_leave_no_trace(tmp_path, capsys):
    """The process was saving at seven of the 21 kills."""
    assert_killed_run_equals_whole(tmp_path, draw_moments(21, 240, seed=0), 240, capsys)


@pytest.mark.slow
def test_no_evaluation_is_lost_if_it_is_killed(tmp_path, capsys):
    """This includes the last evaluation, after which there are no more steps."""
    flags = [f"--evaluate_every={EVERY}", "--extractor=fashion_mnist", "--metrics=fcd,label_agreement"]
    flags += ["--num_samples=500", f"--reference_dir={tmp_path / 'references'}"]
    moments = [functools.partial(during_evaluation, step) for step in (EVERY, 2 * EVERY)]
    assert_killed_run_equals_whole(tmp_path, moments, 2 * EVERY, capsys, *flags)
    evaluated = [line["step"] for line in read_metrics(tmp_path / "killed") if line["kind"] == "evaluation"]
    assert evaluated == [EVERY, 2 * EVERY]
    best = [(tmp_path / name / "checkpoints/best/best.json").read_text() for name in ("killed", "whole")]
    assert json.loads(best[0]) == json.loads(best[1])


@pytest.mark.slow
def test_kills_with_a_loss_scale_leave_no_trace(tmp_path, capsys):
    assert_killed_run_equals_whole(tmp_path, draw_moments(3, 32, seed=1), 32, capsys, "--precision=mixed_float16")


def replay_save(before: pathlib.Path, after: pathlib.Path, stage: pathlib.Path) -> Iterator[tuple[str, int]]:
    """Reproduce the files in a directory while step 3 is saved after steps 1 and 2.

    The order of operations is that of TensorFlow's `SaveV2` and `MergeV2Checkpoints` and of `Checkpoints`, observed
    with strace. Yield the last operation, and the step from which a run then resumes; 0 for a new run.
    """
    data, index = "step-3.data-00000-of-00001", "step-3.index"
    earlier = 2 if (before / "checkpoint").exists() else 0
    shutil.copytree(before, stage, dirs_exist_ok=True)
    parts = stage / "step-3_temp"
    parts.mkdir()
    (parts / "part-00000-of-00001.data-00000-of-00001.tempstate123").write_bytes((after / data).read_bytes()[:1000])
    yield "data are being written", earlier
    (parts / "part-00000-of-00001.data-00000-of-00001.tempstate123").unlink()
    shutil.copy(after / data, parts / "part-00000-of-00001.data-00000-of-00001")
    shutil.copy(after / index, parts / "part-00000-of-00001.index")
    yield "data and index are written", earlier
    (parts / "part-00000-of-00001.data-00000-of-00001").replace(stage / data)
    yield "data have their final name", earlier
    (stage / index).write_bytes((after / index).read_bytes()[:1000])
    yield "the index is being written again with its final name", earlier
    shutil.copy(after / index, stage / index)
    shutil.rmtree(parts)
    yield "the checkpoint is complete", earlier
    (stage / "checkpoint.part").write_bytes((after / "checkpoint").read_bytes()[:20])
    yield "the list is being written", earlier
    (stage / "checkpoint.part").unlink()
    shutil.copy(after / "checkpoint", stage / "checkpoint")
    yield "the checkpoint is in the list", 3
    if earlier:
        (stage / "step-1.index").unlink()
        yield "half of the oldest checkpoint is removed", 3


class KilledError(BaseException):
    pass


def simulate_kill(*_: object, **__: object) -> None:
    raise KilledError


@pytest.mark.parametrize("first", [True, False])
def test_run_resumes_after_every_operation_of_a_save(first, tmp_path, monkeypatch):
    """This includes the first save of a run, before which there is no list of checkpoints."""
    state = make_state(tiny_config(**PLAINEST_NETWORKS), one_device())
    values: dict[int, dict[str, np.ndarray]] = {}
    directory, before, after = (tmp_path / name for name in ("checkpoints", "before", "after"))
    checkpoints = Checkpoints(directory, state, KEPT)
    directory.mkdir()

    def advance(step: int) -> None:
        state.step.assign(step)
        state.generator.trainable_variables[0].assign_add(tf.ones_like(state.generator.trainable_variables[0]))
        values[step] = read_all_values(state)

    for step in () if first else (1, 2):
        advance(step)
        checkpoints.save()
    advance(3)
    for owner, method, copy in ((tf.train.Checkpoint, "write", before), (Checkpoints, "_remove_oldest", after)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, simulate_kill)
            with pytest.raises(KilledError):
                checkpoints.save()
        shutil.copytree(directory, copy)
    checkpoints.save()
    for number, (operation, expected) in enumerate(replay_save(before, after, tmp_path / "stage")):
        copy = shutil.copytree(tmp_path / "stage", tmp_path / str(number))
        assert (restore_latest(state, copy) or 0) == expected, operation
        assert not expected or find_differences(read_all_values(state), values[expected]) == set(), operation
        remove_unfinished_checkpoints(copy)
        state.step.assign(3)
        Checkpoints(copy, state, KEPT).save()
        assert sorted(os.listdir(copy)) == sorted(os.listdir(directory)), operation
        assert restore_latest(state, copy) == 3, operation


def find_variables(state: TrainState) -> dict[str, keras.Variable | tf.Variable]:
    """Return every variable of every attribute of a state, by name, so that new attributes are included."""
    found: dict[str, keras.Variable | tf.Variable] = {}
    for name, part in vars(state).items():
        if isinstance(part, tf.Variable):
            found[name] = part
        for index, variable in enumerate(getattr(part, "variables", [])):
            found[f"{name} {index} {getattr(variable, 'path', variable.name)}"] = variable
    return found


def test_every_variable_is_restored(tmp_path):
    """Every variable is changed before it is restored, in a state with everything that a run may have."""
    options = {"precision": "mixed_float16", "adam_beta1": 0.5, "lecam_weight": 0.1, **ADAPTIVE}
    state = make_state(tiny_config(**options), one_device())
    variables = find_variables(state)
    kinds = "kernel /u moving_mean moving_variance momentum velocity dynamic_scale rollbacks logit_averages"
    for kind in [*kinds.split(), "augment_probability"]:
        assert any(kind in name for name in variables), kind
    for index, variable in enumerate(variables.values()):
        variable.assign(variable + tf.cast(index % 7 + 1, variable.dtype))
    before = {name: variable.numpy().tobytes() for name, variable in variables.items()}
    Checkpoints(tmp_path, state, KEPT).save()
    for variable in variables.values():
        variable.assign(variable + tf.ones([], variable.dtype))
    assert not [name for name, variable in variables.items() if variable.numpy().tobytes() == before[name]]
    restore_latest(state, tmp_path)
    assert [name for name, variable in variables.items() if variable.numpy().tobytes() != before[name]] == []
