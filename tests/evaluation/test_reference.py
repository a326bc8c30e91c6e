"""Reference files: written atomically, read bit for bit, and rejected if they are damaged or of another format."""

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
from sagan_tf.features.statistics import ImageSetStatistics, Moments

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
    return Reference(provenance, ImageSetStatistics(provenance.count, moments, features=features, labels=labels))


def assert_same(first: Reference, second: Reference) -> None:
    assert first.provenance == second.provenance
    assert first.unreadable == second.unreadable
    assert first.statistics.count == second.statistics.count
    assert first.statistics.moments.count == second.statistics.moments.count
    for arrays in (
        (first.statistics.moments.mean, second.statistics.moments.mean),
        (first.statistics.moments.covariance, second.statistics.moments.covariance),
        (first.statistics.features, second.statistics.features),
        (first.statistics.labels, second.statistics.labels),
    ):
        assert arrays[0].dtype == arrays[1].dtype
        np.testing.assert_array_equal(*arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def write_arrays(path: Path, arrays: dict[str, Any], save: Callable[..., None] = np.savez) -> None:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    path.write_bytes(buffer.getvalue())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a stored reference."""
    path = tmp_path / "reference.npz"
    save_reference(make_reference(), path)
    return path


def test_a_reference_is_read_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "reference.npz"
    save_reference(make_reference(), path)
    assert_same(load_reference(path), make_reference())
    assert list(path.parent.iterdir()) == [path]


def test_a_reference_replaces_a_stored_one(path: Path) -> None:
    save_reference(make_reference(seed=1), path)
    assert_same(load_reference(path), make_reference(seed=1))


def test_the_file_can_be_moved(path: Path) -> None:
    assert_same(load_reference(path.rename(path.with_name("another.npz"))), make_reference())


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Provenance)])
def test_every_field_changes_the_file_name(field: str) -> None:
    value = getattr(PROVENANCE, field)
    changed = {int: lambda: value + 1, str: lambda: f"{value}s", tuple: lambda: (*value, "owl")}[type(value)]()
    assert dataclasses.replace(PROVENANCE, **{field: changed}).file_name != PROVENANCE.file_name


@pytest.mark.parametrize(
    ("images", "beginning"),
    [
        ("cifar10:test", "cifar10_test_32px_"),
        ("/data/my images/é.v2", "é_v2_32px_"),
        ("../../etc/passwd\0\n", "passwd___32px_"),
    ],
)
def test_file_names_have_only_letters_digits_and_underscores(images: str, beginning: str) -> None:
    name = dataclasses.replace(PROVENANCE, images=images).file_name
    assert name.startswith(beginning)
    assert name.removeprefix(beginning).removesuffix(".npz").isalnum()
    assert len(name) == len(beginning) + 12 + len(".npz")


@pytest.mark.parametrize("character", ["a", "é", "猫"])
def test_the_longest_directory_names_give_valid_file_names(tmp_path: Path, character: str) -> None:
    longest = character * (255 // len(character.encode()))
    (tmp_path / longest).mkdir()
    path = tmp_path / dataclasses.replace(PROVENANCE, images=longest).file_name
    save_reference(make_reference(), path)
    assert_same(load_reference(path), make_reference())


def save_on_full_disk(file: Any, **arrays: np.ndarray) -> None:
    file.write(b"a part")
    file.flush()
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "savez", save_on_full_disk)
    path = tmp_path / "reference.npz"
    with pytest.raises(OSError, match="No space left on device"):
        save_reference(make_reference(), path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_stored_reference(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", save_on_full_disk)
        with pytest.raises(OSError, match="No space"):
            save_reference(make_reference(seed=1), path)
    assert_same(load_reference(path), make_reference())
    assert list(path.parent.iterdir()) == [path]


def test_an_incomplete_file_has_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process leaves no incomplete file under the final name."""
    path = tmp_path / "reference.npz"
    savez, existed = np.savez, []

    def save_and_look(file: Any, **arrays: np.ndarray) -> None:
        savez(file, **arrays)
        existed.append(path.exists())

    monkeypatch.setattr(np, "savez", save_and_look)
    save_reference(make_reference(), path)
    assert existed == [False]
    assert_same(load_reference(path), make_reference())


@pytest.mark.parametrize(("name", "reason"), [("none.npz", "No such file or directory"), ("", "Is a directory")])
def test_an_unreadable_file_is_rejected(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    with pytest.raises(UserError, match=rf"^reference: .*received {path} \({reason}\)$"):
        load_reference(path)


@pytest.mark.parametrize("number", [1, 3])
def test_another_format_is_rejected(path: Path, number: int) -> None:
    write_arrays(path, read_arrays(path) | {"format": np.int64(number)})
    with pytest.raises(UserError, match=f"^reference: .*format 2 in {path}, received {number}$"):
        load_reference(path)


def assert_rejected(path: Path) -> None:
    with pytest.raises(UserError, match=rf"^reference: [^\n]*received {path} \([^\n]+\)$"):
        load_reference(path)


@pytest.mark.parametrize("length", [0, 1, 100, 0.5, 0.9, -1])
def test_a_truncated_file_is_rejected(path: Path, length: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(length * len(content)) if isinstance(length, float) else length])
    assert_rejected(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_bytes_are_detected_or_harmless(path: Path, save: Callable[..., None]) -> None:
    """A flipped bit is detected by a checksum, or it is in a part of the archive that is not read."""
    write_arrays(path, read_arrays(path), save)
    content, messages = path.read_bytes(), []
    for position in range(0, len(content), 7):
        for mask in (1, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= mask
            path.write_bytes(damaged)
            try:
                assert_same(load_reference(path), make_reference())
            except UserError as error:
                messages.append(str(error))
    assert len(messages) > len(content) / 7
    assert not [message for message in messages if "\n" in message]


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive at all", b"PK\x03\x04" + bytes(100), b"\x80\x04\x95", json.dumps({"mean": [0.0]}).encode()],
    ids=["empty", "text", "zip", "pickle", "json"],
)
def test_files_of_other_kinds_are_rejected(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert_rejected(path)


def test_a_single_array_is_rejected(path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(5))
    path.write_bytes(buffer.getvalue())
    assert_rejected(path)


@pytest.mark.parametrize("name", ["format", "provenance", "mean", "covariance", "features", "labels", "unreadable"])
def test_an_archive_without_one_of_its_arrays_is_rejected(path: Path, name: str) -> None:
    arrays = read_arrays(path)
    del arrays[name]
    write_arrays(path, arrays)
    assert_rejected(path)


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
def test_an_archive_with_other_contents_is_rejected(path: Path, changed: dict[str, np.ndarray]) -> None:
    write_arrays(path, read_arrays(path) | changed)
    assert_rejected(path)


def test_pickled_arrays_are_rejected(path: Path) -> None:
    write_arrays(path, read_arrays(path) | {"mean": np.array([{}, None], object)})
    with pytest.raises(UserError, match=r"^reference: .*allow_pickle=False\)$"):
        load_reference(path)
