"""Tests of the reader of PyTorch files, which accepts tensors of any layout and nothing else."""

from __future__ import annotations

import pathlib
import struct

import numpy as np
import pytest

from sagan_tf.errors import UserError
from tools.importing.torch_file import read_tensors

END = b"."
HEADER = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." + b"\x80\x02}\x58\x0d\0\0\0little_endian\x88s."
)
NUMBERS: np.ndarray = np.arange(12, dtype="<f4")


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def tensor(shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, kind: str = "FloatStorage") -> bytes:
    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text("7") + text("cpu") + b"K\x0cNtQ"
    arguments = b"(" + storage + b"J" + struct.pack("<i", offset) + numbers(*shape) + numbers(*strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"\x89ccollections\nOrderedDict\n)RtR"


def file_with(value: bytes, data: bytes = NUMBERS.tobytes()) -> bytes:
    """Return a file with one tensor `a`, whose pickled form is `value`."""
    state = b"\x80\x02ccollections\nOrderedDict\n)R" + text("a") + value + b"s" + END
    return HEADER + state + b"\x80\x02](" + text("7") + b"e" + END + struct.pack("<q", 12) + data


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (tensor((3, 4), (4, 1)), NUMBERS.reshape(3, 4)),
        (tensor((4, 3), (1, 4)), NUMBERS.reshape(3, 4).T),
        (tensor((2, 2), (4, 2), offset=1), NUMBERS.reshape(3, 4)[:2, 1::2]),
        (tensor((), (), offset=5), NUMBERS[5]),
    ],
    ids=["contiguous", "transposed", "part", "scalar"],
)
def test_strides_are_honored(value: bytes, expected: np.ndarray) -> None:
    (found,) = read_tensors(file_with(value), "a.pth").values()
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32 and found.shape == expected.shape


@pytest.mark.parametrize(
    "content",
    [
        file_with(b"cos\nsystem\n(" + text("touch ran") + b"tR"),
        file_with(b"cbuiltins\neval\n(" + text("1") + b"tR"),
        file_with(tensor((3, 4), (4, 1), kind="HalfStorage")),
        file_with(tensor((3, 4), (4, 2))),
        file_with(tensor((3, 4), (4, 1), offset=1)),
        file_with(tensor((3, 4), (-4, 1), offset=11)),
        file_with(tensor((100_000, 100_000), (0, 0))),
        file_with(b"K\x01"),
        file_with(tensor((3, 4), (4, 1)), data=b"short"),
        file_with(tensor((3, 4), (4, 1)))[:-60],
        file_with(b"q"),
        HEADER.replace(b"\x88", b"\x89"),
        b"PK\x03\x04",
        b"",
    ],
)
def test_other_content_is_refused(content: bytes, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^source: a\.pth"):
        read_tensors(content, "a.pth")
    assert not list(tmp_path.iterdir())


def test_damage_gives_an_error_or_different_numbers() -> None:
    content = file_with(tensor((3, 4), (4, 1)))
    outcomes: dict[int, set[str]] = {}
    for position in range(len(content)):
        for value in (0, content[position] ^ 1, 255):
            damaged = content[:position] + bytes([value]) + content[position + 1 :]
            try:
                arrays = read_tensors(damaged, "a.pth").values()
            except UserError:
                outcomes.setdefault(position, set()).add("refused")
            else:
                assert all(array.dtype == np.float32 and array.size <= NUMBERS.size for array in arrays)
                outcomes.setdefault(position, set()).add("read")
    numbers_begin = len(content) - NUMBERS.nbytes
    assert all(outcomes[position] == {"read"} for position in range(numbers_begin, len(content)))
    # The 8 bytes before the numbers are their count.
    assert all("refused" in outcomes[position] for position in range(numbers_begin - 8, numbers_begin))
    assert outcomes[HEADER.index(b"l\xfc")] == {"refused"}
