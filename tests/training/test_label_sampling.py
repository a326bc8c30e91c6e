"""The labels of real and fake images: what each value of `label_sampling` does, and where it is refused."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.training import train as training
from sagan_tf.training.label_sampling import sample_labels
from sagan_tf.training.state import TrainState
from sagan_tf.training.train import train
from sagan_tf.training.updates import create_updates
from sagan_tf.training.validation import check_config, check_flags
from tests.data.sample_folders import build_class_directories
from tests.graph_placement import find_host_waits, has_gpu_kernels
from tests.training.tiny import PLAINEST_NETWORKS, make_state, one_device, run_config, tiny_config

COUNTS = np.array([18, 4, 2])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("unbalanced")
    for name, count in zip(("cat", "dog", "fox"), COUNTS, strict=True):
        build_class_directories(path, (name,), int(count))
    return path


@pytest.fixture(scope="module")
def source(directory: Path) -> Source:
    config = tiny_config(dataset="folder", data_dir=str(directory))
    return open_source(config.data, resolution=32, image_channels=1)


@pytest.fixture(scope="module")
def state() -> TrainState:
    return make_state(tiny_config(**PLAINEST_NETWORKS), one_device())


@pytest.mark.parametrize(
    ("sampling", "real", "fake"),
    [("uniform", COUNTS / 24, [1 / 3] * 3), ("data", COUNTS / 24, COUNTS / 24), ("balanced", [1 / 3] * 3, [1 / 3] * 3)],
)
def test_frequencies_of_real_and_fake_labels(sampling: str, real: Any, fake: Any, source: Source, state: TrainState):
    config = tiny_config(label_sampling=sampling, global_batch_size=24, **PLAINEST_NETWORKS)
    sampled = sample_labels(config, source)
    iterator = training._create_training_iterator(config, sampled.source, one_device(), state)
    labels = np.concatenate([next(iterator)["labels"].numpy() for _ in range(3)])
    np.testing.assert_allclose(np.bincount(labels) / 72, real)
    sampler = dataclasses.replace(create_updates(config, state, sampled.class_counts).sampler, global_batch_size=6000)
    drawn = sampler.draw(tf.constant(5, tf.int64))[1].numpy()
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 6000, fake, atol=0.03)  # 5 standard errors


@pytest.mark.skipif(not has_gpu_kernels(), reason="this TensorFlow was built without kernels for GPUs")
def test_labels_of_the_data_do_not_make_the_host_wait_for_a_gpu(state: TrainState):
    sampler = create_updates(tiny_config(**PLAINEST_NETWORKS), state, (18, 4, 2)).sampler
    draw = tf.function(sampler.draw_for_replica, autograph=False)
    assert find_host_waits(draw.get_concrete_function(tf.TensorSpec([], tf.int64)).graph) == []


def test_values_without_an_effect_are_refused():
    with pytest.raises(UserError, match="^label_sampling: .*relativistic.* data$"):
        check_config(tiny_config(label_sampling="data", loss="relativistic"))
    check_config(tiny_config(label_sampling="balanced", loss="relativistic"))
    unconditional = {"conditioning": "none", "num_classes": 0}
    check_flags(tiny_config(label_sampling="balanced", **unconditional))
    with pytest.raises(UserError, match="^label_sampling: .*=data .*conditioning"):
        check_flags(tiny_config(label_sampling="data", **unconditional))
    with pytest.raises(UserError, match="^label_sampling: .*'even'"):
        tiny_config(label_sampling="even")


def test_counts_of_a_sample_are_no_frequencies(source: Source, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(source, "class_counts_sample_size", 7)
    with pytest.raises(UserError, match="^label_sampling: .*7 of 24"):
        sample_labels(tiny_config(label_sampling="data"), source)
    assert sample_labels(tiny_config(), source).source is source


def test_a_run_with_a_data_set_that_cannot_be_balanced_writes_nothing(directory: Path, tmp_path: Path):
    options: dict[str, Any] = {"dataset": "folder", "data_dir": str(directory / "cat"), "label_sampling": "balanced"}
    with pytest.raises(UserError, match="^label_sampling: .*without labels"):
        train(run_config(tmp_path / "run", 1, conditioning="none", **options | {"num_classes": 0}))
    assert not (tmp_path / "run").exists()


def test_a_run_reads_the_balanced_images(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The run ends when it opens the images."""

    def stop(config: Any, source: Source, *_: Any) -> None:
        raise UserError(type(source).__name__)

    monkeypatch.setattr(training, "_create_training_iterator", stop)
    options = {"dataset": "folder", "data_dir": str(directory), "num_classes": 3, "label_sampling": "balanced"}
    with pytest.raises(UserError, match=r"^BalancedSource$"):
        train(run_config(tmp_path / "run", 1, **options | PLAINEST_NETWORKS))
