"""Tests of archives of images: reading them with NumPy, and errors while they are written."""

import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.sampling.image_archive import write_archive

NAMES = ("Ankle boot", "日本")
SHAPE = (4, 6, 3)


def make_images(count: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *shape), np.uint8)


def write(path: pathlib.Path, batches: Iterable[np.ndarray], count: int, shape: tuple[int, int, int] = SHAPE) -> None:
    write_archive(path, batches, shape, 100 + np.arange(count), np.arange(count, dtype=np.int32) % 2, NAMES)


@pytest.mark.parametrize("shape", [(4, 6, 3), (5, 5, 1), (2, 3, 4)])
def test_round_trip(shape, tmp_path):
    """The second batch is not contiguous in memory."""
    path, expected = tmp_path / "new" / "a.npz", make_images(7, shape)
    reversed_copy = expected[3:6][::-1].copy()
    write(path, [expected[:3], reversed_copy[::-1], expected[6:]], 7, shape)
    with np.load(path, allow_pickle=False) as read:
        assert sorted(read.files) == ["class_names", "images", "labels", "seeds"]
        np.testing.assert_array_equal(read["images"], expected)
        assert read["images"].dtype == np.uint8
        assert read["seeds"].tolist() == list(range(100, 107)) and read["seeds"].dtype == np.int64
        assert read["labels"].tolist() == [0, 1, 0, 1, 0, 1, 0] and read["labels"].dtype == np.int32
        assert tuple(read["class_names"]) == NAMES
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]


def test_an_archive_without_images(tmp_path):
    """This is a shard of a set with fewer images than shards."""
    write_archive(tmp_path / "a.npz", [], (4, 6, 3), np.zeros(0, np.int64), np.zeros(0, np.int32), ())
    with np.load(tmp_path / "a.npz") as read:
        assert read["images"].shape == (0, 4, 6, 3) and read["class_names"].shape == (0,)


def test_an_error_keeps_the_old_archive(tmp_path):
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


def test_too_little_disk_space_is_an_error_before_the_first_image(tmp_path):
    def make_image() -> np.ndarray:
        raise RuntimeError("made an image")

    batches = (make_image() for _ in range(1))
    with pytest.raises(UserError, match="^output: .*space"):
        write_archive(tmp_path / "a.npz", batches, (2**20, 2**20, 3), np.arange(2**10), np.arange(2**10), ())
