"""Tests of writers of single files, and of images and names from untrusted servers and models."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagan_tf.errors import UserError
from sagan_tf.files import write_atomically
from sagan_tf.serving import client
from sagan_tf.visualization.image_grid import draw_image_sheet, save_png
from tests.faults.untrusted_files import claims, good_images

WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: write_atomically(path, "text"),
    "image": lambda path: save_png(Image.new("L", (4, 4)), path),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("link", ["a.png", "a.png.part"])
def test_link_is_replaced_and_not_followed(writer, link, tmp_path):
    target = tmp_path / "target"
    target.write_text("unchanged")
    (tmp_path / link).symlink_to(target)
    WRITERS[writer](tmp_path / "a.png")
    assert target.read_text() == "unchanged"
    assert not (tmp_path / "a.png").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "target"]


@pytest.mark.parametrize("name", ["header.png", "warned_of.png", "header.jpg"])
def test_client_rejects_large_images_of_a_server(name):
    with pytest.raises(UserError, match="server: expected PNG files"):
        client._decode_png(claims()[name])
    assert client._decode_png(good_images()["color.png"]).shape == (30, 40, 3)


def test_long_names_are_drawn_at_once():
    began = time.perf_counter()
    draw_image_sheet(np.zeros((1, 8, 8, 1), np.uint8), 1, captions=("x" * 10**6,), column_names=("x" * 10**6,))
    assert time.perf_counter() - began < 2
