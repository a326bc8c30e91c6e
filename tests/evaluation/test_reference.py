"""References: written whole or not at all, read bit for bit, and nothing else is taken for one."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.evaluation.reference import Provenance, Reference, load_reference, save_reference
from sagan_tf.features.statistics import Gathered, Moments

PROVENANCE = Provenance(
    images="cifar10:test",
    fingerprint="0123abcd",
    count=7,
    resolution=32,
    image_channels=3,
    extractor="inception/pool_3,logits/89ef",
    preprocessing="uint8, scaled to [-1, 1]",
    class_names=("Ähre", "猫"),
)


def make_reference(seed: int = 0, provenance: Provenance = PROVENANCE) -> Reference:
    random = np.random.default_rng(seed)
    moments = Moments(provenance.count, random.normal(size=5), random.normal(size=(5, 5)))
    features = random.normal(size=(4, 5)).astype(np.float32)
    labels = random.integers(0, 2, size=4).astype(np.int32)
    return Reference(provenance, Gathered(provenance.count, moments, features=features, labels=labels))


def assert_same(first: Reference, second: Reference) -> None:
    assert first.provenance == second.provenance
    assert first.unreadable == second.unreadable
    assert first.gathered.count == second.gathered.count
    assert first.gathered.moments.count == second.gathered.moments.count
    for arrays in (
        (first.gathered.moments.mean, second.gathered.moments.mean),
        (first.gathered.moments.covariance, second.gathered.moments.covariance),
        (first.gathered.features, second.gathered.features),
        (first.gathered.labels, second.gathered.labels),
    ):
        assert arrays[0].dtype == arrays[1].dtype
        np.testing.assert_array_equal(*arrays)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def write_arrays(path: Path, arrays: dict[str, Any], save: Callable[..., None] = np.savez) -> None:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    path.write_bytes(buffer.getvalue())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a reference that is there."""
    path = tmp_path / "reference.npz"
    save_reference(make_reference(), path)
    return path


def test_it_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "reference.npz"
    save_reference(make_reference(), path)
    assert_same(load_reference(path), make_reference())
    assert list(path.parent.iterdir()) == [path]


def test_another_takes_its_place(path: Path) -> None:
    save_reference(make_reference(seed=1), path)
    assert_same(load_reference(path), make_reference(seed=1))


def test_the_file_can_be_moved(path: Path) -> None:
    assert_same(load_reference(path.rename(path.with_name("another.npz"))), make_reference())


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Provenance)])
def test_every_field_makes_another_file_name(field: str) -> None:
    value = getattr(PROVENANCE, field)
    other = {int: lambda: value + 1, str: lambda: f"{value}s", tuple: lambda: (*value, "owl")}[type(value)]()
    assert dataclasses.replace(PROVENANCE, **{field: other}).file_name != PROVENANCE.file_name


@pytest.mark.parametrize(
    ("images", "beginning"),
    [
        ("cifar10:test", "cifar10_test_32px_"),
        ("/data/my images/é.v2", "é_v2_32px_"),
        ("../../etc/passwd\0\n", "passwd___32px_"),
    ],
)
def test_file_names_are_plain(images: str, beginning: str) -> None:
    name = dataclasses.replace(PROVENANCE, images=images).file_name
    assert name.startswith(beginning)
    assert name.removeprefix(beginning).removesuffix(".npz").isalnum()
    assert len(name) == len(beginning) + 12 + len(".npz")


@pytest.mark.parametrize("letter", ["a", "é", "猫"])
def test_the_longest_folder_names_make_file_names(tmp_path: Path, letter: str) -> None:
    longest = letter * (255 // len(letter.encode()))
    (tmp_path / longest).mkdir()
    path = tmp_path / dataclasses.replace(PROVENANCE, images=longest).file_name
    save_reference(make_reference(), path)
    assert_same(load_reference(path), make_reference())


def full_disk(file: Any, **arrays: np.ndarray) -> None:
    file.write(b"half of it")
    file.flush()
    raise OSError(errno.ENOSPC, "No space left on device")


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "savez", full_disk)
    path = tmp_path / "reference.npz"
    with pytest.raises(OSError, match="No space left on device"):
        save_reference(make_reference(), path)
    assert list(tmp_path.iterdir()) == []


def test_a_reference_that_is_there_survives(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(np, "savez", full_disk)
        save_reference(make_reference(seed=1), path)
    assert_same(load_reference(path), make_reference())
    assert list(path.parent.iterdir()) == [path]


def test_until_it_is_whole_it_has_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the process ends: nobody takes a part for the whole."""
    path = tmp_path / "reference.npz"
    savez, existed = np.savez, []

    def observed(file: Any, **arrays: np.ndarray) -> None:
        savez(file, **arrays)
        existed.append(path.exists())

    monkeypatch.setattr(np, "savez", observed)
    save_reference(make_reference(), path)
    assert existed == [False]
    assert_same(load_reference(path), make_reference())


@pytest.mark.parametrize(("name", "reason"), [("none.npz", "No such file or directory"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    message = rf"^reference: expected a file that can be read, received {path} \({reason}\)$"
    with pytest.raises(UserError, match=message):
        load_reference(path)


@pytest.mark.parametrize("other", [1, 3])
def test_another_format(path: Path, other: int) -> None:
    write_arrays(path, arrays_of(path) | {"format": np.int64(other)})
    with pytest.raises(UserError, match=f"^reference: expected format 2 in {path}, received {other}$"):
        load_reference(path)


def foreign(path: Path) -> str:
    """The message for a file that is no reference."""
    return rf"^reference: expected an \.npz file that sagan_tf.evaluate wrote, received {path} \([^\n]+\)$"


@pytest.mark.parametrize("length", [0, 1, 100, 0.5, 0.9, -1])
def test_a_file_that_is_cut_short(path: Path, length: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(length * len(content)) if isinstance(length, float) else length])
    with pytest.raises(UserError, match=foreign(path)):
        load_reference(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damage_anywhere_is_said_or_does_no_harm(path: Path, save: Callable[..., None]) -> None:
    """A bit that is turned over: the checksum tells, or it is one of the archive's that nobody reads."""
    write_arrays(path, arrays_of(path), save)
    content, told = path.read_bytes(), 0
    for place in range(0, len(content), 7):
        for mask in (1, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[place] ^= mask
            path.write_bytes(damaged)
            try:
                assert_same(load_reference(path), make_reference())
            except UserError as error:
                assert "\n" not in str(error)
                told += 1
    assert told > len(content) / 7


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive at all", b"PK\x03\x04" + bytes(100), b"\x80\x04\x95", json.dumps({"mean": [0.0]}).encode()],
    ids=["empty", "text", "zip", "pickle", "json"],
)
def test_files_of_other_kinds(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=foreign(path)):
        load_reference(path)


def test_a_single_array(path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(5))
    path.write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match=foreign(path)):
        load_reference(path)


@pytest.mark.parametrize("name", ["format", "provenance", "mean", "covariance", "features", "labels", "unreadable"])
def test_an_archive_without_one_of_its_arrays(path: Path, name: str) -> None:
    arrays = arrays_of(path)
    del arrays[name]
    write_arrays(path, arrays)
    with pytest.raises(UserError, match=foreign(path)):
        load_reference(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"format": np.array("one")},
        {"format": np.zeros(3)},
        {"format": np.array(np.inf)},
        {"provenance": np.array("not JSON")},
        {"unreadable": np.array("not JSON")},
        {"provenance": np.array("[1]")},
        {"provenance": np.array("null")},
        {"provenance": np.array('{"class_names": []}')},
        {"provenance": np.array(json.dumps(dataclasses.asdict(PROVENANCE) | {"another": 1}))},
        {"provenance": np.array(json.dumps(dataclasses.asdict(PROVENANCE) | {"class_names": None}))},
    ],
)
def test_an_archive_of_something_else(path: Path, changed: dict[str, np.ndarray]) -> None:
    write_arrays(path, arrays_of(path) | changed)
    with pytest.raises(UserError, match=foreign(path)):
        load_reference(path)


def test_nothing_is_unpickled(path: Path) -> None:
    write_arrays(path, arrays_of(path) | {"mean": np.array([{}, None], object)})
    with pytest.raises(UserError, match=r"^reference: expected an \.npz file .*allow_pickle=False\)$"):
        load_reference(path)
