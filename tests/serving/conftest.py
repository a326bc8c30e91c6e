"""Servers of a small model, shared by all tests of a process."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests.serving.model_server import TENSORFLOW_SERVING, ServerAddresses, is_installed, start_server
from tests.serving.small_model import save_small_model


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Save two versions, 1 without attention and 3, and return their parent directory."""
    base_path = tmp_path_factory.mktemp("models") / "sagan"
    save_small_model(base_path, version=1, with_attention=False)
    save_small_model(base_path, version=3)
    return base_path


@pytest.fixture(scope="session", params=["in_process", *([TENSORFLOW_SERVING] if is_installed() else [])])
def server(request: pytest.FixtureRequest, small_model: pathlib.Path) -> Iterator[ServerAddresses]:
    """Serve the model with the tests' own server and, where it is installed, with TensorFlow Serving."""
    with start_server(small_model, program=None if request.param == "in_process" else request.param) as addresses:
        yield addresses
