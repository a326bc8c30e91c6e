"""Tests of generators of runs and of exported models."""

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
from sagan_tf.generation.exported_generators import load_generator_from_saved_model
from sagan_tf.generation.generators import Generator, load_generator_from_run
from sagan_tf.generation.inference import generate_images
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.networks import build_generator
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.serving.contract import MODEL_CARD
from tests.networks.small_networks import stir
from tests.sampling.tiny_generator import NAMES, make_tiny_generator
from tests.training.tiny import make_state, one_device, tiny_config, two_replicas

SEEDS, LABELS = np.array([5, 9, 2**40, 7, 5]), np.array([0, 1, 2, 0, 1])


@pytest.fixture(scope="module")
def generator() -> Generator:
    return make_tiny_generator()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Make the files of a run of two steps that are read here; its two generators differ."""
    path = tmp_path_factory.mktemp("runs") / "boots"
    state = make_state(tiny_config(), one_device())
    stir(state.generator, 4)
    stir(state.generator_ema, 5)
    state.step.assign(2)
    Checkpoints(path / "checkpoints", state, 1).save()
    (path / "flags.cfg").write_text(tiny_config().to_flagfile())
    (path / "startup.json").write_text(
        json.dumps({"data": {"num_examples": 9, "label_histogram": dict.fromkeys(NAMES, 3)}})
    )
    return path


def load_run(path: pathlib.Path, **options: Any) -> Generator:
    return load_generator_from_run(str(path), **options)


def test_integers_are_numbers_of_classes_also_if_names_are_numbers(generator: Generator) -> None:
    numbered = dataclasses.replace(generator, class_names=("2", "0", "10"))
    for label, expected in ((2, 2), (np.int64(0), 0), ("2", 0), ("10", 2)):
        np.testing.assert_array_equal(
            numbered([label]), numbered.images_from_seeds(np.array([0]), np.array([expected]))
        )
    with pytest.raises(UserError, match="labels: .*3"):
        numbered([3])


def test_images_are_those_of_the_network(generator: Generator) -> None:
    found = generator.images_from_seeds(SEEDS, LABELS, batch_size=2)
    assert found.shape == (5, *generator.shape) == (5, 32, 32, 1) and found.dtype == np.uint8
    images = generate_images(generator.network, draw_latents_from_seeds(SEEDS, 5), tf.constant(LABELS, tf.int32))
    np.testing.assert_allclose(found, (images + 1.0) * 127.5, atol=0.51)
    assert np.ptp(found.astype(int)) > 50


def test_an_image_depends_only_on_its_seed_label_and_truncation(generator: Generator) -> None:
    truncation = np.array([math.inf, 0.5, 1.0, 0.0, 0.5])
    together: np.ndarray = generator.images_from_seeds(SEEDS, LABELS, truncation).astype(int)
    for batch_size in (1, 3):
        separate = generator.images_from_seeds(SEEDS[::-1], LABELS[::-1], truncation[::-1], batch_size)[::-1]
        assert np.abs(separate - together).max() <= 1  # batches of other sizes may be rounded differently
    changed = {
        "seed": generator.images_from_seeds(SEEDS + 1, LABELS, truncation)[:3],
        "label": generator.images_from_seeds(SEEDS, (LABELS + 1) % 3, truncation),
        "truncation": generator.images_from_seeds(SEEDS, LABELS, truncation / 2 + 3)[1:],
    }
    for name, images in changed.items():
        same_rows = together[1:] if name == "truncation" else together[: len(images)]
        assert np.abs(images - same_rows).reshape(len(images), -1).max(axis=1).min() > 2, name


def test_images_from_latents_and_from_seeds_agree(generator: Generator) -> None:
    latents = draw_latents_from_seeds(SEEDS, 5, 0.7).numpy()
    np.testing.assert_array_equal(
        generator.images_from_latents(latents, LABELS, 2), generator.images_from_seeds(SEEDS, LABELS, 0.7, batch_size=2)
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_replicas_share_batches_of_any_size(generator: Generator, count: int) -> None:
    found = make_tiny_generator(two_replicas()).images_from_seeds(SEEDS[:count], LABELS[:count])
    assert found.shape == (count, 32, 32, 1)
    assert np.abs(found.astype(int) - generator.images_from_seeds(SEEDS[:count], LABELS[:count])).max() <= 1


def test_class_names(generator: Generator) -> None:
    assert [generator.get_class_name(label) for label in range(3)] == list(NAMES)
    assert dataclasses.replace(generator, class_names=()).get_class_name(2) == "2"
    plain = make_tiny_generator(conditioning="none")
    assert plain.num_classes == 0 and plain.images_from_seeds(SEEDS, LABELS * 0).shape == (5, 32, 32, 1)


def test_loading_from_a_run(run_dir: pathlib.Path) -> None:
    ema, live = load_run(run_dir), load_run(run_dir, weights="live")
    assert (ema.name, live.name) == ("boots, step 2", "boots, step 2, live weights")
    assert (ema.class_names, ema.num_classes, ema.latent_dim) == (NAMES, 3, 5)
    assert ema.shape == (32, 32, 1) and ema.config == tiny_config()
    for found, seed in ((ema, 5), (live, 4)):
        assert found.network is not None
        expected = build_generator(tiny_config().model)
        stir(expected, seed)
        for variable, wanted in zip(found.network.variables, expected.variables, strict=True):
            if "moving" in variable.name:  # unlike kernels, these differ only through `stir`
                np.testing.assert_array_equal(variable.numpy(), wanted.numpy())
    assert np.abs(ema.images_from_seeds(SEEDS, LABELS).astype(int) - live.images_from_seeds(SEEDS, LABELS)).max() > 5


def test_a_network_is_prepared_before_it_is_compiled(run_dir: pathlib.Path) -> None:
    received = []

    def prepare(network: keras.Model, config: Config, num_classes: int, class_names: tuple[str, ...]) -> None:
        received.append((config, num_classes, class_names))
        kernel = next(variable for variable in network.get_layer("image").variables if variable.name == "kernel")
        kernel.assign(-kernel)

    usual, changed = load_run(run_dir), load_run(run_dir, prepare=prepare)
    assert received == [(tiny_config(), 3, NAMES)]
    assert (
        np.abs(usual.images_from_seeds(SEEDS, LABELS).astype(int) - changed.images_from_seeds(SEEDS, LABELS)).max() > 5
    )


def test_a_run_without_recorded_class_names(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "flags.cfg").write_text(tiny_config().to_flagfile())
    (tmp_path / "checkpoints").symlink_to(run_dir / "checkpoints")
    assert load_run(tmp_path).class_names == () and load_run(tmp_path).num_classes == 3


def test_directories_and_checkpoints_that_cannot_be_loaded(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=f"^run_dir: {path} .*flags.cfg"):
            load_run(path)
    with pytest.raises(UserError, match="^checkpoint: .*step 7 .*: 2$"):
        load_run(run_dir, checkpoint="7")
    (tmp_path / "flags.cfg").write_text(tiny_config(base_channels=4).to_flagfile())
    (tmp_path / "checkpoints").symlink_to(run_dir / "checkpoints")
    with pytest.raises(UserError, match="^checkpoint: .*step-2.*configuration"):
        load_run(tmp_path)


class Exported(tf.Module):
    """Generator that is an affine function: the class decides the brightness of the images."""

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
        load_generator_from_saved_model(str(path))
    return str(caught.value)


def test_loading_from_a_saved_model(saved_model: pathlib.Path) -> None:
    found = load_generator_from_saved_model(str(saved_model))
    assert (found.latent_dim, found.num_classes, found.class_names, found.shape) == (2, 0, (), (2, 2, 1))
    assert found.network is None and found.config is None and found.name == str(saved_model)
    latents, labels = draw_latents_from_seeds(SEEDS, 2, 1.0).numpy(), LABELS
    expected = (np.clip(0.1 * latents + labels[:, np.newaxis] / 4, -1.0, 1.0) + 1.0) * 127.5
    images = found.images_from_seeds(SEEDS, LABELS, 1.0, 2)
    np.testing.assert_allclose(images[..., 0, 0], expected, atol=0.51)
    np.testing.assert_array_equal(images[..., 0, 0], images[..., 1, 0])


def test_class_names_come_from_the_model_card(saved_model: pathlib.Path) -> None:
    (saved_model / MODEL_CARD).write_text(json.dumps({"class_names": ["a", "b", "c"], "other": 1}))
    found = load_generator_from_saved_model(str(saved_model))
    assert (found.num_classes, found.class_names) == (3, ("a", "b", "c"))
    (saved_model / MODEL_CARD).write_text(json.dumps({"num_classes": 4}))
    found = load_generator_from_saved_model(str(saved_model))
    assert (found.num_classes, found.class_names) == (4, ())


def test_missing_and_damaged_files(saved_model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    cards = ["{", "[]", '{"class_names": null}', '{"num_classes": "ten"}', "\xff"]
    for card in [*cards, '{"class_names": ["a"], "num_classes": 2}']:
        (saved_model / MODEL_CARD).write_text(card, encoding="latin-1")
        message = message_of(saved_model)
        assert message.startswith("model_card: ") and str(saved_model / MODEL_CARD) in message
    (saved_model / "saved_model.pb").write_bytes(b"no model")
    for path in (tmp_path, saved_model):
        message = message_of(path)
        assert message.startswith("saved_model: ") and str(path) in message and "\n" not in message


def assert_signature_error(path: pathlib.Path) -> None:
    message = message_of(path)
    assert message.startswith("saved_model: ") and "serving_default" in message and str(path) in message


@pytest.mark.parametrize("signatures", [True, False])
def test_a_saved_model_without_the_expected_signature(signatures: bool, tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.double = tf.function(lambda x: {"images": 2.0 * x}, input_signature=[tf.TensorSpec([None], tf.float32)])
    options = {"signatures": {"serving_default": module.double}} if signatures else {}
    tf.saved_model.save(module, str(tmp_path), **options)
    assert_signature_error(tmp_path)


@pytest.mark.parametrize(
    ("latents", "labels", "images"),
    [
        ([None, None], [None], [8, 8, 1]),
        ([1, 5], [1], [8, 8, 1]),
        ([None, 5], [None, 1], [8, 8, 1]),
        ([None, 5], [None], [None, 8, 1]),
        ([None, 5], [None], [8, 8, 2]),
    ],
)
def test_a_signature_with_wrong_shapes(
    latents: list[int | None], labels: list[int | None], images: list[int | None], tmp_path: pathlib.Path
) -> None:
    module = tf.Module()
    inputs = [tf.TensorSpec(latents, tf.float32, "latents"), tf.TensorSpec(labels, tf.int32, "labels")]

    @tf.function(input_signature=inputs)
    def function(latents: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        zero = 0 * tf.size(labels)  # a value that is not known at tracing
        result = tf.zeros(tf.stack([tf.size(labels), *(zero + (side or 8) for side in images)]))
        return {"images": tf.ensure_shape(result, [None, *images])}

    module.function = function
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": function})
    assert_signature_error(tmp_path)
