"""Tests of run directories, their records and the flags that a run can change."""

import json
import pathlib
import shutil

import pytest

from sagan_tf.config import Config, get_option_fields
from sagan_tf.config.flagfile import parse_flagfile
from sagan_tf.errors import UserError
from sagan_tf.runs.run_directory import RunDirectory
from tests import commands
from tests.training.tiny import tiny_config


def test_records(tmp_path):
    run_directory = RunDirectory(tmp_path / "a" / "run")
    assert not (tmp_path / "a").exists()
    run_directory.create()
    run_directory.write_records("--seed=3\n")
    assert (tmp_path / "a" / "run" / "flags.cfg").read_text() == "--seed=3\n"
    versions = json.loads((tmp_path / "a" / "run" / "versions.json").read_text())
    assert RunDirectory("~/run").path == pathlib.Path.home() / "run"
    assert versions["keras"].startswith("3.") and "tensorflow" in versions and "python" in versions


def test_only_changes_that_do_not_affect_the_weights_are_accepted(tmp_path):
    run_directory = RunDirectory(tmp_path)
    run_directory.check_flags(tiny_config().to_flagfile())  # nothing there yet
    run_directory.write_records(tiny_config().to_flagfile())
    run_directory.check_flags(tiny_config(num_steps=77, log_every=5, keep_checkpoints=9).to_flagfile())
    changed = tiny_config(base_channels=4, seed=9, num_steps=77, attention_resolutions=(8, 16))
    with pytest.raises(UserError) as raised:
        run_directory.check_flags(changed.to_flagfile())
    for name, before, after in (("base_channels", 2, 4), ("seed", 0, 9), ("attention_resolutions", 16, "8,16")):
        assert f"{name}: expected '{before}', received '{after}'" in str(raised.value)
    assert "num_steps" not in str(raised.value) and "\n" not in str(raised.value)


def test_find_flags_equal_to_those_of_the_run(tmp_path):
    run_directory = RunDirectory(tmp_path)
    assert run_directory.find_equal_flags("--seed=0\n") == set()
    run_directory.write_records("--seed=0\n--split=test\n--loss=hinge\n")
    assert run_directory.find_equal_flags("--seed=1\n--split=test\n--ema_decay=0\n") == {"split"}


def test_a_directory_that_cannot_be_created(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="run_dir: .*file"):
        RunDirectory(tmp_path / "file" / "run").create()


@pytest.mark.parametrize("name", ["checkpoints", "samples", "tensorboard", "metrics.jsonl"])
def test_a_part_that_cannot_be_written(tmp_path, name):
    (tmp_path / "run" / name).parent.mkdir()
    (tmp_path / "run" / name).mkdir() if name == "metrics.jsonl" else (tmp_path / "run" / name).write_text("")
    with pytest.raises(UserError, match=f"run_dir: .*{name}"):
        RunDirectory(tmp_path / "run").check_can_write()


def test_flagfile_lines():
    assert parse_flagfile("# --a=1\n--b=2\n\n  --c=x=y\n--d=\n") == {"b": "2", "c": "x=y", "d": ""}


@pytest.mark.parametrize("content", [b"", b"--seed=0\n", b"\xff\xfe\x00", None])
def test_damaged_or_missing_flags_stop_a_run(tmp_path, content):
    if content is None:
        (tmp_path / "checkpoints").mkdir()
    else:
        (tmp_path / "flags.cfg").write_bytes(content)
    with pytest.raises(UserError, match="run_dir: .*flags.cfg"):
        RunDirectory(tmp_path).check_flags(tiny_config().to_flagfile())


def test_a_run_older_than_a_flag_resumes_with_its_default(tmp_path):
    now, defaults = (config.to_flagfile() for config in (tiny_config(), Config()))
    later = {name for name, (_, field) in get_option_fields().items() if field.metadata["added_later"]}
    lines = [line for line in now.splitlines() if line[2:].partition("=")[0] not in later]
    (tmp_path / "flags.cfg").write_text("\n".join(lines))
    RunDirectory(tmp_path).check_flags(now, defaults)
    changed = tiny_config(learning_rate_warmup_steps=5).to_flagfile()
    with pytest.raises(UserError, match="learning_rate_warmup_steps: expected '0', received '5'"):
        RunDirectory(tmp_path).check_flags(changed, defaults)
    (tmp_path / "flags.cfg").write_text("\n".join(line for line in lines if "seed" not in line))
    with pytest.raises(UserError, match="seed"):
        RunDirectory(tmp_path).check_flags(now, defaults)


@pytest.mark.parametrize("num_examples", [10, None])  # None: an imported run, which records only its classes
def test_different_data_are_rejected(num_examples, tmp_path):
    run_directory = RunDirectory(tmp_path)
    run_directory.check_data(10, ("a", "b"))  # nothing there yet
    histogram = dict.fromkeys(("bar", "cafe\u0301"), num_examples)
    data = {"num_examples": num_examples, "label_histogram": histogram}
    run_directory.write_json(run_directory.startup, {"data": data})
    run_directory.check_data(10, ("bar", "caf\u00e9"))  # the same name in another Unicode form
    if num_examples is None:
        run_directory.check_data(11, ("bar", "cafe\u0301"))
    for received in (
        (10, ("bar", "cafe")),
        (10, ("cafe\u0301", "bar")),
        *([(11, tuple(histogram))] if num_examples else []),
    ):
        with pytest.raises(UserError, match="data: .* 2 classes"):
            run_directory.check_data(*received)


def test_records_are_read_with_a_byte_order_mark(tmp_path):
    run_directory = RunDirectory(tmp_path)
    flagfile = tiny_config().to_flagfile()
    startup = json.dumps({"data": {"num_examples": 10, "label_histogram": {"a": 4, "b": 6}}})
    for path, text in (("flags.cfg", flagfile), ("startup.json", startup), ("versions.json", '{"keras": "3"}')):
        (tmp_path / path).write_text(text, encoding="utf-8-sig")
    run_directory.check_flags(flagfile)
    assert run_directory.read_class_names(2) == ("a", "b") and run_directory.read_versions() == {"keras": "3"}
    (tmp_path / "flags.cfg").write_text(flagfile, encoding="utf-16")
    with pytest.raises(UserError, match="run_dir: .*flags.cfg.*UTF-16"):
        run_directory.check_flags(flagfile)


@pytest.mark.parametrize(
    ("written", "copied"), [("{}/runs/a", True), ("runs/a", False), ("./runs/../runs/a//", True), ("link/a", False)]
)
def test_the_flagfile_of_a_run_that_was_moved(written, copied, tmp_path, monkeypatch, capsys):
    begun: list[str] = []
    monkeypatch.setattr("sagan_tf.train.main", lambda config: begun.append(config.training.run_dir))
    monkeypatch.chdir(tmp_path)
    run_directory = RunDirectory("runs/a")
    run_directory.create()
    run_directory.write_records(tiny_config(run_dir=written.format(tmp_path)).to_flagfile())
    pathlib.Path("link").symlink_to("runs")
    for place in ("runs", "link", f"{tmp_path}/runs"):
        assert commands.train([f"--flagfile={place}/a/flags.cfg"]) == 0
    shutil.copytree("runs", "moved [1]")
    if not copied:
        shutil.rmtree("runs")
    begun.clear()
    moved = "--flagfile=moved [1]/a/flags.cfg"
    for flags in ([moved], ["--run_dir=new", moved]):  # the later value counts
        assert commands.train(flags) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"--run_dir={tmp_path}/moved [1]/a" in line
    assert begun == []
    pathlib.Path("own.cfg").write_text(f"{moved}\n--run_dir=new\n")
    shutil.copy("moved [1]/a/flags.cfg", "copy.cfg")
    for flags in ([moved, "--run_dir=moved [1]/a/"], [moved, "--run_dir", "new"], ["--flagfile=own.cfg"]):
        assert commands.train(flags) == 0
    assert commands.train(["--flagfile=copy.cfg"]) == 0
    assert begun[:3] == ["moved [1]/a/", "new", "new"]


def test_a_relative_run_dir_from_another_working_directory(tmp_path, monkeypatch, capsys):
    """The path means a different directory from there, where no new run may start silently."""
    monkeypatch.setattr("sagan_tf.train.main", lambda config: None)
    run_directory = RunDirectory(tmp_path / "runs")
    run_directory.create()
    run_directory.write_records(tiny_config(run_dir="runs").to_flagfile())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert commands.train(["--flagfile=../runs/flags.cfg"]) == 2
    assert f"--run_dir={tmp_path}/runs" in capsys.readouterr().err
    assert commands.train(["--flagfile=../runs/flags.cfg", "--run_dir=../runs"]) == 0
