"""Fixtures of the tests of exports."""

import pytest

from tests.exporting.small_export import save_generator


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """The export of the generator of `export_config()`; tests only read it."""
    return save_generator(tmp_path_factory.mktemp("exports"))
