"""A served export under many requests, some of them wrong: every answer right, every mistake refused, memory flat."""

from __future__ import annotations

import io
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.serving.client import Client
from tests.exporting.small_export import Exported, save_generator
from tests.serving.model_server import ServerAddresses, start_server
from tools.serving.load_generator import keys_of, main


def resident_megabytes() -> float:
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def soak(server: ServerAddresses, way: str, requests: int, path: pathlib.Path) -> dict[str, int]:
    """What came of so many requests of each of three batch sizes, a twentieth of them wrong."""
    arguments = [f"--server={getattr(server, way)}", "--batch_sizes=1,4,16", f"--requests={requests}"]
    arguments += ["--malformed=0.05", "--num_classes=3", "--concurrency=4", f"--json={path}"]
    assert main([*arguments, *(["--rest"] if way == "rest" else [])]) == 0
    return json.loads(path.read_text())["counts"]


def assert_pictures_are_the_generators(server: ServerAddresses, exported: Exported) -> None:
    """Not only the same again and again."""
    seeds, labels, truncation = map(np.array, zip(*keys_of(0, 32, 3), strict=True))
    with Client(server.grpc) as client:
        files = client.generate(seeds, labels, truncation)
    latents = latents_of_seeds(seeds, exported.config.latent_dim, truncation)
    inputs = [latents, tf.constant(labels, tf.int32)]
    expected = to_uint8(exported.network(inputs, training=False)).numpy().astype(int)
    for file, picture in zip(files, expected, strict=True):
        assert np.abs(np.asarray(Image.open(io.BytesIO(file))).astype(int) - picture).max() <= 1


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_a_few_requests(way: str, tmp_path: pathlib.Path) -> None:
    exported = save_generator(tmp_path / "sagan")
    with start_server(tmp_path / "sagan") as server:
        counts = soak(server, way, 40, tmp_path / "result.json")
        assert_pictures_are_the_generators(server, exported)
    assert (counts["good requests answered"], counts["bad requests refused"]) == (114, 6)


@pytest.mark.slow
def test_many_requests(tmp_path: pathlib.Path) -> None:
    exported = save_generator(tmp_path / "sagan")
    with start_server(tmp_path / "sagan") as server:
        soak(server, "grpc", 200, tmp_path / "warm.json")
        before = resident_megabytes()
        counts = soak(server, "grpc", 800, tmp_path / "result.json")
        after = resident_megabytes()
        assert_pictures_are_the_generators(server, exported)
    assert (counts["good requests answered"], counts["bad requests refused"]) == (2280, 120)
    assert after < 1.02 * before, f"{before:.0f} MB grew to {after:.0f}"
