"""A new data set, architecture, loss, augmentation, metric or extractor is one entry in one registry."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS, create_augmentation
from sagan_tf.augmentation.augmentations import Augmentation
from sagan_tf.cli.flags import parse_config
from sagan_tf.config import DataConfig, ModelConfig, option_names
from sagan_tf.data.sources.registry import DATASETS, open_source
from sagan_tf.errors import UserError
from sagan_tf.evaluation.metrics import METRICS, find_metrics
from sagan_tf.features.extractors import EXTRACTORS, ExtractorOptions, open_extractor
from sagan_tf.layers import SelfAttention2D
from sagan_tf.layers.attention_forms import ATTENTION_FORMS, AttentionForm
from sagan_tf.losses import LOSSES
from sagan_tf.networks.architectures import ARCHITECTURES, Architecture, Stages, find_stages
from sagan_tf.networks.attention_blocks import ATTENTION_BLOCKS
from sagan_tf.networks.discriminator import POOLINGS, build_discriminator
from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.schedules import LEARNING_RATE_SCHEDULES
from sagan_tf.training.validation import check_config


@pytest.mark.parametrize(
    ("names", "registry"),
    [(option_names.ARCHITECTURES, ARCHITECTURES), (option_names.ATTENTION_BLOCKS, ATTENTION_BLOCKS),
     (option_names.ATTENTION_FORMS, ATTENTION_FORMS), (option_names.AUGMENTATIONS, AUGMENTATIONS),
     (option_names.DATASETS, DATASETS), (option_names.DISCRIMINATOR_POOLINGS, POOLINGS),
     (option_names.EXTRACTORS, EXTRACTORS), (option_names.LEARNING_RATE_SCHEDULES, LEARNING_RATE_SCHEDULES),
     (option_names.LOSSES, LOSSES), (option_names.METRICS, METRICS)],
)  # fmt: skip
def test_help_lists_the_names_of_the_registry(names, registry):
    assert sorted(names) == sorted(registry)


def test_help_lists_the_metrics_with_held_out_images_and_with_a_reference():
    held_out = {name for name, family in METRICS.items() if family.has_held_out}
    assert set(option_names.METRICS_WITH_HELD_OUT) == held_out
    assert set(option_names.METRICS_WITH_REFERENCE) == {n for n, family in METRICS.items() if family.has_reference}


@pytest.mark.parametrize(
    ("option", "registry"),
    [("attention_block", ATTENTION_BLOCKS), ("attention_form", ATTENTION_FORMS), ("loss", LOSSES),
     ("discriminator_pooling", POOLINGS), ("learning_rate_schedule", LEARNING_RATE_SCHEDULES)],
)  # fmt: skip
def test_the_registry_alone_decides_which_names_a_run_accepts(option, registry, monkeypatch):
    config = parse_config([f"--{option}=dummy", "--learning_rate_decay_steps=1"])
    with pytest.raises(UserError, match=f"^{option}: .*{', '.join(registry)}.*'dummy'$"):
        check_config(config)
    monkeypatch.setitem(registry, "dummy", next(iter(registry.values())))
    check_config(config)


@pytest.mark.parametrize("option", ["attention_block", "attention_form", "discriminator_pooling"])
def test_a_network_with_an_unknown_name_is_an_error(option):
    sizes = ["--resolution=32", "--num_classes=2", "--base_channels=2", "--attention_resolutions=16"]
    config = parse_config([*sizes, f"--{option}=dummy"])
    with pytest.raises(UserError, match=f"^{option}: .*'dummy'$"):
        build_discriminator(config.model)


def test_attention_form(monkeypatch):
    form = AttentionForm(value_divisor=4, key_stride=2)
    monkeypatch.setitem(ATTENTION_FORMS, "dummy", form)
    layer = SelfAttention2D("dummy")
    _, attention_map = layer(tf.ones([1, 4, 4, 16]), return_attention_map=True)
    assert (layer.key.filters, layer.value.filters, *attention_map.shape[3:]) == (2, 4, 2, 2)
    assert layer.count_params() == form.count_parameters(16)


def test_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "dummy", lambda config, **size: (config.dataset, size))
    opened: object = open_source(DataConfig(dataset="dummy"), resolution=32, image_channels=3)
    assert opened == ("dummy", {"resolution": 32, "image_channels": 3})


def test_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = Stages(2, (2, 1, 1), (1, 2), (True, True))
    monkeypatch.setitem(ARCHITECTURES, "dummy", Architecture("residual", {32: stages}))
    assert find_stages(ModelConfig(architecture="dummy", resolution=32, attention_resolutions=(16,))) == stages


def test_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AUGMENTATIONS, "dummy", Augmentation(lambda images, draws: images * 2.0, 1))
    augment = create_augmentation(("dummy",))
    numbers = RandomNumbers(tf.constant([1, 2], tf.int64), tf.range(3), 3)
    np.testing.assert_array_equal(augment(tf.ones([3, 4, 4, 1]), numbers), np.full([3, 4, 4, 1], 2.0))


def test_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "dummy", dataclasses.replace(METRICS["fcd"], protocol="dummy"))
    (metric,) = find_metrics(["dummy2k"])
    assert (metric.family.protocol, metric.num_images) == ("dummy", 2000)


def test_extractor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRACTORS, "dummy", lambda options: options.name)
    opened: object = open_extractor(ExtractorOptions("dummy"))
    assert opened == "dummy"
