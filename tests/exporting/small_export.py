"""Small networks in which every weight affects the output, and their exports, saved and loaded again."""

import dataclasses
import json
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import Config, DataConfig, EvaluationConfig, ModelConfig
from sagan_tf.exporting.atomic_directories import replace_directories_atomically
from sagan_tf.exporting.model_card import Origin, build_model_card
from sagan_tf.exporting.saved_model import write_saved_model
from sagan_tf.exporting.signatures import ExportedNetwork, export_discriminator, export_generator, get_generator_sizes
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.networks.architectures import count_used_classes
from sagan_tf.runs.checkpoints import Checkpoints
from tests.networks.small_networks import labels, latents, small_config, stir
from tests.training.tiny import make_state, one_device, tiny_config

NAMES = ("apple", "banana", "cherry")

GENERATORS: dict[str, dict[str, Any]] = {
    "conditional": {},
    "gray and unconditional": {"architecture": "sngan", "conditioning": "none", "image_channels": 1},
    "dcgan": {"architecture": "dcgan", "base_channels": 4},
    "latents to every block": {"attention_form": "paper", "latents_to_every_block": True, "latent_dim": 8},
    "two layers of full attention": {"attention_form": "full", "attention_resolutions": (8, 16)},
    "parameter-matched block": {"attention_block": "residual"},
}
"""Options of the tested generators.

The first has attention, spectral normalization, three classes and colors, the second and the third only a part of them.
"""
DISCRIMINATORS: dict[str, dict[str, Any]] = {
    "projection": {},
    "auxiliary classifier": {"conditioning": "auxiliary_classifier", "image_channels": 1},
    "unconditional": {"conditioning": "none", "attention_form": "paper", "discriminator_spectral_norm": False},
}


@dataclasses.dataclass(frozen=True)
class Exported:
    """A network, the directory of its SavedModel, and the SavedModel, whose signatures hold its variables weakly."""

    config: ModelConfig
    network: keras.Model
    path: pathlib.Path
    model: Any

    def call(self, signature: str, **inputs: Any) -> np.ndarray:
        """Return the only output of a signature."""
        (output,) = self.model.signatures[signature](**tensors(inputs)).values()
        return output.numpy()

    def error_message(self, signature: str, **inputs: Any) -> str:
        """Return the message of the InvalidArgumentError that a call raises."""
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            self.call(signature, **inputs)
        return caught.value.message


def tensors(arrays: dict[str, Any]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in arrays.items()}


def export_config(**options: Any) -> ModelConfig:
    return small_config(**{"base_channels": 2, **options})


def make_generator(config: ModelConfig) -> keras.Model:
    """Return a generator with weights that depend on the configuration only, whose images are not saturated."""
    keras.utils.set_random_seed(1)
    network = build_generator(config)
    stir(network)
    kernel, inputs = network.get_layer("image").weights[0], inputs_for(config, 8)
    while np.abs(network(list(inputs.values()), training=False)).max() > 0.95 and not config.generator_spectral_norm:
        kernel.assign(0.5 * kernel)  # otherwise the last tanh would hide most errors
    return network


def inputs_for(config: ModelConfig, batch: int = 3) -> dict[str, np.ndarray]:
    """Return latents and valid labels."""
    return {"latents": latents(batch, config), "labels": labels(batch) % max(count_used_classes(config), 1)}


def make_origin(config: ModelConfig, **options: Any) -> Origin:
    class_names = NAMES[: count_used_classes(config)]
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


def make_card(config: ModelConfig, network: keras.Model) -> dict[str, Any]:
    return build_model_card(make_origin(config), count_used_classes(config), get_generator_sizes(network), {})


def save_generator(directory: pathlib.Path, **options: Any) -> Exported:
    """Export a generator of `export_config(**options)` as version 7 in a directory, and load it."""
    config = export_config(**options)
    network = make_generator(config)
    exported = export_generator(network, count_used_classes(config))
    return _save(directory / "7", config, network, exported, make_card(config, network))


def save_discriminator(directory: pathlib.Path, **options: Any) -> Exported:
    """Export a discriminator of `export_config(**options)` as version 7 in a directory, and load it."""
    config = export_config(**options)
    keras.utils.set_random_seed(1)
    network = build_discriminator(config)
    stir(network)
    exported = export_discriminator(network, count_used_classes(config))
    return _save(directory / "7", config, network, exported, {"class_names": []})


def _save(
    path: pathlib.Path, config: ModelConfig, network: keras.Model, exported: ExportedNetwork, card: dict[str, Any]
) -> Exported:
    with replace_directories_atomically([path]) as (new,):
        write_saved_model(exported, card, new)
    return Exported(config, network, path, tf.saved_model.load(str(path)))


def list_files(directory: pathlib.Path) -> list[str]:
    """Return the relative paths of everything in a directory, including hidden files."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def save_run(path: pathlib.Path, class_names: tuple[str, ...] = NAMES, **options: Any) -> pathlib.Path:
    """Write the files of a run of two steps that other commands read; its three networks differ."""
    config = tiny_config(dataset="fashion_mnist_10k", num_classes=len(class_names), **options)
    state = make_state(config, one_device())
    for seed, network in enumerate((state.generator, state.generator_ema, state.discriminator), start=4):
        stir(network, seed)
    state.step.assign(2)
    Checkpoints(path / "checkpoints", state, 1).save()
    (path / "flags.cfg").write_text(config.to_flagfile())
    (path / "versions.json").write_text('{"tensorflow": "2.21.0"}')
    data = {"num_examples": 9, "label_histogram": dict.fromkeys(class_names, 3)}
    (path / "startup.json").write_text(json.dumps({"data": data}))
    lines = [
        {"step": step, "kind": "evaluation", "generator_weights": weights, "fcd10k": value}
        for step, weights, value in ((1, "ema", 9.0), (2, "ema", 1.5), (2, "live", 7.0))
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
