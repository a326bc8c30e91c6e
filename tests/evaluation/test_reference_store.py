"""References are computed once: kept, found again, computed anew when images, their size or the extractor change."""

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
from sagan_tf.evaluation.reference_store import find_reference, reference_directory
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.statistics import Gathered
from tests.data.sample_folders import build_class_folders, image_colour
from tests.features.fake_extractors import CountingExtractor
from tests.training.tiny import one_device


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """12 images of 2 classes."""
    folder = tmp_path / "animals"
    build_class_folders(folder)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "references"


def open_folder(folder: Path, resolution: int = 8) -> Source:
    return open_images("reference", str(folder), data_dir="", resolution=resolution, image_channels=3)


def find(folder: Path, store: Path, counting: CountingExtractor, resolution: int = 8) -> Reference:
    extraction = Extraction(counting.extractor, one_device(), batch_size=5)
    return find_reference(str(folder), open_folder(folder, resolution), extraction, str(store))


def colours() -> np.ndarray:
    """The mean colour of every image, in [-1, 1]."""
    found = [image_colour(label, index) for label in range(2) for index in range(6)]
    return np.array(found, np.float64) / 127.5 - 1.0


def test_what_a_reference_holds(images: Path, store: Path) -> None:
    reference = find(images, store, CountingExtractor())
    gathered, expected = reference.gathered, colours()
    assert gathered.count == gathered.moments.count == 12
    np.testing.assert_allclose(gathered.moments.mean, expected.mean(0), atol=1e-6)
    np.testing.assert_allclose(gathered.moments.covariance, np.cov(expected, rowvar=False), atol=1e-6)
    order = np.lexsort(gathered.features.T[::-1])
    np.testing.assert_allclose(gathered.features[order], expected, atol=1e-6)
    np.testing.assert_array_equal(gathered.labels[order], [0] * 6 + [1] * 6)


def test_what_a_reference_is_of(images: Path, store: Path) -> None:
    counting = CountingExtractor()
    provenance = find(images, store, counting).provenance
    assert dataclasses.asdict(provenance) == {
        "images": str(images),
        "fingerprint": open_folder(images).fingerprint(),
        "count": 12,
        "resolution": 8,
        "image_channels": 3,
        "extractor": "colours/1",
        "preprocessing": counting.extractor.preprocessing,
        "class_names": ("cat", "dog"),
    }


def test_features_kept_are_a_random_few(images: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean and covariance are of all images; the features in random order, as the kernel's distance wants them."""
    monkeypatch.setattr(reference_store, "MOST_KEPT", 7)
    gathered = find(images, store, CountingExtractor()).gathered
    assert (len(gathered.features), len(gathered.labels), gathered.moments.count) == (7, 7, 12)
    np.testing.assert_allclose(gathered.moments.mean, colours().mean(0), atol=1e-6)
    assert set(gathered.labels) == {0, 1}
    assert (np.diff(gathered.labels) < 0).any()


def test_a_second_time_nothing_is_extracted(images: Path, store: Path, caplog: pytest.LogCaptureFixture) -> None:
    counting = CountingExtractor()
    with caplog.at_level(logging.INFO, "sagan_tf"):
        first = find(images, store, counting)
    (path,) = store.iterdir()
    assert f"reference: 12 images of {images}, kept in {path}" in caplog.messages
    shown = counting.shown
    assert shown >= 12
    with caplog.at_level(logging.INFO, "sagan_tf"):
        second = find(images, store, counting)
    assert counting.shown == shown
    assert caplog.messages[-1] == f"reference: {path}"
    assert second.provenance == first.provenance
    np.testing.assert_array_equal(second.gathered.moments.covariance, first.gathered.moments.covariance)
    np.testing.assert_array_equal(second.gathered.features, first.gathered.features)


def test_other_files_are_another_reference(images: Path, store: Path) -> None:
    counting = CountingExtractor()
    first = find(images, store, counting)
    os.utime(images / "cat" / "000.png", ns=(5, 5))
    shown = counting.shown
    second = find(images, store, counting)
    assert counting.shown == 2 * shown
    assert second.provenance.fingerprint != first.provenance.fingerprint
    assert len(list(store.iterdir())) == 2


def test_other_sizes_and_extractors_are_other_references(images: Path, store: Path) -> None:
    counting, another = CountingExtractor(), CountingExtractor("colours/2")
    find(images, store, counting)
    shown = counting.shown
    assert find(images, store, counting, resolution=4).provenance.resolution == 4
    assert counting.shown == 2 * shown
    assert find(images, store, another).provenance.extractor == "colours/2"
    assert another.shown == shown
    assert len(list(store.iterdir())) == 3


def test_a_file_of_another_set_in_its_place_is_replaced(images: Path, store: Path) -> None:
    counting = CountingExtractor()
    reference = find(images, store, counting)
    (path,) = store.iterdir()
    foreign = dataclasses.replace(reference.provenance, fingerprint="another")
    save_reference(dataclasses.replace(reference, provenance=foreign), path)
    shown = counting.shown
    assert find(images, store, counting).provenance == reference.provenance
    assert counting.shown == 2 * shown
    assert load_reference(path).provenance == reference.provenance


def test_a_damaged_file_in_the_store_is_computed_anew(
    images: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counting = CountingExtractor()
    expected = find(images, store, counting).gathered.moments.mean
    (kept,) = store.iterdir()
    kept.write_bytes(kept.read_bytes()[:500])
    shown = counting.shown
    with caplog.at_level(logging.WARNING, logger="sagan_tf"):
        found = find(images, store, counting)
    np.testing.assert_array_equal(found.gathered.moments.mean, expected)
    assert counting.shown > shown and "computed anew" in caplog.text
    assert load_reference(kept).provenance == found.provenance


def test_a_file_that_is_asked_for(images: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = CountingExtractor()
    reference = find(images, store, counting)
    (path,) = store.iterdir()
    shown = counting.shown
    monkeypatch.setenv("HOME", str(store))
    extraction = Extraction(counting.extractor, one_device(), batch_size=5)
    for text in (str(path), f"~/{path.name}"):
        found = find_reference(text, None, extraction, "")
        assert found.provenance == reference.provenance
        np.testing.assert_array_equal(found.gathered.features, reference.gathered.features)
    assert counting.shown == shown
    assert list(store.iterdir()) == [path]


def test_a_file_of_another_extractor(images: Path, store: Path) -> None:
    find(images, store, CountingExtractor())
    (path,) = store.iterdir()
    extraction = Extraction(CountingExtractor("colours/2").extractor, one_device(), batch_size=5)
    message = f"^reference: expected features of the extractor colours/2, received {path} with features of colours/1$"
    with pytest.raises(UserError, match=message):
        find_reference(str(path), None, extraction, "")


def test_a_file_that_is_asked_for_and_not_there(tmp_path: Path) -> None:
    extraction = Extraction(CountingExtractor().extractor, one_device(), batch_size=5)
    with pytest.raises(
        UserError, match=r"^reference: expected a file that can be read, received .*\(No such file.*\)$"
    ):
        find_reference(str(tmp_path / "none.npz"), None, extraction, "")


def test_one_image_has_no_covariance(tmp_path: Path, store: Path) -> None:
    build_class_folders(tmp_path, ("one",), images_per_class=1)
    folder = tmp_path / "one"
    with pytest.raises(UserError, match=f"^reference: expected at least 2 images, received 1 in {folder}$"):
        find(folder, store, CountingExtractor())
    assert not store.exists()


def test_unreadable_images_stop_it_and_nothing_is_kept(images: Path, store: Path) -> None:
    (images / "cat" / "003.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"^data: expected at most 1% unreadable images, received 1 of 12 so far"):
        find(images, store, CountingExtractor())
    assert not store.exists()


def test_a_few_unreadable_images_are_left_out(tmp_path: Path, store: Path) -> None:
    """What is read again says the same as what was computed."""
    folder = tmp_path / "many"
    build_class_folders(folder, images_per_class=60)
    (folder / "cat" / "003.png").write_bytes(b"no image")
    for _ in range(2):
        reference = find(folder, store, CountingExtractor())
        gathered = reference.gathered
        assert gathered.count == gathered.moments.count == len(gathered.features) == 119
        assert len(reference.unreadable) == 1 and reference.unreadable[0].endswith("cat/003.png")


def test_a_reference_that_another_worker_lacks_is_computed_by_all(
    images: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(images, store, CountingExtractor())
    monkeypatch.setattr(Extraction, "all_agree", lambda self, mine: False)
    counting = CountingExtractor()
    find(images, store, counting)
    assert counting.shown


@pytest.mark.parametrize("place", ["", "/proc/nonexistent", "file/references", "late"])
def test_a_reference_that_cannot_be_kept_is_used(
    place: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning names the flag, before the images are looked at unless the disk becomes full meanwhile."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # a container's user without a home directory
    before, warnings_before, gather = sorted(tmp_path.iterdir()), [], reference_store._gather_reference

    def gather_reference(source: Source, extraction: Extraction) -> Gathered:
        warnings_before.append(len(caplog.messages))
        return gather(source, extraction)

    def save_on_a_full_disk(reference: Reference, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reference_store, "_gather_reference", gather_reference)
    if place == "late":
        monkeypatch.setattr(reference_store, "save_reference", save_on_a_full_disk)
    with caplog.at_level(logging.WARNING, "sagan_tf"):
        extraction = Extraction(CountingExtractor().extractor, one_device(), batch_size=5)
        assert find_reference(str(images), open_folder(images), extraction, place).gathered.count == 12
    assert warnings_before == [0 if place == "late" else 1]
    assert len(caplog.messages) == 1 and "--reference_dir" in caplog.text
    assert sorted(tmp_path.iterdir()) == before


def test_images_of_other_channels(images: Path, store: Path) -> None:
    counting = CountingExtractor(channels=1)
    with pytest.raises(UserError, match="^extractor: expected images of 1 channels for colours, received 3$"):
        find(images, store, counting)
    assert counting.shown == 0


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
def test_where_references_are_kept(
    monkeypatch: pytest.MonkeyPatch, directory: str, cache: str | None, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if cache is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert reference_directory(directory) == Path(expected)


def test_they_are_kept_in_the_users_cache(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    extraction = Extraction(CountingExtractor().extractor, one_device(), batch_size=5)
    reference = find_reference(str(images), open_folder(images), extraction, "")
    kept = tmp_path / "cache" / "sagan_tf" / "references" / reference.provenance.file_name
    assert load_reference(kept).provenance == reference.provenance
