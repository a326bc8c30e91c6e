"""Tests of the options of `tools/import_tfgan_checkpoint.py`, without a checkpoint of TF-GAN."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

from sagan_tf.errors import UserError
from tools.import_tfgan_checkpoint import find_checkpoint, read_class_names

ROOT = pathlib.Path(__file__).parents[2]


def test_a_wrong_prefix_is_an_error_of_the_command() -> None:
    """The command reports this error before it loads TensorFlow."""
    command = [
        sys.executable,
        "tools/import_tfgan_checkpoint.py",
        "--checkpoint=/nowhere/model",
        "--run_dir=/nowhere/run",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == ""
    assert re.fullmatch("import_tfgan_checkpoint: error: checkpoint: .* /nowhere/model; .* none\n", result.stderr)


def test_class_names_are_read_and_checked(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text(" cat \nGreat Dane\n\n")
    assert read_class_names(str(path)) == ("cat", "Great Dane")
    path.write_text("cat\n", encoding="utf-8-sig")
    assert read_class_names(str(path)) == ("cat",)
    path.write_text("cat\n", encoding="utf-16")
    with pytest.raises(UserError, match="class_names: .*UTF-16"):
        read_class_names(str(path))
    for text in ("cat\n\ndog\n", "cat\ncat\n", "caf\u00e9\ncafe\u0301\n", ""):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match="class_names: .*names.txt"):
            read_class_names(str(path))


def test_find_checkpoint_accepts_only_a_prefix(tmp_path: pathlib.Path) -> None:
    (tmp_path / "model.ckpt-3.index").touch()
    assert find_checkpoint(str(tmp_path / "model.ckpt-3")) == str(tmp_path / "model.ckpt-3")
    with pytest.raises(UserError, match=r": model\.ckpt-3$"):
        find_checkpoint(str(tmp_path / "model.ckpt"))
