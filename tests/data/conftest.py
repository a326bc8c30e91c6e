"""Data sets that several tests share and no test changes."""

import warnings
from pathlib import Path

import pytest

from tests.data.miniature_imagenet import build_miniature_imagenet
from tests.data.sample_folders import build_record_files


@pytest.fixture(scope="session")
def miniature_imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFDS data directory with a miniature `imagenet2012`: 18 training images of 3 classes."""
    data_dir = tmp_path_factory.mktemp("miniature_imagenet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of TFDS itself
        build_miniature_imagenet(data_dir)
    return data_dir


@pytest.fixture(scope="session")
def record_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with 3 record files of 5 images each, of 3 classes."""
    data_dir = tmp_path_factory.mktemp("record_files")
    build_record_files(data_dir)
    return data_dir


@pytest.fixture(scope="session")
def one_record_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one record file of 17 images without labels."""
    data_dir = tmp_path_factory.mktemp("one_record_file")
    build_record_files(data_dir, records_per_file=(17,), num_classes=0)
    return data_dir
