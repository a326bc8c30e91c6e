import json
import pathlib
import re
from typing import Any

import pytest

from tools import benchmark
from tools.benchmarks import sampling, startup, train_step


class FakeWorker:
    """Worker without a process, whose time depends on its measurement and parameters."""

    seconds = {"tf_gan_train_step": 2.0, "tf_gan_sampling": 2.0, "plain": 1.5, "auto": 0.5}

    def __init__(self, measurement: str, parameters: dict[str, Any]) -> None:
        self.measurement = measurement
        self.time = self.seconds.get(measurement, self.seconds[parameters.get("resampling", "auto")])

    def __enter__(self) -> "FakeWorker":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def wait_until_ready(self) -> dict[str, float]:
        return {"flops_per_image": 1e9, "flops_per_image_with_transforms": 2e9, "seconds_to_first_step": 3.0}

    def run(self) -> dict[str, float]:
        if self.measurement == "matrix_product":
            return {"flops_per_second": 32e9}
        return {"seconds": self.time, "peak_memory_bytes": 2_000_000_000}


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_step, "Worker", FakeWorker)
    monkeypatch.setattr(sampling, "Worker", FakeWorker)


def test_the_json_of_a_training_step(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    assert benchmark.run(["train_step", "--peer=tf_gan", f"--json={tmp_path / 'step.json'}"]) == 0
    result = json.loads((tmp_path / "step.json").read_text())
    assert result["ratio"] == 4.0
    assert result["ours"]["seconds"] == 0.5 and result["ours"]["images_per_second"] == 16.0
    assert result["peer"]["seconds"] == 2.0 and result["peer"]["peak_memory_bytes"] == 2_000_000_000
    assert result["share_of_matrix_product"] == 0.5  # 8 images of 1 GFLOP in 0.5 s, at 32 GFLOP/s
    assert result["sizes"]["resolution"] == 128 and result["machine"]["cores"] >= 1
    printed = capsys.readouterr().out
    assert "4.00 times as fast" in printed and "2.00 GB" in printed and "50% of a matrix product's 32" in printed


def test_other_peers_and_no_peer(capsys: pytest.CaptureFixture) -> None:
    assert benchmark.run(["train_step", "--peer=plain"]) == 0
    assert "3.00 times as fast" in capsys.readouterr().out
    assert benchmark.run(["train_step"]) == 0
    assert "times as fast" not in capsys.readouterr().out


def test_sampling(capsys: pytest.CaptureFixture) -> None:
    assert benchmark.run(["sampling", "--peer=tf_gan", "--batch_sizes=1,16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [
        [size, name] for size in ("1", "16") for name in ("compiled", "tf_gan")
    ]
    assert lines[2].endswith("4.00") and "32.0" in lines[4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train_step", "--rounds=4"], "rounds: .* 4$"),
        (["train_step", "--peer=tf_gan", "--resolution=64"], "peer: .* 64 px"),
        (["sampling", "--rounds=1"], "rounds: .* 1$"),
        (["sampling", "--batch_sizes=1,0"], "batch_sizes: .*1,0"),
        (["attention", "--rounds=0"], "rounds: .* 0$"),
        (["pipeline", "--images=63"], "images: .* 63$"),
        (["startup", "--flagfile=absent.cfg"], "--flagfile=.*absent.cfg"),
        (["train_step", "--json=/proc/absent/file.json"], "json: .*/proc/absent/file.json"),
    ],
)
def test_invalid_options_get_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert benchmark.run(arguments) == 2
    *_, line = capsys.readouterr().err.splitlines()  # The line before describes the usage.
    assert re.match(f"tools/benchmark.py {arguments[0]}: error: {message}", line)


@pytest.mark.parametrize("arguments", [[], ["no_such_name"], ["--json=FILE"]])
def test_an_unknown_name_gets_one_line_with_the_names(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    assert benchmark.run(arguments) == 2
    usage, line = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: ") and all(name in line for name in [*benchmark.BENCHMARKS, *arguments])


def test_help_with_and_without_a_name(capsys: pytest.CaptureFixture) -> None:
    assert benchmark.run(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in benchmark.BENCHMARKS)
    for name in benchmark.BENCHMARKS:
        assert benchmark.run([name, "--help"]) == 0
        printed = capsys.readouterr().out
        assert f"benchmark.py {name} " in printed and "--json=" in printed


@pytest.mark.parametrize("flags", [["--seed=0"], ["--flagfile=run.cfg"], ["--flagfile", "run.cfg"], ["--notf32"]])
def test_startup_starts_the_quickstart_only_without_a_flag_of_a_run(flags: list[str]) -> None:
    assert startup.add_default_flags(["--rounds=1", *flags]) == ["--rounds=1", *flags]
    *_, added = startup.add_default_flags(["--rounds=1", "--json=FILE"])
    assert added.startswith("--flagfile=") and added.endswith("quickstart.cfg")


def test_startup_times_the_line_it_waits_for() -> None:
    program = ["-c", "print('step 0/1'); print('step 1/1', flush=True); import time; time.sleep(60)"]
    assert 0.0 < startup._measure_seconds_to_line(program, "step 1/") < 30.0
    assert startup._measure_seconds_to_line(["-c", "print('usage')"], None) > 0.0


@pytest.mark.slow
def test_a_real_step_of_small_networks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.undo()
    sizes = ["--resolution=32", "--base_channels=8", "--num_classes=3", "--attention_resolution=16", "--rounds=5"]
    assert benchmark.run(["train_step", *sizes, "--peer=plain"]) == 0
    printed = capsys.readouterr().out
    assert "times as fast" in printed and "GFLOP an image" in printed
