"""Reference files: written atomically, read bit for bit, and rejected if they are damaged or of another format."""

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


def make_reference(seed: int = 0) -> Reference:
    random = np.random.default_rng(seed)
    moments = Moments(PROVENANCE.count, random.normal(size=5), random.normal(size=(5, 5)))
    features = random.normal(size=(4, 5)).astype(np.float32)
    labels = random.integers(0, 2, size=4).astype(np.int32)
    return Reference(PROVENANCE, ImageSetStatistics(PROVENANCE.count, moments, features=features, labels=labels))


def assert_same(first: Reference, second: Reference) -> None:
    assert (first.provenance, first.unreadable) == (second.provenance, second.unreadable)
    found, expected = first.statistics, second.statistics
    assert (found.count, found.moments.count) == (expected.count, expected.moments.count)
    for arrays in (
        (found.moments.mean, expected.moments.mean),
        (found.moments.covariance, expected.moments.covariance),
        (found.features, expected.features),
        (found.labels, expected.labels),
    ):
        assert arrays[0].dtype == arrays[1].dtype
        np.testing.assert_array_equal(*arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def to_bytes(save: Callable[..., None], *array: np.ndarray, **arrays: Any) -> bytes:
    """Return the content of a file that NumPy saves."""
    buffer = io.BytesIO()
    save(buffer, *array, **arrays)
    return buffer.getvalue()


@pytest.fixture
def path(tmp_path):
    """The path of a stored reference."""
    path = tmp_path / "reference.npz"
    save_reference(make_reference(), path)
    return path


def test_a_reference_is_read_bit_for_bit(tmp_path):
    path = tmp_path / "a" / "b" / "reference.npz"
    save_reference(make_reference(), path)
    assert_same(load_reference(path), make_reference())
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Provenance)])
def test_every_field_changes_the_file_name(field):
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
def test_file_names_have_only_letters_digits_and_underscores(images, beginning):
    name = dataclasses.replace(PROVENANCE, images=images).file_name
    assert name.startswith(beginning)
    assert name.removeprefix(beginning).removesuffix(".npz").isalnum()
    assert len(name) == len(beginning) + 12 + len(".npz")


@pytest.mark.parametrize("character", ["a", "é", "猫"])
def test_the_longest_directory_names_give_valid_file_names(tmp_path, character):
    longest = character * (255 // len(character.encode()))
    path = tmp_path / dataclasses.replace(PROVENANCE, images=longest).file_name
    save_reference(make_reference(), path)
    assert_same(load_reference(path), make_reference())


def test_a_failed_write_keeps_the_stored_reference(path, monkeypatch):
    def save_on_full_disk(file: Any, **arrays: np.ndarray) -> None:
        file.write(b"a part")
        file.flush()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", save_on_full_disk)
        with pytest.raises(OSError, match="No space"):
            save_reference(make_reference(seed=1), path)
    assert_same(load_reference(path), make_reference())
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("name", "reason"), [("none.npz", "No such file or directory"), ("", "Is a directory")])
def test_an_unreadable_file_is_rejected(tmp_path, name, reason):
    path = tmp_path / name
    with pytest.raises(UserError, match=rf"^reference: .*{path} \({reason}\)$"):
        load_reference(path)


@pytest.mark.parametrize("number", [1, 3])
def test_another_format_is_rejected(path, number):
    path.write_bytes(to_bytes(np.savez, **(read_arrays(path) | {"format": np.int64(number)})))
    with pytest.raises(UserError, match=f"^reference: .*{path}, received {number}$"):
        load_reference(path)


def assert_rejected(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^reference: [^\n]*{path} \([^\n]+\)$"):
        load_reference(path)


@pytest.mark.parametrize("length", [0, 1, 100, 0.5, 0.9, -1])
def test_a_truncated_file_is_rejected(path, length):
    content = path.read_bytes()
    assert_rejected(path, content[: int(length * len(content)) if isinstance(length, float) else length])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_bytes_are_detected_or_harmless(path, save):
    """A flipped bit is detected by a checksum, or it is in a part of the archive that is not read."""
    content, messages = to_bytes(save, **read_arrays(path)), []
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
    [b"no archive", b"PK\x03\x04" + bytes(100), b"\x80\x04\x95", b'{"mean": [0.0]}', to_bytes(np.save, np.zeros(5))],
    ids=["text", "zip", "pickle", "json", "npy"],
)
def test_files_of_other_kinds_are_rejected(path, content):
    assert_rejected(path, content)


@pytest.mark.parametrize("name", ["format", "provenance", "mean", "covariance", "features", "labels", "unreadable"])
def test_an_archive_without_one_of_its_arrays_is_rejected(path, name):
    arrays = read_arrays(path)
    del arrays[name]
    assert_rejected(path, to_bytes(np.savez, **arrays))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "one"),
        ("format", np.zeros(3)),
        ("format", np.inf),
        ("unreadable", "not JSON"),
        ("provenance", "not JSON"),
        ("provenance", "[1]"),
        ("provenance", "null"),
        ("provenance", '{"class_names": []}'),
        ("provenance", json.dumps(dataclasses.asdict(PROVENANCE) | {"another": 1})),
        ("provenance", json.dumps(dataclasses.asdict(PROVENANCE) | {"class_names": None})),
        ("mean", np.array([{}, None], object)),  # is pickled
    ],
)
def test_an_archive_with_other_contents_is_rejected(path, name, value):
    assert_rejected(path, to_bytes(np.savez, **(read_arrays(path) | {name: np.array(value)})))
