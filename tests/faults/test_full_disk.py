"""Tests of full disks: the error is one line, no file is half written, and the run can be resumed."""

import contextlib
import json
import logging
import pathlib
import resource
import shutil
from collections.abc import Callable, Iterator

import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.evaluation import evaluate as evaluation
from sagan_tf.files import append_line
from tests import commands
from tests.faults.disks import Disk, small_disk
from tests.faults.outcomes import assert_equal_runs, list_files
from tests.faults.processes import read_output, start_training
from tests.faults.short_run import FLAGS, STEPS, run_training

PAGE = 4096
EVALUATION = ("--extractor=fashion_mnist", "--metrics=label_agreement", "--num_samples=10")
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "sample": commands.sample,
    "export": commands.export,
    "evaluate": commands.evaluate,
}


def assert_disk_full_error(text: str, path: pathlib.Path) -> None:
    """Assert that the error is one line with the run directory, or with the file if it is known."""
    (line,) = text.splitlines()
    assert line.startswith("sagan_tf.train: error: run_dir: ") and f"{path} is full" in line


def assert_intact(directory: pathlib.Path) -> None:
    """Check that every value of every listed checkpoint can be read; TensorFlow checks their checksums."""
    listed = tf.train.get_checkpoint_state(str(directory)).all_model_checkpoint_paths
    assert len(listed) >= 1
    for path in listed:
        reader = tf.train.load_checkpoint(path)
        assert all(reader.get_tensor(name) is not None for name in reader.get_variable_to_shape_map())


@pytest.mark.slow
def test_disk_that_fills_up_during_training(tmp_path, uninterrupted_run):
    """Training runs in a process of its own, so that messages at the end of the process are included."""
    run_dir = tmp_path / "run"
    with small_disk(run_dir, 1000) as disk:
        with start_training(run_dir, *FLAGS) as process:
            assert process.wait(240) == 2
        assert_disk_full_error(read_output(run_dir, "err"), run_dir)
        assert_intact(run_dir / "checkpoints")
        assert not [name for name in list_files(run_dir) if name.endswith((".part", "_temp"))]
        disk.make_room()
        assert run_training(run_dir) == 0
        assert_equal_runs(run_dir, uninterrupted_run, STEPS)


@contextlib.contextmanager
def metrics(run_dir: pathlib.Path) -> Iterator[Disk]:
    """Fill the disk when the run has written everything but the metrics; the rest is written later."""
    logger = logging.getLogger("sagan_tf")
    with small_disk(run_dir, 64_000) as disk, small_disk(run_dir / "tensorboard", 64_000):

        def fill_before_the_first_step(record: logging.LogRecord) -> bool:
            if record.getMessage().startswith("tracing the training step"):
                logger.removeFilter(fill_before_the_first_step)
                disk.fill()
            return True

        assert run_training(run_dir, "--num_steps=3") == 0
        logger.addFilter(fill_before_the_first_step)
        yield disk
        logger.removeFilter(fill_before_the_first_step)


PLACES: dict[str, Callable[[pathlib.Path], contextlib.AbstractContextManager[Disk]]] = {
    "first checkpoint": lambda run_dir: small_disk(run_dir, 200),
    "tensorboard": lambda run_dir: small_disk(run_dir / "tensorboard", 40),
    "samples": lambda run_dir: small_disk(run_dir / "samples", 64),
    "metrics": metrics,
}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_full_disk_in_every_directory_of_a_run(place, tmp_path, uninterrupted_run, capsys):
    run_dir = tmp_path / "run"
    seldom = ("--sample_every=100", "--checkpoint_every=100") if place == "metrics" else ()
    with PLACES[place](run_dir) as disk:
        capsys.readouterr()
        assert run_training(run_dir, *seldom) == 2
        path = run_dir / "metrics.jsonl" if place == "metrics" else run_dir
        assert_disk_full_error(capsys.readouterr().err, path)
        text = (run_dir / "metrics.jsonl").read_text()
        assert text.endswith("\n") and all(map(json.loads, text.splitlines()))
        disk.make_room()
        assert run_training(run_dir) == 0
        assert_equal_runs(run_dir, uninterrupted_run, STEPS)


@pytest.mark.parametrize("pages", [0, 1])
def test_no_space_for_the_files_of_a_new_run(pages, tmp_path, capsys):
    """There is no space for the lock (0 pages) or for the flags (1 page)."""
    with small_disk(tmp_path, 100) as disk:
        disk.fill(leave=pages * PAGE)
        assert run_training(tmp_path / "run") == 2
        line = read_error(capsys, "train")
        assert line.startswith("run_dir: ") and str(tmp_path / "run") in line and "space" in line
        assert set(list_files(tmp_path)) <= {"run", "run/.lock", "other files"}


@pytest.mark.slow
def test_read_only_disk(tmp_path, uninterrupted_run, capsys):
    run_dir = tmp_path / "run"
    with small_disk(run_dir, 10_000) as disk:
        shutil.copytree(uninterrupted_run, run_dir, dirs_exist_ok=True)
        disk.make_readable_only()
        assert run_training(run_dir, f"--num_steps={STEPS + 1}") == 2
        line = read_error(capsys, "train")
        assert line.startswith("run_dir: ") and str(run_dir) in line and "Read-only" in line
        assert list_files(run_dir) == list_files(uninterrupted_run)


@pytest.mark.slow
def test_limit_of_the_file_size(tmp_path, uninterrupted_run, capsys):
    """Writes beyond a number of bytes of a file fail, as beyond a quota; every user may set this limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        assert run_training(tmp_path / "run") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_disk_full_error(capsys.readouterr().err, tmp_path / "run")
    assert run_training(tmp_path / "run") == 0
    assert_equal_runs(tmp_path / "run", uninterrupted_run, STEPS)


def read_error(capsys: pytest.CaptureFixture[str], command: str) -> str:
    """Return the error message of a command, which must be the only line on standard error."""
    (line,) = capsys.readouterr().err.splitlines()
    start = f"sagan_tf.{command}: error: "
    assert line.startswith(start)
    return line.removeprefix(start)


@pytest.mark.parametrize(
    ("command", "name", "flags", "kilobytes"),
    [
        ("sample", "a.png", ["--mode=classes"], 4),
        ("sample", "a.html", ["--mode=attention"], 4),
        ("sample", "a.npz", ["--mode=images", "--num_samples=32"], 8),
        ("export", "exports", ["--formats=saved_model"], 40),
        pytest.param("export", "exports", ["--formats=saved_model,tflite"], 800, marks=pytest.mark.slow),
        ("evaluate", "a.json", [*EVALUATION], 0),
    ],
)
def test_outputs_of_commands_are_complete_or_missing(
    command, name, flags, kilobytes, tmp_path, uninterrupted_run, capsys
):
    output = tmp_path / "disk" / name
    run_dir = shutil.copytree(uninterrupted_run, tmp_path / "run")  # an evaluation changes the run
    with small_disk(output.parent, 4096) as disk:
        disk.fill(leave=kilobytes * 1024)
        assert COMMANDS[command]([f"--run_dir={run_dir}", f"--output={output}", *flags]) == 2
        line = read_error(capsys, command)
        assert str(output) in line and "No space left on device" in line
        assert list_files(disk.path) == ["other files"]
        disk.make_room()
        assert COMMANDS[command]([f"--run_dir={run_dir}", f"--output={output}", *flags]) == 0
        assert output.exists()


def test_sampling_of_images_can_be_resumed(tmp_path, uninterrupted_run, capsys):
    flags = [f"--run_dir={uninterrupted_run}", "--mode=images", "--num_samples=32", f"--output={tmp_path / 'images'}"]
    with small_disk(tmp_path, 80) as disk:
        assert commands.sample(flags) == 2
        assert "(No space left on device)" in read_error(capsys, "sample")
        written = list(disk.path.rglob("*.png"))
        assert 0 < len(written) < 32
        for path in written:
            Image.open(path).load()
        disk.make_room()
        assert commands.sample(flags) == 0
        assert f"{len(written)} of 32 images exist already" in capsys.readouterr().out
        assert len([path for path in disk.path.rglob("*") if path.is_file()]) == 33  # 32 images and the record


@pytest.mark.parametrize("part", ["", "tensorboard"])
def test_files_of_an_evaluated_run_stay_intact(part, tmp_path, uninterrupted_run, capsys, monkeypatch):
    """A full disk is found before the evaluation. If it fills up during the evaluation, the results are printed."""
    run_dir = shutil.copytree(uninterrupted_run, tmp_path / "run")
    with small_disk(run_dir / part, 10_000) as disk:
        shutil.copytree(uninterrupted_run / part, run_dir / part, dirs_exist_ok=True)
        metrics = run_dir / "metrics.jsonl"
        # There is still space for half of the new line.
        append_line(metrics, json.dumps({"step": 0}) + " " * (PAGE - 100 - (metrics.stat().st_size + 12) % PAGE))
        before = metrics.read_bytes()

        def print_table(*_: object) -> None:
            disk.fill()

        with monkeypatch.context() as patched:
            patched.setattr(evaluation, "print_table", print_table)
            assert commands.evaluate([f"--run_dir={run_dir}", *EVALUATION]) == 2
        printed = capsys.readouterr()
        assert str(run_dir / part) in printed.err and "No space left on device" in printed.err
        assert json.loads(printed.out.splitlines()[-1])["label_agreement"] >= 0.0
        assert (metrics.read_bytes() == before) == (not part)
        before = metrics.read_bytes()
        monkeypatch.setattr(evaluation, "open_metric_extractor", None)
        assert commands.evaluate([f"--run_dir={run_dir}", *EVALUATION]) == 2
        assert "--output" in read_error(capsys, "evaluate") and metrics.read_bytes() == before
        monkeypatch.undo()
        disk.make_room()
        assert commands.evaluate([f"--run_dir={run_dir}", *EVALUATION]) == 0
        assert metrics.read_bytes().startswith(before)
        assert json.loads(metrics.read_text().splitlines()[-1])["kind"] == "evaluation"
