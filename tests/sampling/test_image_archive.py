"""Tests of archives of images: reading them with NumPy, and errors while they are written."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.sampling.image_archive import write_archive

NAMES = ("Ankle boot", "日本")


def make_images(count: int, shape: tuple[int, int, int] = (4, 6, 3)) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *shape), np.uint8)


def write(path: pathlib.Path, batches: object, count: int, shape: tuple[int, int, int] = (4, 6, 3)) -> None:
    write_archive(path, batches, shape, 100 + np.arange(count), np.arange(count, dtype=np.int32) % 2, NAMES)


@pytest.mark.parametrize("shape", [(4, 6, 3), (5, 5, 1), (2, 3, 4)])
def test_round_trip(shape: tuple[int, int, int], tmp_path: pathlib.Path) -> None:
    path, expected = tmp_path / "new" / "a.npz", make_images(7, shape)
    write(path, (expected[start : start + 3] for start in (0, 3, 6)), 7, shape)
    with np.load(path, allow_pickle=False) as read:
        assert sorted(read.files) == ["class_names", "images", "labels", "seeds"]
        np.testing.assert_array_equal(read["images"], expected)
        assert read["images"].dtype == np.uint8
        assert read["seeds"].tolist() == list(range(100, 107)) and read["seeds"].dtype == np.int64
        assert read["labels"].tolist() == [0, 1, 0, 1, 0, 1, 0] and read["labels"].dtype == np.int32
        assert tuple(read["class_names"]) == NAMES
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]


def test_images_that_are_not_contiguous_in_memory(tmp_path: pathlib.Path) -> None:
    expected = make_images(6)
    write(tmp_path / "a.npz", [expected[::-1][:4], expected[:2].transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3)], 6)
    with np.load(tmp_path / "a.npz") as read:
        np.testing.assert_array_equal(read["images"], np.concatenate([expected[::-1][:4], expected[:2]]))


def test_an_archive_without_images(tmp_path: pathlib.Path) -> None:
    """This is a shard of a set with fewer images than shards."""
    write_archive(tmp_path / "a.npz", [], (4, 6, 3), np.zeros(0, np.int64), np.zeros(0, np.int32), ())
    with np.load(tmp_path / "a.npz") as read:
        assert read["images"].shape == (0, 4, 6, 3) and read["class_names"].shape == (0,)


def test_an_error_keeps_the_old_archive(tmp_path: pathlib.Path) -> None:
    def batches(error: Exception) -> Iterator[np.ndarray]:
        yield make_images(2)
        raise error

    with pytest.raises(RuntimeError, match="^out of memory$"):
        write(tmp_path / "a.npz", batches(RuntimeError("out of memory")), 4)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "a.npz", [make_images(4)], 4)
    before = (tmp_path / "a.npz").read_bytes()
    with pytest.raises(UserError) as caught:
        write(tmp_path / "a.npz", batches(OSError(28, "No space left on device")), 4)
    assert str(tmp_path / "a.npz") in str(caught.value) and "No space left on device" in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"] and (tmp_path / "a.npz").read_bytes() == before


def test_a_path_that_cannot_be_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("content")
    with pytest.raises(UserError, match=r"^output: .*Not a directory"):
        write(tmp_path / "file" / "a.npz", [make_images(1)], 1)
    assert (tmp_path / "file").read_text() == "content"


def test_too_little_disk_space_is_an_error_before_the_first_image(tmp_path: pathlib.Path) -> None:
    def batches() -> Iterator[np.ndarray]:
        raise RuntimeError("made an image")
        yield

    with pytest.raises(UserError, match="^output: .*space"):
        write_archive(tmp_path / "a.npz", batches(), (2**20, 2**20, 3), np.arange(2**10), np.arange(2**10), ())
