"""The store of references: computed once, and again if the images, their size or the extractor change."""

import dataclasses
import logging
import os
import pwd
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from sagan_tf.data.image_sets import open_images
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation import reference_store
from sagan_tf.evaluation.reference import Provenance, Reference, load_reference, save_reference
from sagan_tf.evaluation.reference_store import find_reference, resolve_reference_directory
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.statistics import ImageSetStatistics
from tests.data.sample_folders import build_class_directories, get_image_color
from tests.features.fake_extractors import CountingExtractor
from tests.training.tiny import one_device


@pytest.fixture
def images(tmp_path):
    """A directory with 12 images of 2 classes."""
    directory = tmp_path / "animals"
    build_class_directories(directory)
    return directory


@pytest.fixture
def store(tmp_path):
    return tmp_path / "references"


def open_directory(directory: Path, resolution: int = 8) -> Source:
    return open_images("reference", str(directory), data_dir="", resolution=resolution, image_channels=3)


def extract(counting: CountingExtractor) -> Extraction:
    return Extraction(counting.extractor, one_device(), batch_size=5)


def find(directory: Path, store: Path | str, counting: CountingExtractor, resolution: int = 8) -> Reference:
    return find_reference(str(directory), open_directory(directory, resolution), extract(counting), str(store))


def mean_colors() -> np.ndarray:
    """Return the mean color of every image, in [-1, 1]."""
    colors = [get_image_color(label, index) for label in range(2) for index in range(6)]
    return np.array(colors, np.float64) / 127.5 - 1.0


def test_statistics_and_provenance_of_a_reference(images, store):
    counting, expected = CountingExtractor(), mean_colors()
    reference = find(images, store, counting)
    statistics = reference.statistics
    assert statistics.count == statistics.moments.count == 12
    np.testing.assert_allclose(statistics.moments.mean, expected.mean(0), atol=1e-6)
    np.testing.assert_allclose(statistics.moments.covariance, np.cov(expected, rowvar=False), atol=1e-6)
    order = np.lexsort(statistics.features.T[::-1])
    np.testing.assert_allclose(statistics.features[order], expected, atol=1e-6)
    np.testing.assert_array_equal(statistics.labels[order], [0] * 6 + [1] * 6)
    preprocessing, digest = counting.extractor.preprocessing, open_directory(images).digest()
    expected_provenance = Provenance(str(images), digest, 12, 8, 3, "colors/1", preprocessing, ("cat", "dog"))
    assert reference.provenance == expected_provenance


def test_stored_features_are_of_random_images(images, store, monkeypatch):
    """Mean and covariance are of all images. The features are in random order, as the kernel distance requires."""
    monkeypatch.setattr(reference_store, "MAX_FEATURES", 7)
    statistics = find(images, store, CountingExtractor()).statistics
    assert (len(statistics.features), len(statistics.labels), statistics.moments.count) == (7, 7, 12)
    np.testing.assert_allclose(statistics.moments.mean, mean_colors().mean(0), atol=1e-6)
    assert set(statistics.labels) == {0, 1}
    assert (np.diff(statistics.labels) < 0).any()


def test_a_stored_reference_is_not_computed_again(images, store, caplog):
    counting = CountingExtractor()
    first = find(images, store, counting)
    (path,) = store.iterdir()
    count = counting.count
    assert count >= 12
    with caplog.at_level(logging.INFO, "sagan_tf"):
        second = find(images, store, counting)
    assert counting.count == count and str(path) in caplog.messages[-1]
    assert second.provenance == first.provenance
    np.testing.assert_array_equal(second.statistics.moments.covariance, first.statistics.moments.covariance)
    np.testing.assert_array_equal(second.statistics.features, first.statistics.features)


def test_changed_files_sizes_and_extractors_have_their_own_references(images, store):
    counting, changed = CountingExtractor(), CountingExtractor("colors/2")
    first = find(images, store, counting)
    count = counting.count
    assert find(images, store, counting, resolution=4).provenance.resolution == 4
    assert counting.count == 2 * count
    assert find(images, store, changed).provenance.extractor == "colors/2"
    assert changed.count == count
    os.utime(images / "cat" / "000.png", ns=(5, 5))
    second = find(images, store, counting)
    assert counting.count == 3 * count and second.provenance.fingerprint != first.provenance.fingerprint
    assert len(list(store.iterdir())) == 4


@pytest.mark.parametrize("damage", ["other images", "truncated"])
def test_an_invalid_file_in_the_store_is_replaced(damage, images, store):
    counting = CountingExtractor()
    reference = find(images, store, counting)
    (path,) = store.iterdir()
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    else:
        changed = dataclasses.replace(reference.provenance, fingerprint="another")
        save_reference(dataclasses.replace(reference, provenance=changed), path)
    count = counting.count
    found = find(images, store, counting)
    np.testing.assert_array_equal(found.statistics.moments.mean, reference.statistics.moments.mean)
    assert counting.count == 2 * count
    assert load_reference(path).provenance == found.provenance == reference.provenance


def test_a_reference_is_read_from_a_file(images, store, monkeypatch):
    counting, changed = CountingExtractor(), CountingExtractor("colors/2")
    reference = find(images, store, counting)
    (path,) = store.iterdir()
    count = counting.count
    monkeypatch.setenv("HOME", str(store))
    found = find_reference(f"~/{path.name}", None, extract(counting), "")
    assert found.provenance == reference.provenance and counting.count == count
    np.testing.assert_array_equal(found.statistics.features, reference.statistics.features)
    with pytest.raises(UserError, match=f"^reference: .*colors/2, received {path} .*colors/1$"):
        find_reference(str(path), None, extract(changed), "")
    assert list(store.iterdir()) == [path]


def test_too_few_and_too_many_unreadable_images_are_rejected(images, store):
    """One image has no covariance."""
    build_class_directories(images.parent, ("one",), images_per_class=1)
    with pytest.raises(UserError, match=f"^reference: .*received 1 in {images.with_name('one')}$"):
        find(images.with_name("one"), store, CountingExtractor())
    for name in ("003", "004"):
        (images / "cat" / f"{name}.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"^data: .*received 2 of 12 "):
        find(images, store, CountingExtractor())
    assert not store.exists()


def test_a_few_unreadable_images_are_skipped(tmp_path, store):
    """The stored reference equals the computed one."""
    directory = tmp_path / "many"
    build_class_directories(directory, images_per_class=60)
    (directory / "cat" / "003.png").write_bytes(b"no image")
    for _ in range(2):
        reference = find(directory, store, CountingExtractor())
        statistics = reference.statistics
        assert statistics.count == statistics.moments.count == len(statistics.features) == 119
        assert len(reference.unreadable) == 1 and reference.unreadable[0].endswith("cat/003.png")


def test_a_reference_that_another_worker_lacks_is_computed_by_all_workers(images, store, monkeypatch):
    find(images, store, CountingExtractor())
    monkeypatch.setattr(Extraction, "is_true_on_all_workers", lambda self, value: False)
    counting = CountingExtractor()
    find(images, store, counting)
    assert counting.count


@pytest.mark.parametrize("directory", ["", "/proc/nonexistent", "file/references", "late"])
def test_a_reference_that_cannot_be_stored_is_used(directory, images, tmp_path, monkeypatch, caplog):
    """One warning names the flag, before the images are read unless the disk becomes full meanwhile."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # the user of a container, without a home directory
    before, warnings_before, compute = sorted(tmp_path.iterdir()), [], reference_store._compute_statistics

    def compute_statistics(source: Source, extraction: Extraction, flag: str) -> ImageSetStatistics:
        warnings_before.append(len(caplog.messages))
        return compute(source, extraction, flag)

    monkeypatch.setattr(reference_store, "_compute_statistics", compute_statistics)
    if directory == "late":
        monkeypatch.setattr(reference_store, "save_reference", mock.Mock(side_effect=OSError(28, "No space")))
    with caplog.at_level(logging.WARNING, "sagan_tf"):
        assert find(images, directory, CountingExtractor()).statistics.count == 12
    assert warnings_before == [0 if directory == "late" else 1]
    assert len(caplog.messages) == 1 and "--reference_dir" in caplog.text
    assert sorted(tmp_path.iterdir()) == before


def test_directory_of_references(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    for directory, cache, expected in (
        ("refs", "/cache", "refs"),
        ("~/refs", "", "/home/me/refs"),
        ("", "/cache", "/cache/sagan_tf/references"),
        ("", "~/cache", "/home/me/cache/sagan_tf/references"),
        ("", "", "/home/me/.cache/sagan_tf/references"),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
        assert resolve_reference_directory(directory) == Path(expected)
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert resolve_reference_directory("") == Path("/home/me/.cache/sagan_tf/references")
