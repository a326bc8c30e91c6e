"""Generators of runs and of exports: the same pictures whatever they are asked for together."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator, generator_of_run, generator_of_saved_model
from sagan_tf.generation.inference import generate_images
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.networks import build_generator
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.serving.contract import MODEL_CARD
from tests.networks.small_networks import stir
from tests.sampling.tiny_generator import NAMES, tiny_generator
from tests.training.tiny import make_state, one_device, tiny_config, two_replicas

SEEDS, LABELS = np.array([5, 9, 2**40, 7, 5]), np.array([0, 1, 2, 0, 1])


NO_SIGNATURE = (
    "saved_model: expected a signature serving_default of latents float32 [any, n] and labels int32 [any] to images "
    "[any, height, width, channels] in {}, received another"
)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return tiny_generator()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What a run of two steps leaves that is read here; its two generators differ."""
    path = tmp_path_factory.mktemp("runs") / "boots"
    state = make_state(tiny_config(), one_device())
    stir(state.generator, 4)
    stir(state.generator_ema, 5)
    state.step.assign(2)
    Checkpoints(path / "checkpoints", state, 1).save()
    (path / "flags.cfg").write_text("")
    (path / "startup.json").write_text(
        json.dumps({"data": {"num_examples": 9, "label_histogram": dict.fromkeys(NAMES, 3)}})
    )
    return path


def of_run(path: pathlib.Path, config: Config | None = None, **options: Any) -> Generator:
    return generator_of_run(str(path), lambda _: config or tiny_config(), **options)


def test_pictures_are_those_of_the_network(generator: Generator) -> None:
    found = generator.of_seeds(SEEDS, LABELS, batch_size=2)
    assert found.shape == (5, *generator.shape) == (5, 32, 32, 1) and found.dtype == np.uint8
    images = generate_images(generator.network, latents_of_seeds(SEEDS, 5), tf.constant(LABELS, tf.int32))
    np.testing.assert_allclose(found, (images + 1.0) * 127.5, atol=0.51)
    assert np.ptp(found.astype(int)) > 50


def test_each_is_a_function_of_its_own_seed_label_and_truncation(generator: Generator) -> None:
    truncation = np.array([math.inf, 0.5, 1.0, 0.0, 0.5])
    together = generator.of_seeds(SEEDS, LABELS, truncation).astype(int)
    for batch_size in (1, 3):
        others = generator.of_seeds(SEEDS[::-1], LABELS[::-1], truncation[::-1], batch_size)[::-1]
        assert np.abs(others - together).max() <= 1  # whole batches may be rounded otherwise
    others = {
        "seed": generator.of_seeds(SEEDS + 1, LABELS, truncation)[:3],
        "label": generator.of_seeds(SEEDS, (LABELS + 1) % 3, truncation),
        "truncation": generator.of_seeds(SEEDS, LABELS, truncation / 2 + 3)[1:],
    }
    for name, other in others.items():
        same_rows = together[1:] if name == "truncation" else together[: len(other)]
        assert np.abs(other - same_rows).reshape(len(other), -1).max(axis=1).min() > 2, name


def test_latents_are_taken_as_they_are(generator: Generator) -> None:
    latents = latents_of_seeds(SEEDS, 5, 0.7).numpy()
    np.testing.assert_array_equal(
        generator.of_latents(latents, LABELS, 2), generator.of_seeds(SEEDS, LABELS, 0.7, batch_size=2)
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_replicas_share_the_work(generator: Generator, count: int) -> None:
    """Also of batches that cannot be shared evenly."""
    found = tiny_generator(two_replicas()).of_seeds(SEEDS[:count], LABELS[:count])
    assert found.shape == (count, 32, 32, 1)
    assert np.abs(found.astype(int) - generator.of_seeds(SEEDS[:count], LABELS[:count])).max() <= 1


def test_names_of_classes(generator: Generator) -> None:
    assert [generator.class_name(label) for label in range(3)] == list(NAMES)
    assert dataclasses.replace(generator, class_names=()).class_name(2) == "2"
    plain = tiny_generator(conditioning="none")
    assert plain.num_classes == 0 and plain.of_seeds(SEEDS, LABELS * 0).shape == (5, 32, 32, 1)


def test_of_a_run(run_dir: pathlib.Path) -> None:
    averaged, live = of_run(run_dir), of_run(run_dir, weights="live")
    assert (averaged.name, live.name) == ("boots, step 2", "boots, step 2, live weights")
    assert (averaged.class_names, averaged.num_classes, averaged.latent_dim) == (NAMES, 3, 5)
    assert averaged.shape == (32, 32, 1) and averaged.config == tiny_config()
    for found, seed in ((averaged, 5), (live, 4)):
        expected = build_generator(tiny_config().model)
        stir(expected, seed)
        for variable, wanted in zip(found.network.variables, expected.variables, strict=True):
            if "moving" in variable.name:  # begins at the same value everywhere, unlike kernels
                np.testing.assert_array_equal(variable.numpy(), wanted.numpy())
    assert np.abs(averaged.of_seeds(SEEDS, LABELS).astype(int) - live.of_seeds(SEEDS, LABELS)).max() > 5


def test_a_run_may_be_prepared(run_dir: pathlib.Path) -> None:
    """Before it is compiled: what is changed, the pictures show."""
    asked = []

    def prepare(network: keras.Model, config: Config, num_classes: int, class_names: tuple[str, ...]) -> None:
        asked.append((config, num_classes, class_names))
        kernel = next(one for one in network.get_layer("image").variables if one.name == "kernel")
        kernel.assign(-kernel)

    usual, changed = of_run(run_dir), of_run(run_dir, prepare=prepare)
    assert asked == [(tiny_config(), 3, NAMES)]
    assert np.abs(usual.of_seeds(SEEDS, LABELS).astype(int) - changed.of_seeds(SEEDS, LABELS)).max() > 5


def test_a_run_that_does_not_know_its_classes(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "flags.cfg").write_text("")
    (tmp_path / "checkpoints").symlink_to(run_dir / "checkpoints")
    assert of_run(tmp_path).class_names == () and of_run(tmp_path).num_classes == 3


def test_what_is_no_run(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    message = r"^run_dir: expected the folder of a run, with flags.cfg in it, received "
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=message):
            of_run(path)
    with pytest.raises(UserError, match=r"^checkpoint: expected 7 in .*, received only steps 2$"):
        of_run(run_dir, checkpoint="7")
    with pytest.raises(UserError, match=r"^checkpoint: expected one of this configuration, received "):
        of_run(run_dir, tiny_config(base_channels=4))


class Exported(tf.Module):
    """A generator of an affine function: the class is the pictures' brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable(0.1)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2], tf.float32, name="latents"),
            tf.TensorSpec([None], tf.int32, name="labels"),
        ]
    )
    def images(self, latents: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.tile(latents[:, :, tf.newaxis, tf.newaxis], [1, 1, 2, 1]) * self.scale
        return {"images": tf.clip_by_value(images + tf.cast(labels, tf.float32)[:, None, None, None] / 4.0, -1.0, 1.0)}


@pytest.fixture
def saved_model(tmp_path: pathlib.Path) -> pathlib.Path:
    module = Exported()
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.images})
    return tmp_path / "model"


def message_of(path: pathlib.Path) -> str:
    with pytest.raises(UserError) as caught:
        generator_of_saved_model(str(path))
    return str(caught.value)


def test_of_an_export(saved_model: pathlib.Path) -> None:
    found = generator_of_saved_model(str(saved_model))
    assert (found.latent_dim, found.num_classes, found.class_names, found.shape) == (2, 0, (), (2, 2, 1))
    assert found.network is None and found.config is None and found.name == str(saved_model)
    latents, labels = latents_of_seeds(SEEDS, 2, 1.0).numpy(), LABELS
    expected = (np.clip(0.1 * latents + labels[:, np.newaxis] / 4, -1.0, 1.0) + 1.0) * 127.5
    pictures = found.of_seeds(SEEDS, LABELS, 1.0, 2)
    np.testing.assert_allclose(pictures[..., 0, 0], expected, atol=0.51)
    np.testing.assert_array_equal(pictures[..., 0, 0], pictures[..., 1, 0])


def test_the_card_beside_an_export_names_its_classes(saved_model: pathlib.Path) -> None:
    (saved_model / MODEL_CARD).write_text(json.dumps({"class_names": ["a", "b", "c"], "other": 1}))
    found = generator_of_saved_model(str(saved_model))
    assert (found.num_classes, found.class_names) == (3, ("a", "b", "c"))
    (saved_model / MODEL_CARD).write_text(json.dumps({"num_classes": 4}))
    found = generator_of_saved_model(str(saved_model))
    assert (found.num_classes, found.class_names) == (4, ())


@pytest.mark.parametrize(
    "card",
    ["{", "[]", '{"class_names": null}', '{"num_classes": "ten"}', '{"class_names": ["a"], "num_classes": 2}', "\xff"],
)
def test_a_card_that_is_none(saved_model: pathlib.Path, card: str) -> None:
    (saved_model / MODEL_CARD).write_text(card, encoding="latin-1")
    expected = f"model_card: expected a card with class_names and num_classes in {saved_model / MODEL_CARD}, received "
    assert message_of(saved_model).startswith(expected)


def test_what_is_no_export(saved_model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    expected = f"saved_model: expected a SavedModel (saved_model.pb and variables) in {tmp_path}, received none"
    assert message_of(tmp_path) == expected
    (saved_model / "saved_model.pb").write_bytes(b"no model")
    damaged = message_of(saved_model)
    assert damaged.startswith(f"saved_model: expected an intact SavedModel in {saved_model}, received ")
    assert "\n" not in damaged


@pytest.mark.parametrize("signatures", [True, False])
def test_another_signature(signatures: bool, tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.double = tf.function(lambda x: {"images": 2.0 * x}, input_signature=[tf.TensorSpec([None], tf.float32)])
    options = {"signatures": {"serving_default": module.double}} if signatures else {}
    tf.saved_model.save(module, str(tmp_path), **options)
    assert message_of(tmp_path) == NO_SIGNATURE.format(tmp_path)


@pytest.mark.parametrize(
    ("latents", "labels", "images"),
    [
        ([None, None], [None], [8, 8, 1]),
        (None, [None], [8, 8, 1]),
        ([1, 5], [1], [8, 8, 1]),
        ([None, 5], [None, 1], [8, 8, 1]),
        ([None, 5], [None], [None, 8, 1]),
        ([None, 5], [None], [8, 8, 2]),
        ([None, 5], [None], [8, 8]),
    ],
)
def test_a_signature_of_other_shapes(
    latents: list[int | None] | None, labels: list[int | None], images: list[int | None], tmp_path: pathlib.Path
) -> None:
    module = tf.Module()
    inputs = [tf.TensorSpec(latents, tf.float32, "latents"), tf.TensorSpec(labels, tf.int32, "labels")]

    @tf.function(input_signature=inputs)
    def function(latents: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        nothing = 0 * tf.size(labels)  # not known before it runs
        made = tf.zeros(tf.stack([tf.size(labels), *(nothing + (side or 8) for side in images)]))
        return {"images": tf.ensure_shape(made, [None, *images])}

    module.function = function
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": function})
    assert message_of(tmp_path) == NO_SIGNATURE.format(tmp_path)
