"""`kill -9` at any moment: the next start goes on from the last checkpoint, and the run ends as if nothing had been."""

from __future__ import annotations

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
import pytest
import tensorflow as tf

from sagan_tf.runs.checkpoints import Checkpoints, remove_unfinished, restore_latest
from sagan_tf.training.state import TrainState
from tests.faults.outcomes import assert_same, lines
from tests.faults.processes import said, train_to_the_end, training, wait_until
from tests.training.tiny import all_values, differences, make_state, one_device, tiny_config

EVERY = 4
KEPT = 2
# All that a checkpoint has to hold: first moments, an average that differs from the generator, flips by position.
FLAGS = (
    "--adam_beta1=0.5",
    "--ema_start_step=3",
    "--ema_decay=0.9",
    "--random_flip",
    "--discriminator_steps_per_step=2",
)
FLAGS += ("--log_every=1", "--sample_every=6", f"--checkpoint_every={EVERY}", f"--keep_checkpoints={KEPT}")

Moment = Callable[[pathlib.Path, subprocess.Popen], None]
"""Waits until a process that trains in a folder is to be killed."""


def after(seconds: float, run_dir: pathlib.Path, process: subprocess.Popen) -> None:
    """While it loads its libraries, builds networks, restores, or compiles; at the latest when it has trained."""
    before, end = steps_done(run_dir), time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end or steps_done(run_dir) > before, process)


def beyond(step: int, seconds: float, run_dir: pathlib.Path, process: subprocess.Popen) -> None:
    """Some time after a step."""
    wait_until(lambda: steps_done(run_dir) >= step, process)
    time.sleep(seconds)


def in_a_save_beyond(step: int, seconds: float, run_dir: pathlib.Path, process: subprocess.Popen) -> None:
    """Some time after a save began, and before it ended: the process is held to see that, and let go if it was late."""
    beyond(step, 0.0, run_dir, process)
    while True:
        wait_until(lambda: bool(unfinished(run_dir / "checkpoints")), process, every=0.0)
        time.sleep(seconds)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if unfinished(run_dir / "checkpoints"):
            return
        process.send_signal(signal.SIGCONT)
        seconds /= 2


def in_the_evaluation_of(step: int, run_dir: pathlib.Path, process: subprocess.Popen) -> None:
    """After a checkpoint that is to be evaluated, and before anything of that is on record."""
    listing = run_dir / "checkpoints" / "checkpoint"
    wait_until(lambda: listing.exists() and f'model_checkpoint_path: "step-{step}"' in listing.read_text(), process)
    assert step not in [line["step"] for line in lines(run_dir) if line["kind"] == "evaluation"]


def moments(kills: int, num_steps: int, seed: int) -> list[Moment]:
    """Random ones of all three kinds in turn, the last well before the end: a save is not always caught in time.

    Those that follow steps let the run come forward.
    """
    generator = random.Random(seed)
    found: list[Moment] = []
    for kill in range(kills):
        step = num_steps * (kill + 1) // (2 * kills) + generator.randrange(EVERY)
        kinds = (
            functools.partial(after, generator.uniform(0.5, 10.0)),
            functools.partial(in_a_save_beyond, step, generator.uniform(0.0, 0.01)),
            functools.partial(beyond, step, generator.uniform(0.0, 0.1)),
        )
        found.append(kinds[kill % 3])
    return found


def kill_at(moment: Moment, run_dir: pathlib.Path, flags: Sequence[str]) -> None:
    with training(run_dir, *flags) as process:
        moment(run_dir, process)
        process.kill()
        assert process.wait() == -signal.SIGKILL, said(run_dir, "err")


def steps_done(run_dir: pathlib.Path) -> int:
    """By the last line of `metrics.jsonl`, which may be half written."""
    try:
        whole = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[:-1]
        return max((json.loads(line)["step"] for line in whole[-1:]), default=0)
    except FileNotFoundError:
        return 0


def unfinished(directory: pathlib.Path) -> list[str]:
    """What a save has in a folder before it is done: new files that the list does not name, or the new list itself."""
    try:
        names = os.listdir(directory)
        listing = (directory / "checkpoint").read_text(encoding="utf-8") if "checkpoint" in names else ""
    except FileNotFoundError:
        return []
    files = [name for name in names if name != "checkpoint"]
    return [name for name in files if f'"{name.partition(".")[0]}"' not in listing]


def kill_and_compare(folder: pathlib.Path, when: Sequence[Moment], num_steps: int, *flags: str) -> None:
    """A run that is killed at each moment and then runs to its end, beside one that isn't."""
    flags = (*FLAGS, f"--num_steps={num_steps}", *flags)
    killed, whole = folder / "killed", folder / "whole"
    with training(whole, *flags) as process:
        for moment in when:
            kill_at(moment, killed, flags)
        assert train_to_the_end(killed, *flags) == 0, said(killed, "err")
        assert "resumed at step" in said(killed)
        assert process.wait(240) == 0, said(whole, "err")
    assert_same(killed, whole, num_steps)


def test_two_kills_leave_no_trace(tmp_path: pathlib.Path) -> None:
    when = [functools.partial(after, 3.0), functools.partial(in_a_save_beyond, EVERY + 1, 0.002)]
    kill_and_compare(tmp_path, when, 5 * EVERY)


@pytest.mark.slow
def test_many_kills_leave_no_trace(tmp_path: pathlib.Path) -> None:
    """In seven of 21 the process was saving."""
    kill_and_compare(tmp_path, moments(21, 240, seed=0), 240)


@pytest.mark.slow
def test_a_kill_in_an_evaluation_loses_none(tmp_path: pathlib.Path) -> None:
    """Not the last one either, after which there are no steps to go on with."""
    flags = (f"--evaluate_every={EVERY}", "--extractor=fashion_mnist", "--metrics=fcd,label_agreement")
    flags += ("--num_samples=500", f"--reference_dir={tmp_path / 'references'}")
    when = [functools.partial(in_the_evaluation_of, step) for step in (EVERY, 2 * EVERY)]
    kill_and_compare(tmp_path, when, 2 * EVERY, *flags)
    evaluated = [line["step"] for line in lines(tmp_path / "killed") if line["kind"] == "evaluation"]
    assert evaluated == [EVERY, 2 * EVERY]
    best = [
        json.loads((tmp_path / name / "checkpoints" / "best" / "best.json").read_text()) for name in ("killed", "whole")
    ]
    assert best[0] == best[1]


@pytest.mark.slow
def test_kills_with_a_loss_scale_leave_no_trace(tmp_path: pathlib.Path) -> None:
    kill_and_compare(tmp_path, moments(3, 32, seed=1), 32, "--precision=mixed_float16")


def stages_of_a_save(before: pathlib.Path, after: pathlib.Path, stage: pathlib.Path) -> Iterator[tuple[str, int]]:
    """Puts into a folder what lies there while step 3 is saved over 1 and 2, in order, as TensorFlow's `SaveV2`,
    `MergeV2Checkpoints` and `Checkpoints` go about it (seen with strace).

    Args:
        before: a folder as it is when TensorFlow begins to save; there may be no checkpoint in it.
        after: as it is when the checkpoint is on the list, and what is too old still there.
        stage: gets the files.

    Yields:
        What was done last, and the step that a run goes on from now; 0: it begins anew.
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
    yield "the data have their name", earlier
    (stage / index).write_bytes((after / index).read_bytes()[:1000])
    yield "the index is being written again, under its name", earlier
    shutil.copy(after / index, stage / index)
    shutil.rmtree(parts)
    yield "the checkpoint is whole", earlier
    (stage / "checkpoint.part").write_bytes((after / "checkpoint").read_bytes()[:20])
    yield "the list is being written", earlier
    (stage / "checkpoint.part").unlink()
    shutil.copy(after / "checkpoint", stage / "checkpoint")
    yield "the list names it", 3
    if earlier:
        (stage / "step-1.index").unlink()
        yield "half of the oldest one is removed", 3


class Killed(BaseException):
    """Stands for the end of a process."""


def killed(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.parametrize("first", [True, False])
def test_whatever_a_save_has_left_half_done(
    first: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the first save of a run, before which there is no list of checkpoints."""
    state, values = make_state(tiny_config(), one_device()), {0: {}}
    directory, before, after = (tmp_path / name for name in ("checkpoints", "before", "after"))
    checkpoints = Checkpoints(directory, state, KEPT)
    directory.mkdir()

    def go_on(step: int) -> None:
        state.step.assign(step)
        state.generator.trainable_variables[0].assign_add(tf.ones_like(state.generator.trainable_variables[0]))
        values[step] = all_values(state)

    for step in () if first else (1, 2):
        go_on(step)
        checkpoints.save()
    go_on(3)
    for owner, method, folder in ((tf.train.Checkpoint, "write", before), (Checkpoints, "_remove_oldest", after)):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(owner, method, killed)
            checkpoints.save()
        shutil.copytree(directory, folder)
    checkpoints.save()
    for number, (what, expected) in enumerate(stages_of_a_save(before, after, tmp_path / "stage")):
        folder = shutil.copytree(tmp_path / "stage", tmp_path / str(number))
        assert (restore_latest(state, folder) or 0) == expected, what
        assert not expected or differences(all_values(state), values[expected]) == set(), what
        remove_unfinished(folder)
        state.step.assign(3)
        Checkpoints(folder, state, KEPT).save()
        assert sorted(os.listdir(folder)) == sorted(os.listdir(directory)), what
        assert restore_latest(state, folder) == 3, what


def variables(state: TrainState) -> dict[str, keras.Variable | tf.Variable]:
    """Every variable of everything that a state has, by name: what it will have one day too."""
    found: dict[str, keras.Variable | tf.Variable] = {}
    for name, part in vars(state).items():
        if isinstance(part, tf.Variable):
            found[name] = part
        for index, variable in enumerate(getattr(part, "variables", [])):
            found[f"{name} {index} {variable.path}"] = variable
    return found


def test_every_variable_comes_back(tmp_path: pathlib.Path) -> None:
    """Each is spoilt first, in a state with all that a run may have."""
    state = make_state(tiny_config(precision="mixed_float16", adam_beta1=0.5), one_device())
    everything = variables(state)
    for kind in (
        "kernel",
        "/u",
        "moving_mean",
        "moving_variance",
        "momentum",
        "velocity",
        "dynamic_scale",
        "rollbacks",
    ):
        assert any(kind in name for name in everything), kind
    for index, variable in enumerate(everything.values()):
        variable.assign(variable + tf.cast(index % 7 + 1, variable.dtype))
    before = {name: variable.numpy().tobytes() for name, variable in everything.items()}
    Checkpoints(tmp_path, state, KEPT).save()
    for variable in everything.values():
        variable.assign(variable + tf.ones([], variable.dtype))
    assert not [name for name, variable in everything.items() if variable.numpy().tobytes() == before[name]]
    restore_latest(state, tmp_path)
    assert [name for name, variable in everything.items() if variable.numpy().tobytes() != before[name]] == []
