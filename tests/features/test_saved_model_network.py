"""SavedModels as networks of extractors: supported interfaces, and errors for unsupported ones."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from tests.features.fake_extractors import (
    INCEPTION_FEATURES,
    INCEPTION_LOGITS,
    FakeNetwork,
    assert_outputs,
    open_saved_model,
    random_images,
    resize_with_pillow,
    save_extractor,
)


def test_a_saved_model_is_an_extractor(hub_module: tuple[Path, FakeNetwork]) -> None:
    directory, network = hub_module
    extractor = open_saved_model(directory)
    assert (extractor.name, extractor.size, extractor.channels) == (str(directory), None, 3)
    assert extractor.class_names == ()
    assert re.fullmatch("saved_model/pool_3,logits/[0-9a-f]{16}", extractor.identifier)
    images = random_images(9, 9)
    assert_outputs(extractor, images, network.outputs(tf.cast(images, tf.float32) / 127.5 - 1.0))
    assert [output.shape for output in extractor(images)] == [(3, INCEPTION_FEATURES), (3, INCEPTION_LOGITS)]


def test_outputs_of_the_fake_network_depend_on_every_pixel(hub_module: tuple[Path, FakeNetwork]) -> None:
    """The other tests would prove nothing otherwise."""
    _, network = hub_module
    images = tf.constant(np.random.default_rng(1).uniform(-1.0, 1.0, size=(2, 4, 4, 3)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        features, logits = network.outputs(images)
    for output in (features, logits):
        gradient = tape.gradient(output, images)
        assert np.abs(gradient).min() > 0.0


@pytest.mark.parametrize(
    ("saved", "size", "channels"),
    [
        ({"image_shape": (8, 8, 3)}, (8, 8), 3),
        ({"image_shape": (8, 6, 1)}, (8, 6), 1),
        ({"image_shape": (None, None, None)}, None, None),
        ({"image_shape": None}, None, None),
        ({"has_call": False, "signature_dtype": tf.float32}, None, 3),
        ({"signature_dtype": tf.float32}, None, 3),
        # A signature with images uint8 is ignored, since the model has a __call__ with images float32.
        ({"signature_dtype": tf.uint8}, None, 3),
        ({"flat": False}, None, 3),
    ],
    ids=["fixed", "fixed gray", "any channels", "any shape", "signature", "both", "uint8 signature", "not flat"],
)
def test_supported_interfaces(
    tmp_path: Path, saved: dict[str, Any], size: tuple[int, int] | None, channels: int | None
) -> None:
    network = save_extractor(tmp_path, **saved)
    extractor = open_saved_model(tmp_path)
    assert (extractor.size, extractor.channels) == (size, channels)
    images = random_images(13, 13, channels=channels or 3)
    assert_outputs(extractor, images, network.outputs(resize_with_pillow(images, size or (13, 13))))


def test_gray_images_are_repeated_for_a_color_model(hub_module: tuple[Path, FakeNetwork]) -> None:
    extractor = open_saved_model(hub_module[0])
    gray = random_images(9, 9, channels=1)
    assert_outputs(extractor, gray, extractor(tf.repeat(gray, 3, axis=-1)))


def test_batches_of_any_length_are_traced_once(tmp_path: Path) -> None:
    save_extractor(tmp_path, image_shape=(8, 8, 3), flat=False)
    extractor = open_saved_model(tmp_path)
    compiled = tf.function(extractor, input_signature=[tf.TensorSpec([None, 9, 9, 3], tf.uint8)])
    for count in (1, 4):
        images = random_images(9, 9, count=count)
        assert_outputs(extractor, images, compiled(images))
    assert compiled.experimental_get_tracing_count() == 1


def test_outputs_are_chosen_by_name(tmp_path: Path) -> None:
    network = save_extractor(tmp_path, names=("embedding", "scores"))
    extractor = open_saved_model(tmp_path, features="embedding", logits="scores")
    images = random_images(9, 9)
    assert_outputs(extractor, images, network.outputs(tf.cast(images, tf.float32) / 127.5 - 1.0))
    swapped = open_saved_model(tmp_path, features="scores", logits="embedding")
    assert_outputs(swapped, images, extractor(images)[::-1])
    assert swapped.identifier != extractor.identifier


@pytest.mark.parametrize(
    ("names", "received"),
    [
        (("embedding", "logits"), "embedding, logits"),
        (("pool_3", "scores"), "pool_3, scores"),
        (None, "outputs without names"),
    ],
)
def test_missing_outputs_are_rejected(tmp_path: Path, names: tuple[str, str] | None, received: str) -> None:
    save_extractor(tmp_path, names=names)
    message = rf"^extractor: .*pool_3 and logits in {tmp_path}, received {received}; .*--extractor_features and "
    with pytest.raises(UserError, match=message):
        open_saved_model(tmp_path)


@pytest.mark.parametrize(
    ("saved", "received"),
    [
        ({"inputs": 2}, "no signature"),
        ({"dtype": tf.uint8}, "no signature"),
        ({"has_call": False}, "no signature"),
        ({"has_call": False, "signature_dtype": tf.uint8}, "serving_default"),
        ({"inputs": 2, "signature_dtype": tf.uint8}, "serving_default"),
        ({"image_shape": (8, None, 3)}, "no signature"),
    ],
)
def test_unsupported_interfaces_are_rejected(tmp_path: Path, saved: dict[str, Any], received: str) -> None:
    save_extractor(tmp_path, **saved)
    with pytest.raises(UserError, match=f"^extractor: .*serving_default.* in {tmp_path}, received {received}$"):
        open_saved_model(tmp_path)


def test_a_directory_without_a_saved_model_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    with pytest.raises(UserError, match=f"^extractor: .*saved_model.pb.*received {tmp_path}$"):
        open_saved_model(tmp_path)


@pytest.mark.parametrize(
    "file", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
@pytest.mark.parametrize("damage", ["cut", "empty", "nonsense"])
def test_a_damaged_file_gives_an_error_of_one_line(
    tmp_path: Path, hub_module: tuple[Path, FakeNetwork], file: str, damage: str
) -> None:
    directory = tmp_path / "module"
    shutil.copytree(hub_module[0], directory)
    content = (directory / file).read_bytes()
    damaged = {"cut": content[: len(content) // 2], "empty": b"", "nonsense": b"nonsense" * 40}
    (directory / file).write_bytes(damaged[damage])
    with pytest.raises(UserError, match=f"^extractor: [^\n]*{directory} is damaged: [^\n]+$"):
        open_saved_model(directory)


def test_missing_weights_are_rejected(tmp_path: Path, hub_module: tuple[Path, FakeNetwork]) -> None:
    shutil.copy(hub_module[0] / "saved_model.pb", tmp_path)
    with pytest.raises(UserError, match=f"^extractor: [^\n]*{tmp_path} is damaged: [^\n]+$"):
        open_saved_model(tmp_path)
