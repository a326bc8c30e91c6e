"""Overfitting of the discriminator: closed forms, a stand-in discriminator, and through a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS, Augmentation, create_augmentation
from sagan_tf.cli.flags import config_to_flagfile
from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.training.health import overfitting
from sagan_tf.training.health.overfitting import (
    MAX_IMAGES,
    LabeledImages,
    OverfittingReader,
    open_overfitting_reader,
    sample_labeled_images,
)
from sagan_tf.training.health.signs import HELD_OUT_GAP, OVERFITTING
from sagan_tf.training.train import train
from tests.data.sample_folders import build_class_folders, build_record_files
from tests.training.tiny import (
    NUM_CLASSES,
    PLAINEST_NETWORKS,
    all_values,
    differences,
    make_state,
    one_device,
    tiny_config,
)


class MeanOfPixels:
    """A discriminator whose logit is the mean of the pixels, plus ten times the label."""

    def __call__(self, inputs: Any, training: bool) -> tf.Tensor:
        images, labels = inputs
        assert not training and len(labels) <= 16 and len(labels) % 2 == 0
        return tf.reduce_mean(images, axis=[1, 2, 3])[:, None] + 10.0 * tf.cast(labels, tf.float32)[:, None]


def constant_images(levels: np.ndarray, labels: np.ndarray) -> LabeledImages:
    images = np.broadcast_to(levels[:, None, None, None], (len(levels), 32, 32, 1))
    return LabeledImages(images.astype(np.uint8), labels.astype(np.int32))


NO_AUGMENTATION = create_augmentation(())


def read_levels(
    training: LabeledImages, held_out: LabeledImages, generated: float, augmentation: Any = NO_AUGMENTATION
) -> dict[str, float | None]:
    """Read with a generator whose images all have the mean `generated`."""
    state = make_state(tiny_config(**PLAINEST_NETWORKS), one_device())
    image = state.generator.get_layer("image")
    image.kernel.assign(tf.zeros_like(image.kernel))
    image.bias.assign([np.arctanh(generated)])
    state.discriminator = MeanOfPixels()
    return OverfittingReader(state, training, held_out, seed=0, group_size=2, augmentation=augmentation)()


LABELS = np.arange(70) % NUM_CLASSES


def spread_around(level: int) -> np.ndarray:
    """Levels of 70 pixels, the last six of them 60 higher."""
    return level + 20 * (-1) ** np.arange(70) + 60 * (np.arange(70) >= 64)


def test_ratio_of_the_two_leads() -> None:
    training, held_out = constant_images(spread_around(150), LABELS), constant_images(spread_around(120), LABELS)
    values = read_levels(training, held_out, generated=-0.5)
    mean = np.mean(spread_around(150)) / 127.5 - 1
    assert values[HELD_OUT_GAP] == pytest.approx(30 / 127.5, rel=1e-4)
    assert values[OVERFITTING] == pytest.approx(30 / 127.5 / (mean + 0.5), rel=1e-3)


def test_other_proportions_of_classes_are_no_overfitting() -> None:
    training = constant_images(np.full(70, 180), LABELS)
    values = read_levels(training, constant_images(np.full(20, 180), np.ones(20)), generated=-0.5)
    assert values[HELD_OUT_GAP] == pytest.approx(0, abs=1e-5) and values[OVERFITTING] == pytest.approx(0, abs=1e-5)
    nothing_in_common = constant_images(np.full(20, 180), np.full(20, NUM_CLASSES))
    assert read_levels(training, nothing_in_common, generated=-0.5) == {HELD_OUT_GAP: None, OVERFITTING: None}


@pytest.mark.parametrize("counts", [(10, 60), (60, 10)])
def test_memorizing_is_1_with_other_proportions_of_classes(counts: tuple[int, int]) -> None:
    """The classes have different gaps, and held-out images the logits of generated ones."""
    labels, others = np.repeat([0, 1], counts), np.repeat([0, 1], counts[::-1])
    training = constant_images(np.where(labels == 0, 240, 120), labels)
    values = read_levels(training, constant_images(np.full(70, 64), others), generated=64 / 127.5 - 1)
    assert values[OVERFITTING] == pytest.approx(1, abs=1e-3)
    assert values[HELD_OUT_GAP] == pytest.approx((176 * counts[1] + 56 * counts[0]) / 70 / 127.5, rel=1e-3)


def test_images_are_augmented_with_the_same_random_numbers() -> None:
    noted: list[tuple[list[int], np.ndarray]] = []

    def darken(images: tf.Tensor, numbers: RandomNumbers) -> tf.Tensor:
        noted.append((numbers.rows.numpy().tolist(), numbers.uniform().numpy()))
        return images / 2.0

    sets = constant_images(spread_around(150), LABELS), constant_images(spread_around(120), LABELS)
    values = read_levels(*sets, generated=-0.5, augmentation=darken)
    plain = read_levels(*sets, generated=-0.5)
    assert values[HELD_OUT_GAP] == pytest.approx(plain[HELD_OUT_GAP] / 2, rel=1e-4)
    assert read_levels(*sets, generated=-0.5, augmentation=darken) == values
    rows, numbers = (np.concatenate(one) for one in zip(*noted, strict=True))
    rows, numbers = rows.reshape(-1, 70), numbers.reshape(-1, 70)  # training, held-out and generated, twice
    assert len(rows) == 6 and (rows == np.arange(70)).all() and (numbers == numbers[0]).all()
    assert len(set(numbers[0])) == 70


def test_the_smaller_set_is_augmented_several_times() -> None:
    """With as many random numbers as the larger one: equal images then have equal mean logits."""

    def brighten(images: tf.Tensor, numbers: RandomNumbers) -> tf.Tensor:
        return images + numbers.uniform([1, 1, 1])

    large, small = (constant_images(np.full(size, 150), np.zeros(size)) for size in (70, 14))
    for sets in ((large, small), (small, large)):
        values = read_levels(*sets, generated=-0.5, augmentation=brighten)
        assert values[HELD_OUT_GAP] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("lead", "is_defined"), [(-0.4, False), (0.0, False), (0.05, False), (0.4, True)])
def test_no_ratio_where_training_images_hardly_lead(lead: float, is_defined: bool) -> None:
    levels = spread_around(128)
    values = read_levels(
        constant_images(levels, LABELS), constant_images(levels, LABELS), levels.mean() / 127.5 - 1 - lead
    )
    assert values[HELD_OUT_GAP] == 0.0 and values[OVERFITTING] == (0.0 if is_defined else None)


@pytest.mark.parametrize(
    "options",
    [{}, {"conditioning": "auxiliary_classifier"}, {"conditioning": "none"}, {"discriminator_minibatch_statistics": 3}],
    ids=str,
)
def test_reading_changes_nothing(options: dict[str, Any]) -> None:
    state = make_state(tiny_config(**options), one_device())
    before = all_values(state)
    random = np.random.default_rng(0)
    sets = [LabeledImages(random.integers(0, 256, (n, 32, 32, 1), np.uint8), np.zeros(n, np.int32)) for n in (18, 3)]
    group = options.get("discriminator_minibatch_statistics", 1)
    read = OverfittingReader(state, *sets, seed=0, group_size=group, augmentation=NO_AUGMENTATION)
    assert read() == read() and read()[HELD_OUT_GAP] != 0.0
    assert (
        OverfittingReader(state, sets[0], sets[0], seed=0, group_size=group, augmentation=NO_AUGMENTATION)()[
            HELD_OUT_GAP
        ]
        == 0.0
    )
    assert differences(before, all_values(state)) == set()


def open_folder(directory: Path) -> Any:
    config = DataConfig(dataset="folder", data_dir=str(directory))
    return open_source(config, resolution=32, image_channels=3)


def test_labels_are_matched_by_class_name(tmp_path: Path) -> None:
    build_class_folders(tmp_path, ("cat", "zebra"), images_per_class=2)
    source = open_folder(tmp_path)
    images = sample_labeled_images(source, ("ant", "zebra", "bee", "cat"))
    assert sorted(images.labels.tolist()) == [1, 1, 3, 3]
    red = images.images[:, 0, 0, 0]  # 10 for the first class of the directory, 50 for the second
    np.testing.assert_array_equal(images.labels, np.where(red == 10, 3, 1))
    assert sample_labeled_images(source, ()).labels.tolist() == [0] * 4
    assert len(sample_labeled_images(source, (), multiple_of=3).labels) == 3
    assert len(sample_labeled_images(source, (), multiple_of=5).labels) == 4
    with pytest.raises(UserError, match="'zebra'"):
        sample_labeled_images(source, ("cat", "dog"))


def test_images_without_labels(tmp_path: Path) -> None:
    build_class_folders(tmp_path, ("one",), images_per_class=3)
    with pytest.raises(UserError, match="images without labels"):
        sample_labeled_images(open_folder(tmp_path / "one"), ("one",))


def test_a_sample_of_many_images() -> None:
    source = open_source(DataConfig(dataset="fashion_mnist_10k"), resolution=32, image_channels=1)
    images = sample_labeled_images(source, source.class_names)
    assert images.images.shape == (MAX_IMAGES, 32, 32, 1) and images.images.dtype == np.uint8
    assert np.bincount(images.labels).min() > 10
    stored = {one["image"].tobytes(): int(one["label"]) for one in source.preview(10_000).as_numpy_iterator()}
    assert [stored[image.tobytes()] for image in images.images] == images.labels.tolist()


def open_reader(tmp_path: Path, held_out: str, **options: Any) -> OverfittingReader | None:
    data = {"dataset": "folder", "data_dir": str(tmp_path / "training"), "held_out": held_out, "image_channels": 3}
    config = tiny_config(**{**data, "num_classes": 2, **PLAINEST_NETWORKS, **options})
    state = make_state(config, one_device())
    source = open_source(config.data, resolution=32, image_channels=3)
    return open_overfitting_reader(config, source, state, one_device())


@pytest.fixture
def directories(tmp_path: Path) -> Path:
    for name in ("training", "others"):
        build_class_folders(tmp_path / name, images_per_class=4)
    return tmp_path


def test_open_images(directories: Path) -> None:
    assert open_reader(directories, "") is None
    reader = open_reader(directories, str(directories / "others"))
    assert reader is not None and np.isfinite(reader()[HELD_OUT_GAP])


def make_others(directories: Path) -> str:
    """Make a directory of images whose mean differs from that of the training images."""
    build_class_folders(directories / "more", images_per_class=9)
    return str(directories / "more")


def test_augmentation_is_that_of_the_run(directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AUGMENTATIONS, "flip", Augmentation(lambda images, draws: tf.zeros_like(images), 1))
    others = make_others(directories)
    for options, is_zero in (({}, False), ({"augment": ("flip",)}, True)):
        reader = open_reader(directories, others, **options)
        assert reader is not None and (reader()[HELD_OUT_GAP] == 0.0) == is_zero


def test_augmentation_has_the_probability_of_the_run(directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AUGMENTATIONS, "flip", Augmentation(lambda images, draws: tf.zeros_like(images), 1))
    reader = open_reader(directories, make_others(directories), augment=("flip",), ada_target=0.6)
    assert reader is not None and reader._state.augment_probability is not None
    for probability in (0.0, 1.0):
        reader._state.augment_probability.probability.assign(probability)
        assert (reader()[HELD_OUT_GAP] == 0.0) == (probability == 1.0)


@pytest.mark.parametrize(
    ("held_out", "problem"),
    [("training", "trained on"), ("folder:test", "folder"), ("tfrecord:test", "directory"), ("none", "none")],
)
def test_images_that_cannot_be_used(directories: Path, held_out: str, problem: str) -> None:
    text = held_out if ":" in held_out else str(directories / held_out)
    with pytest.raises(UserError, match=f"^held_out.*{problem}"):
        open_reader(directories, text)


def test_an_unreadable_image_names_the_option(directories: Path) -> None:
    (directories / "others" / "cat" / "000.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    with pytest.raises(UserError, match=r"^held_out=.*000\.png"):
        open_reader(directories, str(directories / "others"))


def test_several_workers_cannot_stop_by_it(directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overfitting, "num_workers", lambda strategy: 2)
    assert open_reader(directories, str(directories / "others")) is not None
    with pytest.raises(UserError, match="^held_out.*--on_unhealthy=stop"):
        open_reader(directories, str(directories / "others"), on_unhealthy="stop")


def health_lines(run_dir: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "health"]


def test_a_run_records_it(tmp_path: Path) -> None:
    build_record_files(tmp_path, split="test", num_classes=0, resolution=32)
    options = {"dataset": "fashion_mnist_10k", "num_classes": 0, "conditioning": "none", "num_steps": 2}
    options |= {"sample_every": 2, "log_every": 2, "data_dir": str(tmp_path), **PLAINEST_NETWORKS}
    runs = {"other": "tfrecord:test", "held_out": "fashion_mnist_10k:reference", "without": ""}
    for name, held_out in runs.items():
        data_dir = str(tmp_path) if name == "other" else ""
        config = tiny_config(run_dir=str(tmp_path / name), held_out=held_out, **options | {"data_dir": data_dir})
        train(config, config_to_flagfile)
    gaps = {name: [line.get(HELD_OUT_GAP, "missing") for line in health_lines(tmp_path / name)] for name in runs}
    assert gaps["without"] == ["missing"]
    assert abs(gaps["other"][0]) > 3 * abs(gaps["held_out"][0]) > 0  # images of one color are nothing like garments
    assert len({final_loss(tmp_path / name) for name in runs}) == 1


def final_loss(run_dir: Path) -> float:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line["discriminator_loss"] for line in lines if line["kind"] == "train"][-1]


@pytest.mark.parametrize("held_out", ["no/such/place", "fashion_mnist_10k:no"])
def test_images_that_cannot_be_opened_leave_nothing_behind(tmp_path: Path, held_out: str) -> None:
    options = {"dataset": "fashion_mnist_10k", "num_classes": 0, "held_out": held_out, **PLAINEST_NETWORKS}
    with pytest.raises(UserError, match=f"^held_out.*{held_out}"):
        train(tiny_config(run_dir=str(tmp_path / "run"), **options), config_to_flagfile)
    assert not list(tmp_path.iterdir())
