"""Loop around a lowered program; a program that counts its calls replaces the one that JAX runs."""

from __future__ import annotations

import itertools
import json
import pathlib
import signal
from typing import Any

import numpy as np
import pytest

from tools import run_lowered_training
from tools.run_lowered_training import Program, generate_draws, main, record_signals

CALLS = 2
"""Training steps of a call."""


class CountingProgram(Program):
    """Program whose only variable counts its calls; it sends `signal_at[call]` to this process."""

    signal_at: dict[int, int] = {}

    def __init__(self, directory: pathlib.Path, description: dict[str, Any]) -> None:
        self._inputs, self.device, self.put = [0], "fake", np.asarray

    def call(self, *arguments: Any) -> np.ndarray:
        self._variables = [self._variables[0] + 1]
        if number := self.signal_at.get(int(self._variables[0])):
            signal.raise_signal(number)
        return np.array([0.5])


@pytest.fixture
def directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Return the directory of a lowered run at step 0."""
    monkeypatch.setattr(run_lowered_training, "Program", CountingProgram)
    monkeypatch.setattr(CountingProgram, "signal_at", {})
    description = {"inputs": [0], "metrics": ["loss"], "random_flip": True, "rows_shape": [CALLS, 1, 3], "seed": 0}
    (tmp_path / "training.json").write_text(json.dumps(description))
    np.savez(tmp_path / "images.npz", images=np.zeros([7, 2, 2, 1], np.uint8), labels=np.zeros(7, np.int32))
    np.savez(tmp_path / "variables-00000000.npz", **{"00000": np.array(0)})
    return tmp_path


def run(directory: pathlib.Path, steps: int, save_every: int = 100) -> int:
    return main([str(directory), f"--steps={steps}", f"--save_every={save_every}"])


def read_steps(directory: pathlib.Path) -> list[int]:
    return [json.loads(line)["step"] for line in (directory / "metrics.jsonl").read_text().splitlines()]


def read_saved_calls(directory: pathlib.Path, step: int) -> int:
    with np.load(directory / f"variables-{step:08d}.npz") as file:
        return int(file["00000"])


def test_training_continues_from_the_newest_step_and_each_step_has_one_line(directory: pathlib.Path) -> None:
    assert run(directory, 8, save_every=4) == 0 and read_saved_calls(directory, 8) == 4
    (directory / "variables-00000008.npz").unlink()  # lost, as after a crash
    with (directory / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1')
    (directory / "variables-00000006 (1).npz").write_bytes(b"")  # a copy that a browser made
    assert run(directory, 10) == 0
    assert read_steps(directory) == [2, 4, 6, 8, 10] and read_saved_calls(directory, 10) == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_it_has_saved(number: int, directory: pathlib.Path, capsys) -> None:
    before = signal.getsignal(number)
    CountingProgram.signal_at = {2: number, 5: number}
    assert run(directory, 10) == 128 + number and "step 4" in capsys.readouterr().out
    assert read_saved_calls(directory, 4) == 2 and signal.getsignal(number) == before
    assert run(directory, 10) == 0  # a signal in the last call has no effect
    assert read_steps(directory) == [2, 4, 6, 8, 10] and read_saved_calls(directory, 10) == 5


def test_a_second_signal_ends_the_run_at_once() -> None:
    with record_signals() as received:
        signal.raise_signal(signal.SIGINT)
        assert received == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("damage", ["truncated", "empty", "missing"])
@pytest.mark.parametrize("name", ["training.json", "images.npz", "variables-00000000.npz"])
def test_a_damaged_file_is_named(damage: str, name: str, directory: pathlib.Path, capsys) -> None:
    path = directory / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-30] if damage == "truncated" else b"")
    assert run(directory, 4) == 2
    error = capsys.readouterr().err
    assert str(directory) in error and name.partition("0")[0] in error and error.count("\n") == 1


@pytest.mark.parametrize("named", ["steps", "save_every", "absent"])
def test_errors_are_named(named: str, directory: pathlib.Path, capsys) -> None:
    steps, save_every = 3 if named == "steps" else 4, 0 if named == "save_every" else 100
    assert run(directory / "absent" if named == "absent" else directory, steps, save_every) == 2
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1


def test_every_epoch_has_every_image_once_and_can_start_anywhere() -> None:
    whole = list(itertools.islice(generate_draws(7, 3, 0), 21))
    rows = [row for row, _ in whole]
    epochs = [rows[start : start + 7] for start in (0, 7, 14)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 3 and epochs[0] != epochs[1]
    assert {flip for _, flip in whole} == {False, True}
    assert list(itertools.islice(generate_draws(7, 3, 10), 11)) == whole[10:]
