"""SavedModels as networks of extractors: supported interfaces, and errors for unsupported ones."""

import re
import shutil

import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from tests.features.fake_extractors import (
    assert_outputs,
    open_saved_model,
    random_images,
    resize_with_pillow,
    save_extractor,
)


def test_a_saved_model_is_an_extractor(hub_module):
    directory, network = hub_module
    extractor = open_saved_model(directory)
    assert (extractor.name, extractor.size, extractor.channels) == (str(directory), None, 3)
    assert extractor.class_names == ()
    assert re.fullmatch("saved_model/pool_3,logits/[0-9a-f]{16}", extractor.identifier)
    images = random_images(9, 9)
    assert_outputs(extractor, images, network.outputs(tf.cast(images, tf.float32) / 127.5 - 1.0))
    assert [output.shape for output in extractor(images)] == [(3, 2048), (3, 1008)]


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
def test_supported_interfaces(tmp_path, saved, size, channels):
    network = save_extractor(tmp_path, **saved)
    extractor = open_saved_model(tmp_path)
    assert (extractor.size, extractor.channels) == (size, channels)
    images = random_images(13, 13, channels=channels or 3)
    assert_outputs(extractor, images, network.outputs(resize_with_pillow(images, size or (13, 13))))


def test_batches_of_any_length_are_traced_once(tmp_path):
    save_extractor(tmp_path, image_shape=(8, 8, 3), flat=False)
    extractor = open_saved_model(tmp_path)
    compiled = tf.function(extractor, input_signature=[tf.TensorSpec([None, 9, 9, 3], tf.uint8)])
    for count in (1, 4):
        images = random_images(9, 9, count=count)
        assert_outputs(extractor, images, compiled(images))
    assert compiled.experimental_get_tracing_count() == 1


def test_outputs_are_chosen_by_name(tmp_path):
    network = save_extractor(tmp_path, names=("embedding", "scores"))
    extractor = open_saved_model(tmp_path, features="embedding", logits="scores")
    images = random_images(9, 9)
    assert_outputs(extractor, images, network.outputs(tf.cast(images, tf.float32) / 127.5 - 1.0))
    swapped = open_saved_model(tmp_path, features="scores", logits="embedding")
    assert_outputs(swapped, images, extractor(images)[::-1])
    assert swapped.identifier != extractor.identifier


@pytest.mark.parametrize("names", [("embedding", "logits"), ("pool_3", "scores"), None])
def test_missing_outputs_are_rejected(tmp_path, names):
    save_extractor(tmp_path, names=names)
    received = ", ".join(names or ["outputs without names"])
    with pytest.raises(UserError, match=rf"^extractor: .*{tmp_path}, received {received}; .*--extractor_features and "):
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
def test_unsupported_interfaces_are_rejected(tmp_path, saved, received):
    save_extractor(tmp_path, **saved)
    with pytest.raises(UserError, match=f"^extractor: .*serving_default.* in {tmp_path}, received {received}$"):
        open_saved_model(tmp_path)


@pytest.mark.parametrize(
    "file", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
@pytest.mark.parametrize("damage", ["cut", "empty", "nonsense", "missing"])
def test_a_damaged_file_gives_an_error_of_one_line(tmp_path, hub_module, file, damage):
    path = shutil.copytree(hub_module[0], tmp_path / "module") / file
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "nonsense": b"nonsense" * 40}[damage])
    with pytest.raises(UserError, match=f"^extractor: [^\n]*{tmp_path / 'module'}[^\n]*$"):
        open_saved_model(tmp_path / "module")
