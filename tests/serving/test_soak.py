"""Many requests to a served export: every answer is correct, malformed requests are refused, memory stays constant."""

from __future__ import annotations

import io
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.serving.client import Client
from tests.exporting.small_export import Exported, save_generator
from tests.serving.model_server import ModelServer, start_server
from tools.serving.load_generator import choose_keys, run


def read_resident_megabytes() -> float:
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def send_requests(server: ModelServer, interface: str, requests: int, path: pathlib.Path) -> dict[str, int]:
    """Send requests of three batch sizes, 5% of them malformed, and return the counts of outcomes."""
    arguments = [f"--server={server.get_address(interface)}", "--batch_sizes=1,4,16", f"--requests={requests}"]
    arguments += ["--malformed=0.05", "--num_classes=3", "--concurrency=4", f"--json={path}"]
    assert run([*arguments, *(["--rest"] if interface == "rest" else [])]) == 0
    return json.loads(path.read_text())["counts"]


def assert_images_match_the_generator(server: ModelServer, exported: Exported) -> None:
    seeds, labels, truncation = map(np.array, zip(*choose_keys(0, 32, 3), strict=True))
    with Client(server.grpc) as client:
        files = client.generate(seeds, labels, truncation)
    latents = draw_latents_from_seeds(seeds, exported.config.latent_dim, truncation)
    inputs = [latents, tf.constant(labels, tf.int32)]
    expected = to_uint8(exported.network(inputs, training=False)).numpy().astype(int)
    for file, image in zip(files, expected, strict=True):
        assert np.abs(np.asarray(Image.open(io.BytesIO(file))).astype(int) - image).max() <= 1


def test_a_few_requests(tmp_path: pathlib.Path) -> None:
    exported = save_generator(tmp_path / "sagan")
    with start_server(tmp_path / "sagan") as server:
        for interface in ("grpc", "rest"):
            counts = send_requests(server, interface, 40, tmp_path / "result.json")
            assert (counts["good requests answered"], counts["bad requests refused"]) == (114, 6)
        assert_images_match_the_generator(server, exported)


@pytest.mark.slow
def test_many_requests(tmp_path: pathlib.Path) -> None:
    exported = save_generator(tmp_path / "sagan")
    with start_server(tmp_path / "sagan") as server:
        send_requests(server, "grpc", 200, tmp_path / "warm.json")
        before = read_resident_megabytes()
        counts = send_requests(server, "grpc", 800, tmp_path / "result.json")
        after = read_resident_megabytes()
        assert_images_match_the_generator(server, exported)
    assert (counts["good requests answered"], counts["bad requests refused"]) == (2280, 120)
    assert after < 1.02 * before, f"{before:.0f} MB grew to {after:.0f}"
