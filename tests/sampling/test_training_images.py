"""The images of a run: at its size, from where they lie now."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest

from sagan_tf.config import Config, DataConfig, ModelConfig
from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.sampling.training_images import config_of_run, open_training_images
from tests.data.sample_folders import build_class_folders
from tests.sampling.tiny_generator import sample_options


def config(data_dir: str) -> Config:
    model = ModelConfig(resolution=64, image_channels=1, num_classes=2, attention_resolutions=())
    return dataclasses.replace(Config(), model=model, data=DataConfig(dataset="folder", data_dir=data_dir))


def test_they_have_the_size_of_the_run_wherever_they_lie(tmp_path: pathlib.Path) -> None:
    folder = str(tmp_path / "images")
    build_class_folders(tmp_path / "images")
    for data_dir, given in ((folder, ""), ("moved", folder), (str(tmp_path), folder)):
        source = open_training_images(config(data_dir), sample_options(mode="nearest", data_dir=given))
        assert source.num_examples == 12 and len(source.class_names) == 2
        (example,) = source.examples(seed=0, position=0).take(1).as_numpy_iterator()
        assert example["image"].shape == (64, 64, 1) and example["image"].dtype == np.uint8


@pytest.mark.parametrize("split", ["train", "reference"])
def test_they_are_of_the_split_of_the_run(split: str) -> None:
    data = DataConfig(dataset="fashion_mnist_10k", split=split)
    source = open_training_images(dataclasses.replace(config(""), data=data), sample_options(mode="nearest"))
    assert source.num_examples == len(load_arrays(split)[0])


def test_they_are_not_there() -> None:
    with pytest.raises(UserError, match="^data_dir: expected "):
        open_training_images(config("moved"), sample_options())


def test_an_export_has_none() -> None:
    export = Generator("model", 2, 0, (), (32, 32, 1), "", lambda latents, labels: latents)
    with pytest.raises(UserError) as caught:
        config_of_run(export, sample_options(mode="nearest"))
    assert str(caught.value) == "saved_model: expected --run_dir for mode nearest, received an export"
    assert config_of_run(dataclasses.replace(export, config=config("a")), sample_options()) == config("a")
