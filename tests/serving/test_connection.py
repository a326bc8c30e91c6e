"""The client requests images from a server by gRPC and by REST."""

from __future__ import annotations

import concurrent.futures
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.serving.classes import Classes
from sagan_tf.serving.connection import Client
from sagan_tf.serving.transports import RequestRefusedError
from tests.serving.model_server import ModelServer
from tests.serving.served_model import Fault, ServedModel
from tests.serving.small_model import LATENT_DIM, read_color

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def client(server: ModelServer, interface: str) -> Iterator[Client]:
    classes = Classes(3, ("Bag", "Shirt", "Coat"))
    with Client(server.get_address(interface), rest=interface == "rest", classes=classes, timeout_s=20.0) as client:
        yield client


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


def test_many_rows_are_several_requests_answered_in_order(client: Client) -> None:
    seeds = np.arange(600)
    pixels = [read_color(png) for png in client.generate(seeds, seeds % 3, seeds % 7)]
    assert pixels == [[seed % 256, seed % 3, seed % 7 * 10] for seed in range(600)]


def test_the_size_of_requests(double: ModelServer, model: ServedModel) -> None:
    with Client(double.rest, rest=True, batch_size=4) as client:
        assert len(client.generate(np.arange(10), np.zeros(10, int), 0.5)) == 10
    inputs = [json.loads(body)["inputs"] for _, _, body in model.requests]
    assert [request["seeds"] for request in inputs] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [request["truncation"] for request in inputs] == [[0.5] * 4, [0.5] * 4, [0.5] * 2]


def test_threads_share_a_client(client: Client) -> None:
    def ask(seed: int) -> list[int]:
        return read_color(client.generate([seed], [seed % 3])[0])

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(100))) == [[seed, seed % 3, 80] for seed in range(100)]


def test_the_server_refuses_invalid_requests(client: Client) -> None:
    with pytest.raises(RequestRefusedError, match="^generate: .*labels: expected 0 to 2"):
        client.generate([1], [3])
    with pytest.raises(RequestRefusedError, match="^serving_default: "):
        client.images(np.zeros((1, LATENT_DIM + 1)), [0])


@pytest.mark.parametrize(
    ("seeds", "labels", "truncation", "message"),
    [
        ([1], ["xyz"], None, "labels: .*'xyz'"),
        ([1], 1, None, "labels: .*1"),
        ([1, 2], [1], None, "generate: "),
        ([0.5], [1], None, "seeds: "),
        ([1], [1], -1.0, "truncation: .*-1.0"),
        ([1], [1], np.nan, "truncation: .*nan"),
        ([1], [1], "x", "truncation: .*x"),
        ([1, 2], [1, 2], [1.0], "generate: "),
    ],
)
def test_invalid_arguments_are_not_sent(
    double: ModelServer, model: ServedModel, seeds: Any, labels: Any, truncation: Any, message: str
) -> None:
    classes = Classes(3, ("Bag", "Shirt", "Coat"))
    with Client(double.rest, rest=True, classes=classes) as client, pytest.raises(UserError, match=f"^{message}"):
        client.generate(seeds, labels, truncation)
    assert not model.requests


@pytest.mark.parametrize(
    ("name", "axes", "message"),
    [
        ("serving_default", {"latents": 0, "labels": 1, "images": 4}, "2 .*latents.* 0 "),
        ("serving_default", {"latents": 2, "labels": 1, "images": 2}, "4 .*images.* 2 "),
        ("serving_default", {"latents": 2, "images": 4}, "labels .*latents"),
        ("other", {"latents": 2, "labels": 1, "images": 4}, "serving_default.* other"),
    ],
)
def test_a_model_that_is_not_a_generator(
    double: ModelServer, model: ServedModel, name: str, axes: dict[str, int], message: str
) -> None:
    """The error names what is different and what to do; 0 axes are an unknown shape."""
    tensors = {
        tensor: {
            "dtype": "DT_FLOAT",
            "tensor_shape": {"dim": [{"size": "-1"}] * count} if count else {"unknown_rank": True},
        }
        for tensor, count in axes.items()
    }
    signature = {
        "inputs": {tensor: info for tensor, info in tensors.items() if tensor != "images"},
        "outputs": {"images": tensors["images"]},
    }
    metadata = {"signature_def": {"signature_def": {name: signature}}}
    answer = {"model_spec": {"name": "sagan", "version": "1"}, "metadata": metadata}
    model.faults.append(Fault(chunks=(json.dumps(answer).encode(),)))
    with (
        Client(double.rest, rest=True) as client,
        pytest.raises(UserError, match=f"^model: .*{message}.*sagan_tf.export"),
    ):
        client.signature("serving_default")


@pytest.mark.parametrize(
    ("option", "value"), [("timeout_s", 0.0), ("batch_size", 0), ("batch_size", 257), ("model", ""), ("version", -1)]
)
def test_invalid_options(option: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^{option.removesuffix('_s')}: .*{value}"):
        Client("localhost:1", rest=True, **{option: value})


@pytest.mark.parametrize("address", ["http://user:secret@host:1", "user:secret@host:1"])
@pytest.mark.parametrize("rest", [False, True])
def test_an_address_with_a_password_is_refused_and_not_repeated(address: str, rest: bool) -> None:
    with pytest.raises(UserError, match="^server: ") as caught:
        Client(address, rest=rest)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("interface", "missing"),
    [("rest", ("tensorflow", "keras", "grpc", "google.protobuf")), ("grpc", ("tensorflow", "keras", "requests"))],
)
def test_packages_that_are_not_needed_are_not_loaded(
    double: ModelServer, interface: str, missing: tuple[str, ...]
) -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n"  # A module that is None cannot be imported.
        "from sagan_tf.serving.connection import Client\n"
        f"png, = Client({double.get_address(interface)!r}, rest={interface == 'rest'}).generate([1], [2])\n"
        "assert png.startswith(b'\\x89PNG')\n"
        "assert not {'PIL', 'absl'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize(("module", "packages"), [("grpc", "grpcio protobuf"), ("requests", "requests")])
def test_a_package_that_is_not_installed_is_an_error(
    monkeypatch: pytest.MonkeyPatch, module: str, packages: str
) -> None:
    for name in ("grpc_transport", "http_requests", "rest_transport"):
        monkeypatch.delitem(sys.modules, f"sagan_tf.serving.{name}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=f"^server: .*pip install {packages}"):
        Client("localhost:1", rest=module == "requests")
