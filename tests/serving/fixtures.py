"""Fixtures with servers of a small model, shared by the tests of a process."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterator

import pytest

from sagan_tf.serving import retries
from tests.serving.model_server import TENSORFLOW_SERVING, ModelServer, is_installed, start_server
from tests.serving.served_model import ServedModel
from tests.serving.small_model import save_small_model


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Save two equal versions, 1 and 3, and return their parent directory."""
    base_path = tmp_path_factory.mktemp("models") / "sagan"
    shutil.copytree(save_small_model(base_path, version=3), base_path / "1")
    return base_path


@pytest.fixture(scope="session")
def double(small_model: pathlib.Path) -> Iterator[ModelServer]:
    """Serve the model with the tests' own server."""
    with start_server(small_model) as double:
        yield double


@pytest.fixture(scope="session", params=["double", *([TENSORFLOW_SERVING] if is_installed() else [])])
def server(request: pytest.FixtureRequest, small_model: pathlib.Path) -> Iterator[ModelServer]:
    """Serve the model with the tests' own server and, where it is installed, with TensorFlow Serving."""
    if request.param == "double":
        yield request.getfixturevalue("double")
    else:
        with start_server(small_model, program=request.param) as started:
            yield started


@pytest.fixture
def model(double: ModelServer) -> Iterator[ServedModel]:
    """Return the model of the tests' own server, which a test can make faulty for the next requests."""
    assert double.model is not None
    double.model.requests.clear()
    yield double.model
    double.model.faults.clear()
    double.model.state = "AVAILABLE"


@pytest.fixture(params=["grpc", "rest"])
def interface(request: pytest.FixtureRequest) -> str:
    """Run a test with both interfaces."""
    return request.param


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits between attempts."""
    monkeypatch.setattr(retries, "INITIAL_WAIT_S", 0.01)
