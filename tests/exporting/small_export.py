"""Small networks whose weights all count, their exports as they are read back, and what an export refuses."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import Config, DataConfig, EvaluationConfig, ModelConfig
from sagan_tf.exporting.atomic_directories import whole_folders
from sagan_tf.exporting.model_card import Origin, model_card
from sagan_tf.exporting.saved_model import write_saved_model
from sagan_tf.exporting.signatures import export_discriminator, export_generator, generator_sizes
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.networks.architectures import used_classes
from tests.networks.small_networks import labels, latents, small_config, stir

GENERATORS: dict[str, dict[str, Any]] = {
    "conditional": {},
    "unconditional": {"conditioning": "none"},
    "without attention": {"attention_resolutions": ()},
    "without spectral normalisation": {"generator_spectral_norm": False},
    "sngan": {"architecture": "sngan"},
    "dcgan": {"architecture": "dcgan", "base_channels": 4},
    "attention of the paper": {"attention_form": "paper"},
    "full attention": {"attention_form": "full"},
    "two attention layers": {"attention_resolutions": (8, 16)},
    "latents to every block": {"latents_to_every_block": True, "latent_dim": 8},
    "grey": {"image_channels": 1},
    "parameter-matched block": {"attention_block": "residual"},
}
"""Options by what is particular; the first has attention, three classes and colours."""
DISCRIMINATORS: dict[str, dict[str, Any]] = {
    "projection": {},
    "auxiliary classifier": {"conditioning": "auxiliary_classifier", "image_channels": 1},
    "unconditional": {"conditioning": "none", "attention_form": "paper", "discriminator_spectral_norm": False},
}


@dataclasses.dataclass(frozen=True)
class Exported:
    """A generator, and its SavedModel as it is read back.

    Attributes:
        config: of the network.
        network: the Keras network.
        path: the version's folder.
        model: what `tf.saved_model.load` gives; kept, since its signatures hold its variables weakly.
    """

    config: ModelConfig
    network: keras.Model
    path: pathlib.Path
    model: Any

    def call(self, signature: str, **inputs: Any) -> np.ndarray:
        """The only output of a signature."""
        (output,) = self.model.signatures[signature](**tensors(inputs)).values()
        return output.numpy()

    def refusal(self, signature: str, **inputs: Any) -> str:
        """What an InvalidArgumentError says first."""
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            self.call(signature, **inputs)
        return caught.value.message


def tensors(arrays: dict[str, Any]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in arrays.items()}


def export_config(**options: Any) -> ModelConfig:
    return small_config(**{"base_channels": 2, **options})


def make_generator(config: ModelConfig) -> keras.Model:
    """Of random weights, the same for the same configuration; its pictures are away from black and white."""
    keras.utils.set_random_seed(1)
    network = build_generator(config)
    stir(network)
    kernel, inputs = network.get_layer("image").weights[0], inputs_for(config, 8)
    while np.abs(network(list(inputs.values()), training=False)).max() > 0.95 and not config.generator_spectral_norm:
        kernel.assign(0.5 * kernel)  # else the last tanh would hide most errors
    return network


def make_discriminator(config: ModelConfig) -> keras.Model:
    keras.utils.set_random_seed(1)
    network = build_discriminator(config)
    stir(network)
    return network


def inputs_for(config: ModelConfig, batch: int = 3) -> dict[str, np.ndarray]:
    """Latents, and labels that the generator takes."""
    return {"latents": latents(batch, config), "labels": labels(batch) % max(used_classes(config), 1)}


def origin_of(config: ModelConfig, **options: Any) -> Origin:
    class_names = ("apple", "banana", "cherry")[: used_classes(config)]
    defaults: dict[str, Any] = {
        "run": "boots",
        "config": Config(model=config, data=DataConfig("folder"), evaluation=EvaluationConfig()),
        "class_names": class_names,
        "step": 7,
        "weights": "ema",
        "metrics": {"step": 7, "fid50k": 12.5},
        "versions": {"python": "3.11"},
    }
    return Origin(**{**defaults, **options})


def card_of(config: ModelConfig, network: keras.Model) -> dict[str, Any]:
    return model_card(origin_of(config), used_classes(config), generator_sizes(network), {})


def save_generator(folder: pathlib.Path, version: int = 7, **options: Any) -> Exported:
    """Exports a generator of `export_config(**options)` as a version of a folder, and loads it."""
    config = export_config(**options)
    network = make_generator(config)
    path = folder / str(version)
    with whole_folders([path]) as (new,):
        write_saved_model(export_generator(network, used_classes(config)), card_of(config, network), new)
    return Exported(config, network, path, tf.saved_model.load(str(path)))


def save_discriminator(folder: pathlib.Path, **options: Any) -> Exported:
    """The same for a discriminator."""
    config = export_config(**options)
    network = make_discriminator(config)
    path = folder / "7"
    with whole_folders([path]) as (new,):
        write_saved_model(export_discriminator(network, used_classes(config)), {"class_names": []}, new)
    return Exported(config, network, path, tf.saved_model.load(str(path)))


def files_below(folder: pathlib.Path) -> list[str]:
    """Everything in a folder, hidden or not, by its path from there."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
