"""Tests of the benchmark of the input pipeline on very few images."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from sagan_tf.errors import UserError
from tools.benchmarks import pipeline
from tools.benchmarks.pipeline import PipelineOptions
from tools.benchmarks.pipeline_data import NUM_CLASSES, NUM_DISTINCT_IMAGES, create_photograph, encode_jpeg
from tools.benchmarks.pipelines import PIPELINES, Batches, prepare_pipeline

SMALL = PipelineOptions(images=48, batch=4, batches=2, warm_up=1, resolution=32, rounds=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pipeline")
    assert 50_000 < pipeline.write_data(directory, SMALL) < 150_000
    return directory


@functools.cache
def first_batch(data: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    batch = next(iter(PIPELINES[name].open(Batches(data, SMALL.resolution, SMALL.batch))))
    images, labels = (batch["images"], batch["labels"]) if isinstance(batch, dict) else batch
    return images.numpy(), labels.numpy()


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_returns_images_and_labels_for_training(data: Path, name: str) -> None:
    images, labels = first_batch(data, name)
    assert images.shape == (4, 32, 32, 3) and images.dtype == np.float32
    # Antialiased bicubic interpolation can exceed the range [-1, 1].
    assert -1.2 < images.min() < -0.4 and 0.4 < images.max() < 1.2
    assert set(labels) <= set(range(NUM_CLASSES))


@pytest.mark.parametrize("name", [name for name in PIPELINES if name != "plain"])
def test_antialiasing_pipelines_return_the_same_images(data: Path, originals: np.ndarray, name: str) -> None:
    for image in first_batch(data, name)[0]:
        assert np.square(image - originals).mean(axis=(1, 2, 3)).min() < 0.0015  # 34 dB


@pytest.fixture(scope="module")
def originals() -> np.ndarray:
    from sagan_tf.data.images.preprocessing import decode_image

    jpegs = [encode_jpeg(create_photograph(seed)) for seed in range(NUM_DISTINCT_IMAGES)]
    return np.array([decode_image(content, resolution=32, image_channels=3) for content in jpegs]) / 127.5 - 1.0


def test_a_round_measures_seconds_per_image(data: Path) -> None:
    sizes = {"resolution": 32, "batch": 4, "batches": 2, "warm_up": 1}
    measurement = prepare_pipeline(pipeline="ours_prepared", directory=str(data), **sizes)
    assert measurement.about["shape"] == [4, 32, 32, 3]
    figures = measurement.run()
    assert set(figures) == {"seconds", "processor_seconds"}
    assert all(value > 0 for value in figures.values())


@pytest.mark.parametrize(
    "option", [{"rounds": 4}, {"batch": 0}, {"images": 63}, {"batches": 0}, {"resolution": 0}, {"warm_up": -1}]
)
def test_options_that_are_too_small_are_refused(option: dict[str, int]) -> None:
    ((name, value),) = option.items()
    with pytest.raises(UserError, match=rf"^{name}: .* {value}$"):
        PipelineOptions(**option)


def test_images_compress_like_photographs_and_depend_only_on_the_seed() -> None:
    sizes = [len(encode_jpeg(create_photograph(seed))) for seed in range(3)]
    assert all(80_000 < size < 120_000 for size in sizes)
    np.testing.assert_array_equal(create_photograph(1, 40, 30), create_photograph(1, 40, 30))
    assert (create_photograph(1, 40, 30) != create_photograph(2, 40, 30)).any()


@pytest.mark.slow
def test_all_pipelines_are_measured() -> None:
    result = pipeline.run(SMALL)
    assert json.loads(json.dumps(result)) == result
    assert list(result["pipelines"]) == list(PIPELINES)
    for figures in result["pipelines"].values():
        assert figures["shape"] == [4, 32, 32, 3]
        assert len(figures["seconds"]) == len(figures["processor_seconds"]) == 5
    assert result["pipelines"]["plain"]["speed_ratio"]["plain"] == 1.0
    assert len(pipeline.format_rows(result)) == 1 + len(PIPELINES)
