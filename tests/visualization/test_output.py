"""Where pictures may go."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from PIL import Image

from sagan_tf.errors import UserError
from sagan_tf.visualization.output import output_file, write_picture

PNG = (".png",)


def message(text: str, overwrite: bool = False, suffixes: tuple[str, ...] = PNG) -> str:
    with pytest.raises(UserError) as caught:
        output_file(text, suffixes, overwrite)
    return str(caught.value)


def test_a_new_file_in_folders_that_are_not_there_yet(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "folder" / "grid.PNG"
    assert output_file(str(path), PNG, False) == path
    assert list(tmp_path.iterdir()) == []
    monkeypatch.chdir(tmp_path)
    assert output_file("grid.png", PNG, False) == pathlib.Path("grid.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert output_file("~/grid.png", PNG, False) == tmp_path / "grid.png"


def test_what_is_refused(tmp_path: pathlib.Path) -> None:
    start = "output: expected a file"
    assert message(f"{tmp_path}/a.jpg") == f"{start} that ends in .png, received {tmp_path}/a.jpg"
    both = message(f"{tmp_path}/a", suffixes=(".png", ".html"))
    assert both == f"{start} that ends in .png or .html, received {tmp_path}/a"
    (tmp_path / "folder.png").mkdir()
    for overwrite in (False, True):
        assert f"{tmp_path}/folder.png" in message(f"{tmp_path}/folder.png", overwrite)
    there = tmp_path / "there.png"
    there.write_text("mine")
    assert message(str(there)) == f"{start} that is not there yet, received {there}; --overwrite replaces it"
    assert output_file(str(there), PNG, True) == there and there.read_text() == "mine"
    assert f"{there}/grid.png" in message(f"{there}/grid.png", True)


def test_a_picture_is_written_as_it_is(tmp_path: pathlib.Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write_picture(Image.fromarray(pixels), tmp_path / "new" / "a.png")
    with Image.open(tmp_path / "new" / "a.png") as read:
        np.testing.assert_array_equal(np.asarray(read), pixels)
