"""A disk that is full, wherever it is written to: one line that says so, nothing half written, and the run goes on."""

from __future__ import annotations

import contextlib
import json
import pathlib
import resource
import shutil
from collections.abc import Callable, Iterator

import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf import evaluate, export, sample
from sagan_tf.evaluation import evaluate as evaluation
from sagan_tf.files import append_line
from tests.faults.disks import Disk, small_disk
from tests.faults.outcomes import assert_same, files
from tests.faults.processes import said, train_to_the_end
from tests.faults.short_run import FLAGS, STEPS, run

PAGE = 4096
EVALUATION = ("--extractor=fashion_mnist", "--metrics=label_agreement", "--num_samples=10")
Door = Callable[[list[str]], int]


def full(path: pathlib.Path) -> str:
    """The line about it: of the run's folder, or of the file where that is known."""
    return (
        f"sagan_tf.train: error: run_dir: expected free space on the disk of {path}, found none; delete files "
        "there: the same command goes on from the newest checkpoint\n"
    )


def assert_intact(directory: pathlib.Path) -> None:
    """Every value of every checkpoint on the list can be read: TensorFlow looks at their checksums."""
    listed = tf.train.get_checkpoint_state(str(directory)).all_model_checkpoint_paths
    assert len(listed) >= 1
    for path in listed:
        reader = tf.train.load_checkpoint(path)
        assert all(reader.get_tensor(name) is not None for name in reader.get_variable_to_shape_map())


def test_a_disk_that_fills_up_while_training(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    """In a process of its own, so that nothing is missed that is said at its very end."""
    run_dir = tmp_path / "run"
    with small_disk(run_dir, 1000) as disk:
        assert train_to_the_end(run_dir, *FLAGS) == 2
        assert said(run_dir, "err") == full(run_dir)
        assert_intact(run_dir / "checkpoints")
        assert not [name for name in files(run_dir) if name.endswith((".part", "_temp"))]
        disk.make_room()
        assert run(run_dir) == 0
        assert_same(run_dir, whole, STEPS)


Place = Callable[[pathlib.Path], contextlib.AbstractContextManager[Disk]]


def first_checkpoint(run_dir: pathlib.Path) -> contextlib.AbstractContextManager[Disk]:
    return small_disk(run_dir, 200)


def tensorboard(run_dir: pathlib.Path) -> contextlib.AbstractContextManager[Disk]:
    return small_disk(run_dir / "tensorboard", 40)


def samples(run_dir: pathlib.Path) -> contextlib.AbstractContextManager[Disk]:
    return small_disk(run_dir / "samples", 64)


@contextlib.contextmanager
def metrics(run_dir: pathlib.Path) -> Iterator[Disk]:
    """Everything else has its space: checkpoints and pictures come later."""
    with small_disk(run_dir, 64_000) as disk, small_disk(run_dir / "tensorboard", 64_000):
        assert run(run_dir, "--num_steps=3") == 0
        disk.fill(leave=3 * PAGE)
        yield disk


@pytest.mark.slow
@pytest.mark.parametrize("place", [first_checkpoint, tensorboard, samples, metrics])
def test_every_place_where_a_run_writes(
    place: Place, tmp_path: pathlib.Path, whole: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    seldom = ("--sample_every=100", "--checkpoint_every=100") if place is metrics else ()
    with place(run_dir) as disk:
        capsys.readouterr()
        assert run(run_dir, *seldom) == 2
        assert capsys.readouterr().err == full(run_dir / "metrics.jsonl" if place is metrics else run_dir)
        text = (run_dir / "metrics.jsonl").read_text()
        assert text.endswith("\n") and all(map(json.loads, text.splitlines()))
        disk.make_room()
        assert run(run_dir) == 0
        assert_same(run_dir, whole, STEPS)


@pytest.mark.parametrize("pages", [0, 1])
def test_no_space_for_the_records_of_a_new_run(
    pages: int, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not for who trains there, or not for the flags."""
    with small_disk(tmp_path, 100) as disk:
        disk.fill(leave=pages * PAGE)
        assert run(tmp_path / "run") == 2
        line = line_of(capsys, "train")
        assert line.startswith("run_dir: ") and str(tmp_path / "run") in line and "space" in line
        assert set(files(tmp_path)) <= {"run", "run/.lock", "other files"}


def test_a_disk_that_can_only_be_read(
    tmp_path: pathlib.Path, whole: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    with small_disk(run_dir, 10_000) as disk:
        shutil.copytree(whole, run_dir, dirs_exist_ok=True)
        disk.make_readable_only()
        assert run(run_dir, f"--num_steps={STEPS + 1}") == 2
        line = line_of(capsys, "train")
        assert line.startswith("run_dir: ") and str(run_dir) in line and "Read-only" in line
        assert files(run_dir) == files(whole)


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writes beyond so many bytes of a file fail, as they do beyond a quota; it takes no right to ask for that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
def test_a_file_larger_than_may_be(
    tmp_path: pathlib.Path, whole: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    with largest_file(200_000):
        assert run(run_dir) == 2
    assert capsys.readouterr().err == full(run_dir)
    assert run(run_dir) == 0
    assert_same(run_dir, whole, STEPS)


def line_of(capsys: pytest.CaptureFixture[str], door: str) -> str:
    """The one line that a door has written on standard error."""
    (line,) = capsys.readouterr().err.splitlines()
    start = f"sagan_tf.{door}: error: "
    assert line.startswith(start)
    return line.removeprefix(start)


@pytest.mark.parametrize(
    ("door", "name", "flags", "kilobytes"),
    [
        ("sample", "a.png", ["--mode=classes"], 4),
        ("sample", "a.html", ["--mode=attention"], 4),
        ("sample", "a.npz", ["--mode=images", "--num_samples=32"], 8),
        ("export", "exports", ["--formats=saved_model"], 40),
        ("export", "exports", ["--formats=saved_model,tflite"], 800),
        ("evaluate", "a.json", [*EVALUATION], 0),
    ],
)
def test_what_the_doors_write_is_whole_or_not_there(
    door: str,
    name: str,
    flags: list[str],
    kilobytes: int,
    tmp_path: pathlib.Path,
    whole: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, run_dir = tmp_path / "disk" / name, shutil.copytree(whole, tmp_path / "run")  # an evaluation goes on record
    with small_disk(output.parent, 4096) as disk:
        disk.fill(leave=kilobytes * 1024)
        assert DOORS[door]([f"--run_dir={run_dir}", f"--output={output}", *flags]) == 2
        line = line_of(capsys, door)
        assert str(output) in line and "No space left on device" in line
        assert files(disk.path) == ["other files"]
        disk.make_room()
        assert DOORS[door]([f"--run_dir={run_dir}", f"--output={output}", *flags]) == 0
        assert output.exists()


DOORS: dict[str, Door] = {"sample": sample.run, "export": export.run, "evaluate": evaluate.run}


def test_many_pictures_go_on(tmp_path: pathlib.Path, whole: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that are there are whole, and stay."""
    flags = [f"--run_dir={whole}", "--mode=images", "--num_samples=32", f"--output={tmp_path / 'pictures'}"]
    with small_disk(tmp_path, 80) as disk:
        assert sample.run(flags) == 2
        assert line_of(capsys, "sample").endswith("received No space left on device")
        written = list(disk.path.rglob("*.png"))
        assert 0 < len(written) < 32
        for path in written:
            Image.open(path).load()
        disk.make_room()
        assert sample.run(flags) == 0
        assert f"{len(written)} of 32 pictures are there already" in capsys.readouterr().out
        assert len([path for path in disk.path.rglob("*") if path.is_file()]) == 33  # and the record


@pytest.mark.parametrize("part", ["", "tensorboard"])
def test_the_records_of_an_evaluated_run_stay_whole(
    part: str,
    tmp_path: pathlib.Path,
    whole: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk is found before the evaluation; one that becomes full meanwhile hides no number."""
    run_dir = shutil.copytree(whole, tmp_path / "run")
    with small_disk(run_dir / part, 10_000) as disk:
        shutil.copytree(whole / part, run_dir / part, dirs_exist_ok=True)
        metrics = run_dir / "metrics.jsonl"
        # Half of what is added would still fit.
        append_line(metrics, json.dumps({"step": 0}) + " " * (PAGE - 100 - (metrics.stat().st_size + 12) % PAGE))
        before = metrics.read_bytes()

        def print_table(*_: object) -> None:
            disk.fill()

        with monkeypatch.context() as patched:
            patched.setattr(evaluation, "print_table", print_table)
            assert evaluate.run([f"--run_dir={run_dir}", *EVALUATION]) == 2
        printed = capsys.readouterr()
        assert str(run_dir / part) in printed.err and "No space left on device" in printed.err
        assert json.loads(printed.out.splitlines()[-1])["label_agreement"] >= 0.0
        assert (metrics.read_bytes() == before) == (not part)
        before = metrics.read_bytes()
        monkeypatch.setattr(evaluation, "open_extractor", None)
        assert evaluate.run([f"--run_dir={run_dir}", *EVALUATION]) == 2
        assert "--output" in line_of(capsys, "evaluate") and metrics.read_bytes() == before
        monkeypatch.undo()
        disk.make_room()
        assert evaluate.run([f"--run_dir={run_dir}", *EVALUATION]) == 0
        assert metrics.read_bytes().startswith(before)
        assert json.loads(metrics.read_text().splitlines()[-1])["kind"] == "evaluation"
