import pathlib
import re
import sys

import pytest

from sagan_tf.train import run
from tools import label_agreement

FLAGS = ["--resolution=32", "--attention_resolutions=16", "--base_channels=2", "--global_batch_size=8"]
FLAGS += ["--num_steps=1", "--strategy=one_device"]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["label_agreement.py", *arguments])
    return label_agreement.main()


def test_an_untrained_generator_agrees_by_chance_and_real_images_do_not(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    flags = [*FLAGS, "--dataset=fashion_mnist_10k", "--image_channels=1", f"--run_dir={tmp_path}"]
    assert run(flags) == 0
    monkeypatch.setattr(label_agreement, "_EPOCHS", 1)
    assert call(monkeypatch, f"--run_dir={tmp_path}", "--num_samples=500") == 0
    printed = capsys.readouterr().out
    (generated,) = re.findall(r"step 1: ([0-9.]+)% of 500 generated images", printed)
    (real,) = re.findall(r"ceiling\): +([0-9.]+)% of 2000", printed)
    assert float(generated) < 25 and float(real) > 40
    assert len(re.findall(r"^  .* generated .* real ", printed, re.MULTILINE)) == 10


def test_runs_that_it_cannot_judge(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    assert call(monkeypatch, f"--run_dir={tmp_path}") == 2
    (tmp_path / "flags.cfg").write_text("--dataset=cifar10\n--num_classes=10\n")
    assert call(monkeypatch, f"--run_dir={tmp_path}") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("tools/label_agreement.py: error: ") and "flags.cfg" in first
    assert second.endswith("expected a conditional run on fashion_mnist_10k, received one on cifar10")
