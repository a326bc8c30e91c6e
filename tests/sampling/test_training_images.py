"""Tests of opening the training images of a run."""

import dataclasses

import numpy as np
import pytest

from sagan_tf.config import Config, DataConfig, ModelConfig
from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.errors import UserError
from sagan_tf.sampling.training_images import open_training_images
from tests.data.sample_folders import build_class_directories
from tests.sampling.tiny_generator import make_sample_options


def config(data_dir: str) -> Config:
    model = ModelConfig(resolution=64, image_channels=1, num_classes=2, attention_resolutions=())
    return dataclasses.replace(Config(), model=model, data=DataConfig(dataset="folder", data_dir=data_dir))


def test_images_have_the_resolution_of_the_run(tmp_path):
    directory = str(tmp_path / "images")
    build_class_directories(tmp_path / "images")
    for data_dir, given in ((directory, ""), ("moved", directory), (str(tmp_path), directory)):
        source = open_training_images(config(data_dir), make_sample_options(mode="nearest", data_dir=given))
        assert source.num_examples == 12 and len(source.class_names) == 2
        (example,) = source.examples(seed=0, position=0).take(1).as_numpy_iterator()
        assert example["image"].shape == (64, 64, 1) and example["image"].dtype == np.uint8


@pytest.mark.parametrize("split", ["train", "reference"])
def test_images_are_of_the_split_of_the_run(split):
    data = DataConfig(dataset="fashion_mnist_10k", split=split)
    source = open_training_images(dataclasses.replace(config(""), data=data), make_sample_options(mode="nearest"))
    assert source.num_examples == len(load_arrays(split)[0])


def test_missing_training_images():
    with pytest.raises(UserError, match="^data_dir: "):
        open_training_images(config("moved"), make_sample_options())
