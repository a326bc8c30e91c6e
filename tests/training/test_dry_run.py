"""A look at a run before it begins: checks, description and first images, without training."""

import itertools
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagan_tf.config import Config
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.data.pipeline import PREFETCHED_BATCHES
from sagan_tf.data.sources.decoding import MAX_CHUNK_IMAGES
from sagan_tf.data.sources.registry import open_source
from sagan_tf.train import run
from sagan_tf.training import dry_run
from sagan_tf.training.dry_run import describe_without_training, draw_contact_sheet, measure_reading_speed, read_batches
from sagan_tf.training.opening import open_run
from sagan_tf.training.train import _create_training_iterator
from sagan_tf.training.validation import resolve_classes
from tests.training.tiny import PLAINEST_FLAGS, PLAINEST_NETWORKS, RUN_FLAGS, make_state, one_device, tiny_config


def test_nothing_but_the_sheet_is_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = [*RUN_FLAGS, *PLAINEST_FLAGS, "--classes=Bag,Coat", "--data_fraction=0.002", "--num_steps=10"]
    assert run([*flags, "--run_dir=run", "--dry_run", "--dry_run_output=a/sheet.png"]) == 0
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["a", "a/sheet.png"]
    with Image.open(tmp_path / "a" / "sheet.png") as sheet:
        assert sheet.width > 8 * 32 and sheet.height > 8 * 32
    log = capsys.readouterr().out
    for words in ("Bag 2, Coat 2", "parameters: generator", "data_fraction=0.002", "80 real images", "20.0 epochs",
                  "FEW IMAGES", "a/sheet.png", " MB for each of the"):  # fmt: skip
        assert words in log


def test_images_are_those_of_the_run(tmp_path: pathlib.Path) -> None:
    config = tiny_config(dataset="fashion_mnist_10k", num_classes=0, random_flip=True, global_batch_size=16, seed=3)
    source = open_source(config.data, resolution=32, image_channels=1)
    config = resolve_classes(config, source)
    batch = next(_create_training_iterator(config, source, one_device(), make_state(config, one_device())))
    images, labels = next(read_batches(config, source, 16))
    np.testing.assert_array_equal(images, batch["images"])
    np.testing.assert_array_equal(labels, batch["labels"])
    plain = draw_contact_sheet(config, source, images, labels)
    shown = np.asarray(plain)[2:66:2, 2:66:2, :1]  # an image of 32 px is enlarged to 64 px, after a gap of 2 px
    np.testing.assert_array_equal(shown, to_uint8(images[0]))


def test_the_reading_speed_is_that_of_the_batches_after_the_prefetched_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 10 images every 0.25 s are 40 images/s. The batches before the measurement take no time."""
    clock = [100.0]

    def read_slowly() -> Iterator[Any]:
        for number in itertools.count():
            clock[0] += 0.25 if number > PREFETCHED_BATCHES else 0.0
            yield None, np.zeros(10)

    monkeypatch.setattr(dry_run.time, "perf_counter", lambda: clock[0])
    assert measure_reading_speed(read_slowly()) == 40.0


@pytest.mark.parametrize(
    ("workers", "restored", "time"), [(1, None, "1:00:00"), (4, None, "15:00"), (1, 2000, "20:00"), (1, 4000, "00:00")]
)
def test_the_time_is_that_of_the_images_of_a_worker(
    workers: int,
    restored: int | None,
    time: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """3,000 steps of 2 x 6 images at 10 images/s. Small batches leave few images in memory before the measurement."""
    sizes: list[int] = []

    def measure(batches: Iterator[Any]) -> float:
        sizes.append(len(next(batches)[1]))
        return 10.0

    monkeypatch.setattr(dry_run, "measure_reading_speed", measure)
    monkeypatch.setattr(dry_run, "open_run", lambda *run: open_run(*run)._replace(restored=restored))
    monkeypatch.setattr(dry_run, "count_workers", lambda strategy: workers)
    steps = {"num_steps": 3000, "global_batch_size": 6, "discriminator_steps_per_step": 2}
    run = {"dataset": "fashion_mnist_10k", "num_classes": 0, "run_dir": str(tmp_path / "run")}
    config = tiny_config(**run, **steps, **PLAINEST_NETWORKS)
    with caplog.at_level("INFO", "sagan_tf"):
        describe_without_training(config, tmp_path / "sheet.png")
    assert sum(f" {time} " in message and " 10 a second" in message for message in caplog.messages) == 1
    assert 0 < sizes[0] <= MAX_CHUNK_IMAGES


def test_augmentation_is_shown(tmp_path: pathlib.Path) -> None:
    config: Config = tiny_config(dataset="fashion_mnist_10k", augment=("cutout",))
    source = open_source(config.data, resolution=32, image_channels=1)
    sheet = draw_contact_sheet(config, source, np.ones([8, 32, 32, 1], np.float32), np.zeros(8, np.int32))
    assert 0.1 < np.mean(np.asarray(sheet)[2:66, 2:500, 0] == 128) < 0.4  # a square of half the side, partly outside


def test_only_the_chief_writes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagan_tf.distribution.worker_agreement.is_chief", lambda strategy: False)
    config = tiny_config(dataset="fashion_mnist_10k", num_classes=0, run_dir=str(tmp_path / "run"), **PLAINEST_NETWORKS)
    describe_without_training(config, tmp_path / "sheet.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "option"),
    [
        (["--dry_run", "--init_from=run"], "init_from"),
        (["--dry_run", "--init_from=nowhere"], "init_from"),
        (["--dry_run", "--classes=Bag,Coat", "--held_out=fashion_mnist_10k:train"], "held_out"),
        (["--dry_run", "--attention_resolutions=24"], "attention_resolutions"),
        (["--dry_run", "--classes=Bag,Moon"], "classes"),
        (["--dry_run", "--dry_run_output=."], "dry_run_output"),
        (["--dry_run_output=a.png"], "dry_run_output"),
    ],
)
def test_errors(
    flags: list[str],
    option: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*RUN_FLAGS, *PLAINEST_FLAGS, "--run_dir=run", *flags]) == 2
    assert f"error: {option}: " in capsys.readouterr().err and not list(tmp_path.iterdir())
