"""Extractors: how images are brought to them, which SavedModels will do, and what is said of those that will not."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.config.dependent_options import EVALUATE, TRAIN
from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.errors import UserError
from sagan_tf.features import tf_gan
from sagan_tf.features.extractors import (
    INCEPTION_VARIABLE,
    PACKAGED_EXTRACTORS,
    Extractor,
    ExtractorOptions,
    Outputs,
    open_extractor,
)
from sagan_tf.features.fashion_mnist_classifier import load_classifier
from tests.features.fake_extractors import INCEPTION_FEATURES, INCEPTION_LOGITS, FakeNetwork, save_extractor


def random_images(height: int, width: int, channels: int = 3, count: int = 3) -> tf.Tensor:
    random = np.random.default_rng(height * width * channels)
    return tf.constant(random.integers(0, 256, size=(count, height, width, channels)), tf.uint8)


def resized(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear by Pillow, which widens its filter when it reduces; in [-1, 1], one channel at a time."""

    def plane(values: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(values.astype(np.float32) / 127.5 - 1.0)
        return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR))

    planes = [[plane(image[..., channel]) for channel in range(image.shape[-1])] for image in np.asarray(images)]
    return np.moveaxis(np.array(planes), 1, -1)


def seen_by(images: tf.Tensor, *, size: tuple[int, int] | None = None, channels: int | None = None) -> np.ndarray:
    """What the network of an extractor gets."""
    extractor = Extractor("pixels", "pixels/0", size, channels, (), lambda images: Outputs(images, images))
    return extractor(images).features.numpy()


def open_folder(folder: Path, **options: Any) -> Extractor:
    return open_extractor(ExtractorOptions(str(folder), **options))


def assert_outputs(extractor: Extractor, images: tf.Tensor, expected: tuple[tf.Tensor, tf.Tensor]) -> None:
    for found, one in zip(extractor(images), expected, strict=True):
        assert found.dtype == tf.float32
        np.testing.assert_allclose(found, one, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def hub_module(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FakeNetwork]:
    """The folder of a SavedModel with the interface of TF-GAN's Inception, and its network; nobody changes it."""
    folder = tmp_path_factory.mktemp("hub") / "module"
    return folder, save_extractor(folder)


# How images are brought to the network.


def test_bytes_become_the_range_of_tanh() -> None:
    bytes_ = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    found = seen_by(tf.constant(bytes_))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, :, :, 0].ravel(), np.linspace(-1.0, 1.0, 256), atol=1e-6)
    assert (found.min(), found.max()) == (-1.0, 1.0)


@pytest.mark.parametrize("size", [(32, 32), (19, 31), (7, 9), (5, 40), (30, 6), (16, 11)])
def test_resizing_is_bilinear_with_half_pixel_centres(size: tuple[int, int]) -> None:
    images = random_images(16, 16)
    np.testing.assert_allclose(seen_by(images, size=size), resized(images, size), atol=2e-6)


@pytest.mark.parametrize("size", [None, (16, 12)])
def test_images_of_the_right_size_are_left_alone(size: tuple[int, int] | None) -> None:
    images = random_images(16, 12)
    np.testing.assert_array_equal(seen_by(images, size=size), tf.cast(images, tf.float32) / 127.5 - 1.0)


@pytest.mark.parametrize(("channels", "expected"), [(3, 3), (1, 1), (None, 1)])
def test_grey_images_become_colour_where_colour_is_wanted(channels: int | None, expected: int) -> None:
    images = random_images(6, 6, channels=1)
    found = seen_by(images, channels=channels)
    np.testing.assert_array_equal(found, np.repeat(seen_by(images), expected, axis=-1))


def test_it_can_be_compiled() -> None:
    images = random_images(8, 8, channels=1)
    extractor = Extractor("pixels", "pixels/0", (5, 5), 3, (), lambda images: Outputs(images, images))
    np.testing.assert_allclose(tf.function(extractor)(images).features, extractor(images).features, atol=1e-6)


@pytest.mark.parametrize(("size", "words"), [(None, "its own size"), ((5, 6), "5x6")])
def test_preprocessing_in_words(size: tuple[int, int] | None, words: str) -> None:
    extractor = Extractor("pixels", "pixels/0", size, None, (), lambda images: Outputs(images, images))
    assert extractor.preprocessing == (
        f"uint8, scaled to [-1, 1], bilinear (half-pixel centres, antialiased when reduced) to {words}"
    )


@pytest.mark.parametrize(("takes", "given"), [(None, 1), (None, 4), (1, 1), (3, 3), (3, 1), (4, 4)])
def test_channels_that_fit(takes: int | None, given: int) -> None:
    extractor = Extractor("pixels", "pixels/0", None, takes, (), lambda images: Outputs(images, images))
    extractor.check_channels(given)
    assert extractor(random_images(4, 4, channels=given)).features.shape[-1] == (takes or given)


@pytest.mark.parametrize(("takes", "given"), [(1, 3), (3, 4), (4, 1), (4, 3), (1, 4)])
def test_channels_that_do_not_fit(takes: int, given: int) -> None:
    extractor = Extractor("pixels", "pixels/0", None, takes, (), lambda images: Outputs(images, images))
    message = f"^extractor: expected images of {takes} channels for pixels, received {given}$"
    with pytest.raises(UserError, match=message):
        extractor.check_channels(given)


# SavedModels.


def test_a_saved_model_is_an_extractor(hub_module: tuple[Path, FakeNetwork]) -> None:
    folder, network = hub_module
    extractor = open_folder(folder)
    assert (extractor.name, extractor.size, extractor.channels) == (str(folder), None, 3)
    assert extractor.class_names == ()
    assert re.fullmatch("saved_model/pool_3,logits/[0-9a-f]{16}", extractor.identity)
    images = random_images(9, 9)
    assert_outputs(extractor, images, network.outputs(tf.cast(images, tf.float32) / 127.5 - 1.0))
    assert [one.shape for one in extractor(images)] == [(3, INCEPTION_FEATURES), (3, INCEPTION_LOGITS)]


def test_its_outputs_depend_on_every_pixel(hub_module: tuple[Path, FakeNetwork]) -> None:
    """Else the tests that stand on it would show nothing."""
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
        ({"callable_": False, "signature_dtype": tf.float32}, None, 3),
        ({"signature_dtype": tf.float32}, None, 3),
        # A signature of bytes is not what it is called by where the model can also be called with images.
        ({"signature_dtype": tf.uint8}, None, 3),
        ({"flat": False}, None, 3),
    ],
    ids=["fixed", "fixed grey", "any channels", "any shape", "signature", "both", "signature of bytes", "not flat"],
)
def test_saved_models_of_all_kinds(
    tmp_path: Path, saved: dict[str, Any], size: tuple[int, int] | None, channels: int | None
) -> None:
    network = save_extractor(tmp_path, **saved)
    extractor = open_folder(tmp_path)
    assert (extractor.size, extractor.channels) == (size, channels)
    images = random_images(13, 13, channels=channels or 3)
    assert_outputs(extractor, images, network.outputs(resized(images, size or (13, 13))))


def test_grey_images_shown_to_a_saved_model_of_colour(hub_module: tuple[Path, FakeNetwork]) -> None:
    extractor = open_folder(hub_module[0])
    grey = random_images(9, 9, channels=1)
    assert_outputs(extractor, grey, extractor(tf.repeat(grey, 3, axis=-1)))


def test_batches_of_any_length_are_traced_once(tmp_path: Path) -> None:
    save_extractor(tmp_path, image_shape=(8, 8, 3), flat=False)
    extractor = open_folder(tmp_path)
    compiled = tf.function(extractor, input_signature=[tf.TensorSpec([None, 9, 9, 3], tf.uint8)])
    for count in (1, 4):
        images = random_images(9, 9, count=count)
        assert_outputs(extractor, images, compiled(images))
    assert compiled.experimental_get_tracing_count() == 1


def test_outputs_of_other_names(tmp_path: Path) -> None:
    network = save_extractor(tmp_path, names=("embedding", "scores"))
    extractor = open_folder(tmp_path, features="embedding", logits="scores")
    images = random_images(9, 9)
    assert_outputs(extractor, images, network.outputs(tf.cast(images, tf.float32) / 127.5 - 1.0))
    swapped = open_folder(tmp_path, features="scores", logits="embedding")
    assert_outputs(swapped, images, extractor(images)[::-1])
    assert swapped.identity != extractor.identity


@pytest.mark.parametrize(
    ("names", "received"),
    [
        (("embedding", "logits"), "embedding, logits"),
        (("pool_3", "scores"), "pool_3, scores"),
        (None, "outputs without names"),
    ],
)
def test_outputs_that_are_missing(tmp_path: Path, names: tuple[str, str] | None, received: str) -> None:
    save_extractor(tmp_path, names=names)
    message = (
        f"^extractor: expected outputs named pool_3 and logits in {tmp_path}, received {received}; .*"
        "--extractor_features and --extractor_logits$"
    )
    with pytest.raises(UserError, match=message):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    ("saved", "received"),
    [
        ({"inputs": 2}, "no signature"),
        ({"dtype": tf.uint8}, "no signature"),
        ({"callable_": False}, "no signature"),
        ({"callable_": False, "signature_dtype": tf.uint8}, "serving_default"),
        ({"inputs": 2, "signature_dtype": tf.uint8}, "serving_default"),
        ({"image_shape": (8, None, 3)}, "no signature"),
    ],
)
def test_saved_models_that_do_not_take_images(tmp_path: Path, saved: dict[str, Any], received: str) -> None:
    save_extractor(tmp_path, **saved)
    message = (
        "^extractor: expected a signature serving_default or a call that takes one float32 tensor of images, as many "
        f"as there are, in {tmp_path}, received {received}$"
    )
    with pytest.raises(UserError, match=message):
        open_folder(tmp_path)


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_module: tuple[Path, FakeNetwork]) -> None:
    monkeypatch.setenv("HOME", str(hub_module[0].parent))
    monkeypatch.chdir(tmp_path)
    assert open_folder(Path("~/module")).identity == open_folder(hub_module[0]).identity


@pytest.mark.parametrize("name", ["inceptoin", "file.pb", "nowhere/at/all"])
def test_names_that_are_neither_known_nor_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.pb").touch()
    message = f"^extractor: expected inception, fashion_mnist, efficientnet_lite0 or .* received {name}$"
    with pytest.raises(UserError, match=message):
        open_extractor(ExtractorOptions(name))


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    message = rf"^extractor: expected a SavedModel \(saved_model.pb and variables\) in {tmp_path}, received none$"
    with pytest.raises(UserError, match=message):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    "file", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
@pytest.mark.parametrize("damage", ["cut", "empty", "nonsense"])
def test_damage_is_said_in_one_line(
    tmp_path: Path, hub_module: tuple[Path, FakeNetwork], file: str, damage: str
) -> None:
    folder = tmp_path / "module"
    shutil.copytree(hub_module[0], folder)
    content = (folder / file).read_bytes()
    damaged = {"cut": content[: len(content) // 2], "empty": b"", "nonsense": b"nonsense" * 40}
    (folder / file).write_bytes(damaged[damage])
    with pytest.raises(UserError, match=f"^extractor: expected an intact SavedModel in {folder}, received [^\n]+$"):
        open_folder(folder)


def test_missing_weights_are_damage(tmp_path: Path, hub_module: tuple[Path, FakeNetwork]) -> None:
    shutil.copy(hub_module[0] / "saved_model.pb", tmp_path)
    with pytest.raises(UserError, match=f"^extractor: expected an intact SavedModel in {tmp_path}, received [^\n]+$"):
        open_folder(tmp_path)


# Identity.


def test_identity_follows_the_weights(tmp_path: Path, hub_module: tuple[Path, FakeNetwork]) -> None:
    """The same graph with other weights: only the variables' files differ."""
    save_extractor(tmp_path / "other", seed=1)
    shutil.copytree(hub_module[0], tmp_path / "module")
    assert open_folder(tmp_path / "module").identity == open_folder(hub_module[0]).identity
    shutil.rmtree(tmp_path / "module" / "variables")
    shutil.copytree(tmp_path / "other" / "variables", tmp_path / "module" / "variables")
    assert open_folder(tmp_path / "module").identity != open_folder(hub_module[0]).identity


def test_identity_follows_the_graph(tmp_path: Path) -> None:
    """The same weights in another graph."""
    save_extractor(tmp_path / "flat" / "module")
    save_extractor(tmp_path / "not_flat" / "module", flat=False)
    flat, not_flat = tmp_path / "flat" / "module", tmp_path / "not_flat" / "module"
    shutil.rmtree(not_flat / "variables")
    shutil.copytree(flat / "variables", not_flat / "variables")
    assert open_folder(flat).identity != open_folder(not_flat).identity


def test_a_move_leaves_the_identity(tmp_path: Path, hub_module: tuple[Path, FakeNetwork]) -> None:
    moved = tmp_path / "elsewhere" / "module"
    shutil.copytree(hub_module[0], moved)
    shutil.copytree(hub_module[0], tmp_path / "renamed")
    assert open_folder(moved).identity == open_folder(hub_module[0]).identity
    assert open_folder(tmp_path / "renamed").identity == open_folder(hub_module[0]).identity


# Inception.


@pytest.fixture
def no_inception(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing says where Inception lies, and there is no hub to fetch it from."""

    def fetch(handle: str) -> str:
        raise OSError(f"no network for {handle}\nwith a second line")

    monkeypatch.delenv(INCEPTION_VARIABLE, raising=False)
    monkeypatch.setattr(tf_gan, "fetch_from_hub", fetch)


def check_inception(extractor: Extractor, hub_module: tuple[Path, FakeNetwork]) -> None:
    assert (extractor.name, extractor.size, extractor.channels) == ("inception", (299, 299), 3)
    digest = open_folder(hub_module[0]).identity.rpartition("/")[2]
    assert extractor.identity == f"inception/pool_3,logits/{digest}"
    grey = random_images(32, 32, channels=1, count=2)
    expected = hub_module[1].outputs(np.repeat(resized(grey, (299, 299)), 3, axis=-1))
    assert_outputs(extractor, grey, expected)


@pytest.mark.usefixtures("no_inception")
def test_inception_by_flag(
    hub_module: tuple[Path, FakeNetwork], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(INCEPTION_VARIABLE, str(tmp_path))  # an empty folder: the flag comes first
    check_inception(open_extractor(ExtractorOptions(inception_dir=str(hub_module[0]))), hub_module)


@pytest.mark.usefixtures("no_inception")
def test_inception_by_environment_variable(
    hub_module: tuple[Path, FakeNetwork], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(hub_module[0].parent))
    monkeypatch.setenv(INCEPTION_VARIABLE, "~/module")
    check_inception(open_extractor(ExtractorOptions()), hub_module)


@pytest.mark.usefixtures("no_inception")
@pytest.mark.parametrize("variable", [None, ""])
def test_inception_from_the_hub(
    hub_module: tuple[Path, FakeNetwork], monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    fetched = []

    def fetch(handle: str) -> str:
        fetched.append(handle)
        return str(hub_module[0])

    monkeypatch.setattr(tf_gan, "fetch_from_hub", fetch)
    if variable is not None:
        monkeypatch.setenv(INCEPTION_VARIABLE, variable)
    check_inception(open_extractor(ExtractorOptions()), hub_module)
    assert fetched == ["https://tfhub.dev/tensorflow/tfgan/eval/inception/1"]


@pytest.mark.usefixtures("no_inception")
def test_without_a_network_it_is_said_what_to_fetch_and_where_to_put_it(
    hub_module: tuple[Path, FakeNetwork], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError) as caught:
        open_extractor(ExtractorOptions())
    handle = "https://tfhub.dev/tensorflow/tfgan/eval/inception/1"
    message = str(caught.value)
    assert f"(no network for {handle})" in message and "set SAGAN_TF_INCEPTION_DIR" in message
    assert f"curl -L -o inception.tar.gz '{handle}?tf-hub-format=compressed'" in message
    command = re.search(r"mkdir [^;]*", message)
    option = re.search(r"--inception_dir=(\w+)", message)
    assert command and option
    monkeypatch.chdir(tmp_path)
    with tarfile.open("inception.tar.gz", "w:gz") as archive:  # as the hub packs them
        archive.add(hub_module[0], arcname=".")
    subprocess.run(command[0], shell=True, check=True)
    check_inception(open_extractor(ExtractorOptions(inception_dir=option[1])), hub_module)


def test_without_the_hubs_package_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGAN_TF_INCEPTION_DIR", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)
    with pytest.raises(UserError, match="install tensorflow-hub$"):
        open_extractor(ExtractorOptions())


@pytest.mark.usefixtures("no_inception")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(), "OSError"),
        (RuntimeError("Missing implementation that supports: loader"), "Missing implementation that supports: loader"),
        (ValueError("Trying to override"), "Trying to override"),
        (tf.errors.PermissionDeniedError(None, None, "cache"), "cache"),
    ],
)
def test_whatever_the_hub_raises(monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str) -> None:
    def fetch(handle: str) -> str:
        raise error

    monkeypatch.setattr(tf_gan, "fetch_from_hub", fetch)
    with pytest.raises(UserError, match=rf"which could not be fetched \({reason}\); [^\n]+$"):
        open_extractor(ExtractorOptions())


@pytest.mark.usefixtures("no_inception")
def test_a_folder_without_inception(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^inception_dir: expected a SavedModel \(.*\) in {tmp_path}, received none$"):
        open_extractor(ExtractorOptions(inception_dir=str(tmp_path)))


@pytest.mark.usefixtures("no_inception")
def test_another_network_in_inceptions_place(tmp_path: Path) -> None:
    """Its numbers would pass for those of papers."""
    names = {"names": ("logits", "pool_3")}  # 1,008 logits in the place of 2,048 features
    save_extractor(tmp_path / "module", **names)
    message = r"^extractor: expected TF-GAN's Inception \(2048 features, 1008 logits\), received 1008 and 2048 in "
    with pytest.raises(UserError, match=message):
        open_extractor(ExtractorOptions(inception_dir=str(tmp_path / "module")))
    assert open_extractor(ExtractorOptions(str(tmp_path / "module"))).name.endswith("module")


# The packaged networks.


@pytest.mark.parametrize("name", PACKAGED_EXTRACTORS)
def test_outputs_of_packaged_networks_have_no_names_to_choose_from(name: str) -> None:
    values = types.SimpleNamespace(extractor=name, resolved_extractor=name, run_dir="", resolved_metrics=())
    for table in (TRAIN, EVALUATE):
        (row,) = (one for one in table if "extractor_features" in one.flags)
        assert not row.holds(values)


def test_the_packaged_classifier() -> None:
    extractor = open_extractor(ExtractorOptions("fashion_mnist"))
    classifier, digest = load_classifier()
    assert (extractor.name, extractor.identity) == ("fashion_mnist", f"fashion_mnist/{digest}")
    assert (extractor.size, extractor.channels) == ((32, 32), 1)
    pictures, labels, names = load_arrays("reference")
    assert extractor.class_names == names
    images = tf.constant(pictures[:100, :, :, None])
    outputs = extractor(images)
    assert_outputs(extractor, images, classifier(resized(images, (32, 32)), training=False))
    assert np.mean(outputs.logits.numpy().argmax(1) == labels[:100]) > 0.8
