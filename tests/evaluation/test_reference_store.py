"""The store of references: computed once, and again if the images, their size or the extractor change."""

from __future__ import annotations

import dataclasses
import logging
import os
import pwd
from pathlib import Path

import numpy as np
import pytest

from sagan_tf.data.image_sets import open_images
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation import reference_store
from sagan_tf.evaluation.reference import Reference, load_reference, save_reference
from sagan_tf.evaluation.reference_store import find_reference, resolve_reference_directory
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.statistics import ImageSetStatistics
from tests.data.sample_folders import build_class_directories, get_image_color
from tests.features.fake_extractors import CountingExtractor
from tests.training.tiny import one_device


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A directory with 12 images of 2 classes."""
    directory = tmp_path / "animals"
    build_class_directories(directory)
    return directory


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "references"


def open_directory(directory: Path, resolution: int = 8) -> Source:
    return open_images("reference", str(directory), data_dir="", resolution=resolution, image_channels=3)


def find(directory: Path, store: Path, counting: CountingExtractor, resolution: int = 8) -> Reference:
    extraction = Extraction(counting.extractor, one_device(), batch_size=5)
    return find_reference(str(directory), open_directory(directory, resolution), extraction, str(store))


def mean_colors() -> np.ndarray:
    """Return the mean color of every image, in [-1, 1]."""
    colors = [get_image_color(label, index) for label in range(2) for index in range(6)]
    return np.array(colors, np.float64) / 127.5 - 1.0


def test_statistics_of_a_reference(images: Path, store: Path) -> None:
    statistics, expected = find(images, store, CountingExtractor()).statistics, mean_colors()
    assert statistics.count == statistics.moments.count == 12
    np.testing.assert_allclose(statistics.moments.mean, expected.mean(0), atol=1e-6)
    np.testing.assert_allclose(statistics.moments.covariance, np.cov(expected, rowvar=False), atol=1e-6)
    order = np.lexsort(statistics.features.T[::-1])
    np.testing.assert_allclose(statistics.features[order], expected, atol=1e-6)
    np.testing.assert_array_equal(statistics.labels[order], [0] * 6 + [1] * 6)


def test_provenance_of_a_reference(images: Path, store: Path) -> None:
    counting = CountingExtractor()
    provenance = find(images, store, counting).provenance
    assert dataclasses.asdict(provenance) == {
        "images": str(images),
        "fingerprint": open_directory(images).digest(),
        "count": 12,
        "resolution": 8,
        "image_channels": 3,
        "extractor": "colors/1",
        "preprocessing": counting.extractor.preprocessing,
        "class_names": ("cat", "dog"),
    }


def test_stored_features_are_of_random_images(images: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean and covariance are of all images. The features are in random order, as the kernel distance requires."""
    monkeypatch.setattr(reference_store, "MAX_FEATURES", 7)
    statistics = find(images, store, CountingExtractor()).statistics
    assert (len(statistics.features), len(statistics.labels), statistics.moments.count) == (7, 7, 12)
    np.testing.assert_allclose(statistics.moments.mean, mean_colors().mean(0), atol=1e-6)
    assert set(statistics.labels) == {0, 1}
    assert (np.diff(statistics.labels) < 0).any()


def test_a_stored_reference_is_not_computed_again(images: Path, store: Path, caplog: pytest.LogCaptureFixture) -> None:
    counting = CountingExtractor()
    with caplog.at_level(logging.INFO, "sagan_tf"):
        first = find(images, store, counting)
    (path,) = store.iterdir()
    assert f"reference: 12 images of {images}, kept in {path}" in caplog.messages
    count = counting.count
    assert count >= 12
    with caplog.at_level(logging.INFO, "sagan_tf"):
        second = find(images, store, counting)
    assert counting.count == count
    assert caplog.messages[-1] == f"reference: {path}"
    assert second.provenance == first.provenance
    np.testing.assert_array_equal(second.statistics.moments.covariance, first.statistics.moments.covariance)
    np.testing.assert_array_equal(second.statistics.features, first.statistics.features)


def test_changed_files_have_another_reference(images: Path, store: Path) -> None:
    counting = CountingExtractor()
    first = find(images, store, counting)
    os.utime(images / "cat" / "000.png", ns=(5, 5))
    count = counting.count
    second = find(images, store, counting)
    assert counting.count == 2 * count
    assert second.provenance.fingerprint != first.provenance.fingerprint
    assert len(list(store.iterdir())) == 2


def test_sizes_and_extractors_have_their_own_references(images: Path, store: Path) -> None:
    counting, changed = CountingExtractor(), CountingExtractor("colors/2")
    find(images, store, counting)
    count = counting.count
    assert find(images, store, counting, resolution=4).provenance.resolution == 4
    assert counting.count == 2 * count
    assert find(images, store, changed).provenance.extractor == "colors/2"
    assert changed.count == count
    assert len(list(store.iterdir())) == 3


def test_a_stored_file_of_other_images_is_replaced(images: Path, store: Path) -> None:
    counting = CountingExtractor()
    reference = find(images, store, counting)
    (path,) = store.iterdir()
    changed = dataclasses.replace(reference.provenance, fingerprint="another")
    save_reference(dataclasses.replace(reference, provenance=changed), path)
    count = counting.count
    assert find(images, store, counting).provenance == reference.provenance
    assert counting.count == 2 * count
    assert load_reference(path).provenance == reference.provenance


def test_a_damaged_file_in_the_store_is_computed_again(
    images: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counting = CountingExtractor()
    expected = find(images, store, counting).statistics.moments.mean
    (path,) = store.iterdir()
    path.write_bytes(path.read_bytes()[:500])
    count = counting.count
    with caplog.at_level(logging.WARNING, logger="sagan_tf"):
        found = find(images, store, counting)
    np.testing.assert_array_equal(found.statistics.moments.mean, expected)
    assert counting.count > count and str(path) in caplog.text
    assert load_reference(path).provenance == found.provenance


def test_a_reference_is_read_from_a_file(images: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = CountingExtractor()
    reference = find(images, store, counting)
    (path,) = store.iterdir()
    count = counting.count
    monkeypatch.setenv("HOME", str(store))
    extraction = Extraction(counting.extractor, one_device(), batch_size=5)
    for text in (str(path), f"~/{path.name}"):
        found = find_reference(text, None, extraction, "")
        assert found.provenance == reference.provenance
        np.testing.assert_array_equal(found.statistics.features, reference.statistics.features)
    assert counting.count == count
    assert list(store.iterdir()) == [path]


def test_a_file_of_another_extractor_is_rejected(images: Path, store: Path) -> None:
    find(images, store, CountingExtractor())
    (path,) = store.iterdir()
    extraction = Extraction(CountingExtractor("colors/2").extractor, one_device(), batch_size=5)
    with pytest.raises(UserError, match=f"^reference: .*colors/2, received {path} .*colors/1$"):
        find_reference(str(path), None, extraction, "")


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    extraction = Extraction(CountingExtractor().extractor, one_device(), batch_size=5)
    with pytest.raises(UserError, match=r"^reference: .*none.npz \(No such file.*\)$"):
        find_reference(str(tmp_path / "none.npz"), None, extraction, "")


def test_a_single_image_is_rejected(tmp_path: Path, store: Path) -> None:
    """One image has no covariance."""
    build_class_directories(tmp_path, ("one",), images_per_class=1)
    directory = tmp_path / "one"
    with pytest.raises(UserError, match=f"^reference: .*received 1 in {directory}$"):
        find(directory, store, CountingExtractor())
    assert not store.exists()


def test_too_many_unreadable_images_are_rejected(images: Path, store: Path) -> None:
    (images / "cat" / "003.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"^data: expected at most 1% unreadable images, received 1 of 12 so far"):
        find(images, store, CountingExtractor())
    assert not store.exists()


def test_a_few_unreadable_images_are_skipped(tmp_path: Path, store: Path) -> None:
    """The stored reference equals the computed one."""
    directory = tmp_path / "many"
    build_class_directories(directory, images_per_class=60)
    (directory / "cat" / "003.png").write_bytes(b"no image")
    for _ in range(2):
        reference = find(directory, store, CountingExtractor())
        statistics = reference.statistics
        assert statistics.count == statistics.moments.count == len(statistics.features) == 119
        assert len(reference.unreadable) == 1 and reference.unreadable[0].endswith("cat/003.png")


def test_a_reference_that_another_worker_lacks_is_computed_by_all_workers(
    images: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(images, store, CountingExtractor())
    monkeypatch.setattr(Extraction, "is_true_on_all_workers", lambda self, value: False)
    counting = CountingExtractor()
    find(images, store, counting)
    assert counting.count


@pytest.mark.parametrize("directory", ["", "/proc/nonexistent", "file/references", "late"])
def test_a_reference_that_cannot_be_stored_is_used(
    directory: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning names the flag, before the images are read unless the disk becomes full meanwhile."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # the user of a container, without a home directory
    before, warnings_before, compute = sorted(tmp_path.iterdir()), [], reference_store._compute_statistics

    def compute_statistics(source: Source, extraction: Extraction) -> ImageSetStatistics:
        warnings_before.append(len(caplog.messages))
        return compute(source, extraction)

    def save_on_full_disk(reference: Reference, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reference_store, "_compute_statistics", compute_statistics)
    if directory == "late":
        monkeypatch.setattr(reference_store, "save_reference", save_on_full_disk)
    with caplog.at_level(logging.WARNING, "sagan_tf"):
        extraction = Extraction(CountingExtractor().extractor, one_device(), batch_size=5)
        assert find_reference(str(images), open_directory(images), extraction, directory).statistics.count == 12
    assert warnings_before == [0 if directory == "late" else 1]
    assert len(caplog.messages) == 1 and "--reference_dir" in caplog.text
    assert sorted(tmp_path.iterdir()) == before


def test_images_with_other_channels_are_rejected(images: Path, store: Path) -> None:
    counting = CountingExtractor(channels=1)
    with pytest.raises(UserError, match="^extractor: .* 1 channels .*received 3$"):
        find(images, store, counting)
    assert counting.count == 0


@pytest.mark.parametrize(
    ("directory", "cache", "expected"),
    [
        ("refs", "/cache", "refs"),
        ("~/refs", None, "/home/me/refs"),
        ("", "/cache", "/cache/sagan_tf/references"),
        ("", "~/cache", "/home/me/cache/sagan_tf/references"),
        ("", "", "/home/me/.cache/sagan_tf/references"),
        ("", None, "/home/me/.cache/sagan_tf/references"),
    ],
)
def test_directory_of_references(
    monkeypatch: pytest.MonkeyPatch, directory: str, cache: str | None, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if cache is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert resolve_reference_directory(directory) == Path(expected)


def test_references_are_stored_in_the_users_cache_by_default(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    extraction = Extraction(CountingExtractor().extractor, one_device(), batch_size=5)
    reference = find_reference(str(images), open_directory(images), extraction, "")
    path = tmp_path / "cache" / "sagan_tf" / "references" / reference.provenance.file_name
    assert load_reference(path).provenance == reference.provenance
