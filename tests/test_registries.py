"""A new data set, architecture, loss, augmentation, metric, extractor or schedule is one entry in one registry."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS, create_augmentation
from sagan_tf.augmentation.augmentations import Augmentation
from sagan_tf.config import Config, DataConfig, ModelConfig
from sagan_tf.data.sources.registry import DATASETS, open_source
from sagan_tf.evaluation.metrics import METRICS, find_metrics
from sagan_tf.features.extractors import EXTRACTORS, ExtractorOptions, open_extractor
from sagan_tf.losses import LOSSES, AdversarialLoss
from sagan_tf.networks.architectures import ARCHITECTURES, Architecture, Stages, find_stages
from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.training.validation import check_config


def test_data_set(monkeypatch):
    monkeypatch.setitem(DATASETS, "dummy", lambda config, **size: (config.dataset, size))
    opened = open_source(DataConfig(dataset="dummy"), resolution=32, image_channels=3)
    assert opened == ("dummy", {"resolution": 32, "image_channels": 3})


def test_architecture(monkeypatch):
    stages = Stages(2, (2, 1, 1), (1, 2), (True, True))
    monkeypatch.setitem(ARCHITECTURES, "dummy", Architecture("residual", {32: stages}))
    assert find_stages(ModelConfig(architecture="dummy", resolution=32, attention_resolutions=(16,))) == stages


def test_loss(monkeypatch):
    config = dataclasses.replace(Config(), training=dataclasses.replace(Config().training, loss="dummy"))
    with pytest.raises(ValueError, match="loss: .*hinge.*dummy"):
        check_config(config)
    monkeypatch.setitem(LOSSES, "dummy", AdversarialLoss(lambda real, fake: real - fake, tf.reduce_mean))
    check_config(config)


def test_augmentation(monkeypatch):
    monkeypatch.setitem(AUGMENTATIONS, "dummy", Augmentation(lambda images, draws: images * 2.0, 1))
    augment = create_augmentation(("dummy",))
    numbers = RandomNumbers(tf.constant([1, 2], tf.int64), tf.range(3), 3)
    np.testing.assert_array_equal(augment(tf.ones([3, 4, 4, 1]), numbers), np.full([3, 4, 4, 1], 2.0))


def test_metric(monkeypatch):
    monkeypatch.setitem(METRICS, "dummy", dataclasses.replace(METRICS["fcd"], protocol="dummy"))
    (metric,) = find_metrics(["dummy2k"])
    assert (metric.family.protocol, metric.num_images) == ("dummy", 2000)


def test_extractor(monkeypatch):
    monkeypatch.setitem(EXTRACTORS, "dummy", lambda options: options.name)
    assert open_extractor(ExtractorOptions("dummy")) == "dummy"
