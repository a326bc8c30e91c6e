"""Fixtures of the tests of extractors."""

import pytest

from tests.features.fake_extractors import save_extractor


@pytest.fixture(scope="session")
def hub_module(tmp_path_factory):
    """The directory of a SavedModel with the interface of TF-GAN's Inception, and its network; tests only read it."""
    directory = tmp_path_factory.mktemp("hub") / "module"
    return directory, save_extractor(directory)
