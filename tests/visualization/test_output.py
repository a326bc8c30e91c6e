"""Tests of output files of images."""

from __future__ import annotations

import pathlib

import pytest

from sagan_tf.errors import UserError
from sagan_tf.visualization.output import resolve_output_file

PNG = (".png",)


def message(text: str, overwrite: bool = False, suffixes: tuple[str, ...] = PNG) -> str:
    with pytest.raises(UserError) as caught:
        resolve_output_file(text, suffixes, overwrite)
    assert str(caught.value).startswith("output: ")
    return str(caught.value)


def test_a_new_file_in_new_directories(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "directory" / "grid.PNG"
    assert resolve_output_file(str(path), PNG, False) == path
    assert list(tmp_path.iterdir()) == []
    monkeypatch.chdir(tmp_path)
    assert resolve_output_file("grid.png", PNG, False) == pathlib.Path("grid.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_output_file("~/grid.png", PNG, False) == tmp_path / "grid.png"


def test_rejected_files(tmp_path: pathlib.Path) -> None:
    assert f"{tmp_path}/a.jpg" in message(f"{tmp_path}/a.jpg")
    assert ".png or .html" in message(f"{tmp_path}/a", suffixes=(".png", ".html"))
    (tmp_path / "directory.png").mkdir()
    for overwrite in (False, True):
        assert f"{tmp_path}/directory.png" in message(f"{tmp_path}/directory.png", overwrite)
    existing = tmp_path / "existing.png"
    existing.write_text("content")
    assert str(existing) in (error := message(str(existing))) and "--overwrite" in error
    assert resolve_output_file(str(existing), PNG, True) == existing and existing.read_text() == "content"
    assert f"{existing}/grid.png" in message(f"{existing}/grid.png", True)
