"""The client requests images from a server by gRPC and by REST."""

from __future__ import annotations

import concurrent.futures
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.serving import transports
from sagan_tf.serving.classes import Classes
from sagan_tf.serving.connection import Client
from sagan_tf.serving.transports import RequestRefusedError, ServerBusyError
from tests.serving.model_server import ServerAddresses
from tests.serving.small_model import LATENT_DIM, read_color
from tests.workers import find_free_ports

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(params=["grpc", "rest"])
def address(request: pytest.FixtureRequest, server: ServerAddresses) -> dict[str, Any]:
    return {"server": getattr(server, request.param), "rest": request.param == "rest"}


@pytest.fixture
def client(address: dict[str, Any]) -> Iterator[Client]:
    with Client(**address, classes=Classes(3, ("Bag", "Shirt", "Coat")), timeout_s=20.0) as client:
        yield client


class Recorder:
    """A transport that records its requests, raises given errors and then answers with the labels."""

    def __init__(self, *errors: Exception) -> None:
        self.requests: list[dict[str, np.ndarray]] = []
        self.errors = list(errors)

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout_s: float) -> np.ndarray:
        self.requests.append(dict(inputs))
        if self.errors:
            raise self.errors.pop(0)
        return inputs["labels"].astype(object)


def create_recorded_client(*errors: Exception, **options: Any) -> tuple[Client, Recorder]:
    client, recorder = Client("localhost:1", rest=True, **options), Recorder(*errors)
    client.transport = recorder  # type: ignore[assignment]
    return client, recorder


def test_generate(client: Client) -> None:
    files = client.generate([258, 1], [2, "Shirt"], 0.5)
    assert [read_color(png) for png in files] == [[2, 2, 5], [1, 1, 5]]
    assert client.generate(np.array([258]), np.array([2])) == client.generate([258], ["coat"], [np.inf])
    assert read_color(client.generate([258], [2])[0]) == [2, 2, 80]  # 8 is no truncation


def test_images_and_attention(client: Client) -> None:
    latents = np.random.default_rng(0).normal(size=(3, LATENT_DIM)).astype(np.float32)
    images = client.images(latents, [0, 1, 2])
    assert images.dtype == np.float32 and images.shape == (3, 8, 8, 1)
    np.testing.assert_allclose(images[:, 0, 0, 0], (latents[:, 0] + [0, 1, 2]) * 0.125, rtol=1e-6)
    maps = client.attention(latents, [0, 1, 2], [[0, 1], [1, 0], [1, 1]])
    assert maps.dtype == np.float32 and maps.reshape(3, 4).argmax(axis=1).tolist() == [1, 2, 3]


def test_the_metadata_of_the_model(client: Client) -> None:
    assert client.is_ready()
    assert client.metadata().version == 3
    assert client.signatures()["generate"].inputs["seeds"].dtype == "int64"


def test_many_rows_are_several_requests_answered_in_order(address: dict[str, Any]) -> None:
    seeds = np.arange(600)
    with Client(**address) as client:
        pixels = [read_color(png) for png in client.generate(seeds, seeds % 3, seeds % 7)]
    assert pixels == [[seed % 256, seed % 3, seed % 7 * 10] for seed in range(600)]
    client, recorder = create_recorded_client(batch_size=4)
    assert client.generate(np.arange(10), np.arange(10)) == list(range(10))
    assert [inputs["seeds"].tolist() for inputs in recorder.requests] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(len(inputs["truncation"]) == len(inputs["labels"]) for inputs in recorder.requests)


def test_threads_share_a_client(client: Client) -> None:
    def ask(seed: int) -> list[int]:
        return read_color(client.generate([seed], [seed % 3])[0])

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(100))) == [[seed, seed % 3, 80] for seed in range(100)]


def test_the_server_refuses_invalid_requests(client: Client, address: dict[str, Any]) -> None:
    with pytest.raises(RequestRefusedError, match="^generate: .*labels: expected 0 to 2"):
        client.generate([1], [3])
    with pytest.raises(RequestRefusedError, match="^serving_default: "):
        client.images(np.zeros((1, LATENT_DIM + 1)), [0])
    with Client(**address, model="other") as wrong_client, pytest.raises(RequestRefusedError, match="^model: .*other"):
        wrong_client.generate([1], [0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.generate([1], ["xyz"]), "labels: .*'xyz'.*Bag,Shirt,Coat"),
        (lambda client: client.generate([1, 2], [1]), "generate: expected as many rows of each"),
        (lambda client: client.generate([], []), "generate: expected at least one row"),
        (lambda client: client.generate([0.5], [1]), "seeds: expected whole numbers"),
        (lambda client: client.generate([1], [1], -1.0), "truncation: .*received -1.0"),
        (lambda client: client.generate([1], [1], np.nan), "truncation: .*received nan"),
        (lambda client: client.generate([1], [1], "x"), "truncation: .*received x"),
        (lambda client: client.generate([1, 2], [1, 2], [1.0]), "generate: expected as many rows of each"),
        (lambda client: client.images([[np.inf] * 4], [1]), "latents: expected finite"),
        (lambda client: client.attention([[0.0] * 4], [1], [[0.5, 1]]), "queries: expected whole numbers"),
    ],
)
def test_invalid_arguments_are_not_sent(call: Any, message: str) -> None:
    client, recorder = create_recorded_client(classes=Classes(3, ("Bag", "Shirt", "Coat")))
    with pytest.raises(UserError, match=message):
        call(client)
    assert not recorder.requests


@pytest.mark.parametrize("options", [{"timeout_s": 0.0}, {"batch_size": 0}, {"batch_size": 257}])
def test_invalid_options(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"^{next(iter(options)).removesuffix('_s')}: expected"):
        Client("localhost:1", rest=True, **options)


def test_a_busy_server_is_retried_and_a_refusal_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "_INITIAL_WAIT_S", 0.001)
    client, recorder = create_recorded_client(ServerBusyError("busy"), ServerBusyError("busy"))
    assert client.generate([1], [7]) == [7] and len(recorder.requests) == 3
    client, recorder = create_recorded_client(RequestRefusedError("wrong"))
    with pytest.raises(RequestRefusedError):
        client.generate([1], [7])
    assert len(recorder.requests) == 1


def test_an_answer_with_a_wrong_number_of_rows() -> None:
    client, recorder = create_recorded_client()
    recorder.predict = lambda *_: np.zeros(3)  # type: ignore[method-assign]
    with pytest.raises(UserError, match=r"generate: .*png_bytes.*\[3\]"):
        client.generate([1], [7])


@pytest.mark.parametrize("rest", [False, True])
def test_no_server_is_an_error(rest: bool) -> None:
    (port,) = find_free_ports(1)
    with Client(f"127.0.0.1:{port}", rest=rest, timeout_s=0.5) as client:
        assert not client.is_ready()
        with pytest.raises(ServerBusyError, match=r"server: .*tried . times"):
            client.generate([1], [0])


@pytest.mark.parametrize(
    ("rest", "missing"), [(True, ("tensorflow", "keras", "grpc", "google.protobuf")), (False, ("tensorflow", "keras"))]
)
def test_optional_packages_are_not_loaded(server: ServerAddresses, rest: bool, missing: tuple[str, ...]) -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n"  # a module that is None cannot be imported
        "from sagan_tf.serving.connection import Client\n"
        f"png, = Client({server.rest if rest else server.grpc!r}, rest={rest}).generate([1], [2])\n"
        "assert png.startswith(b'\\x89PNG')\n"
        "assert not {'PIL', 'absl'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_grpc_that_is_not_installed_is_an_error() -> None:
    program = "import sys; sys.modules['grpc'] = None; from sagan_tf.serving.client import run; sys.exit(run())"
    command = [sys.executable, "-c", program, "--server=localhost:1", "--output=a.png"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{sys.executable} -m pip install grpcio protobuf" in done.stderr and "--rest" in done.stderr
