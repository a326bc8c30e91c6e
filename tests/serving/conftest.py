"""Servers of a small model, which the tests of a process share."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests.exporting.small_model import save_small_model
from tests.serving.model_server import TENSORFLOW_SERVING, ServerAddresses, is_installed, start_server


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of its versions: 1 without attention, and 3."""
    base_path = tmp_path_factory.mktemp("models") / "sagan"
    save_small_model(base_path, version=1, with_attention=False)
    save_small_model(base_path, version=3)
    return base_path


@pytest.fixture(scope="session", params=["here", *([TENSORFLOW_SERVING] if is_installed() else [])])
def server(request: pytest.FixtureRequest, small_model: pathlib.Path) -> Iterator[ServerAddresses]:
    """The model in the tests' own server and, where it is installed, in TensorFlow Serving itself."""
    with start_server(small_model, program=None if request.param == "here" else request.param) as addresses:
        yield addresses
