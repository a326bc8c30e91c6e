"""Networks saved as `.keras` files and loaded by a process that only imports their package."""

import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from sagan_tf.networks import build_discriminator, build_generator
from tests.networks.small_networks import images, labels, latents, small_config, stir

PROGRAM = """
import sys
import keras, numpy as np
import sagan_tf.networks
directory = sys.argv[1]
inputs = np.load(f"{directory}/inputs.npz")
for name, first in (("generator", "latents"), ("discriminator", "images")):
    network = keras.saving.load_model(f"{directory}/{name}.keras")
    np.save(f"{directory}/{name}.npy", network([inputs[first], inputs["labels"]], training=False))
"""


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # warning of Keras
def test_custom_objects_are_registered(tmp_path: pathlib.Path) -> None:
    config = small_config(base_channels=2)
    inputs: dict[str, Any] = {"latents": latents(config=config), "images": images(config=config), "labels": labels()}
    np.savez(tmp_path / "inputs.npz", **inputs)
    networks = {"generator": build_generator(config), "discriminator": build_discriminator(config)}
    for name, network in networks.items():
        stir(network)
        network.save(tmp_path / f"{name}.keras")
    root = pathlib.Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=True, cwd=root, capture_output=True)
    for name, first in (("generator", "latents"), ("discriminator", "images")):
        expected = networks[name]([inputs[first], inputs["labels"]], training=False)
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, atol=1e-5, rtol=1e-5)
