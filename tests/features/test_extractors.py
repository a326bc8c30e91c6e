"""The extractors by name: TF-GAN's Inception, packaged networks and SavedModels, and their identifiers."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.errors import UserError
from sagan_tf.features import tf_gan
from sagan_tf.features.extractor import Extractor
from sagan_tf.features.extractors import INCEPTION_VARIABLE, ExtractorOptions, open_extractor
from sagan_tf.features.fashion_mnist_classifier import load_classifier
from tests.features.fake_extractors import (
    assert_outputs,
    open_saved_model,
    random_images,
    resize_with_pillow,
    save_extractor,
)


def test_a_path_in_the_home_directory(tmp_path, monkeypatch, hub_module):
    monkeypatch.setenv("HOME", str(hub_module[0].parent))
    monkeypatch.chdir(tmp_path)
    assert open_saved_model(Path("~/module")).identifier == open_saved_model(hub_module[0]).identifier


@pytest.mark.parametrize("name", ["inceptoin", "file.pb", "nowhere/at/all"])
def test_unknown_names_are_rejected(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("file.pb").touch()
    with pytest.raises(UserError, match=f"^extractor: .*inception, fashion_mnist, .* received {name}$"):
        open_extractor(ExtractorOptions(name))


def test_the_identifier_depends_on_weights_and_graph_and_not_on_the_path(tmp_path, hub_module):
    """With the same graph and other weights, only the files of the variables differ."""
    module, identifier = tmp_path / "elsewhere" / "copy", open_saved_model(hub_module[0]).identifier
    shutil.copytree(hub_module[0], module)
    assert open_saved_model(module).identifier == identifier
    for name, options in (("weights", {"seed": 1}), ("graph", {"flat": False})):
        save_extractor(tmp_path / name, **options)
    shutil.copytree(tmp_path / "weights" / "variables", module / "variables", dirs_exist_ok=True)
    assert open_saved_model(module).identifier != identifier
    shutil.copytree(hub_module[0] / "variables", tmp_path / "graph" / "variables", dirs_exist_ok=True)
    assert open_saved_model(tmp_path / "graph").identifier != identifier


@pytest.fixture
def no_inception(monkeypatch):
    """Remove the environment variable of Inception, and make downloads fail."""
    monkeypatch.delenv(INCEPTION_VARIABLE, raising=False)
    error = OSError("no network\nwith a second line")
    monkeypatch.setattr(tf_gan, "fetch_from_hub", mock.Mock(side_effect=error))


def check_inception(extractor: Extractor, hub_module: tuple[Path, Any]) -> None:
    assert (extractor.name, extractor.size, extractor.channels) == ("inception", (299, 299), 3)
    digest = open_saved_model(hub_module[0]).identifier.rpartition("/")[2]
    assert extractor.identifier == f"inception/pool_3,logits/{digest}"
    gray = random_images(32, 32, channels=1, count=2)
    expected = hub_module[1].outputs(np.repeat(resize_with_pillow(gray, (299, 299)), 3, axis=-1))
    assert_outputs(extractor, gray, expected)


@pytest.mark.usefixtures("no_inception")
@pytest.mark.parametrize("place", ["option", "variable", "hub"])
def test_places_of_inception(place, hub_module, monkeypatch, tmp_path):
    """The option overrides the environment variable, here with an empty directory; an empty variable has no effect."""
    fetch = mock.Mock(return_value=str(hub_module[0]))
    monkeypatch.setattr(tf_gan, "fetch_from_hub", fetch)
    monkeypatch.setenv("HOME", str(hub_module[0].parent))
    monkeypatch.setenv(INCEPTION_VARIABLE, {"option": str(tmp_path), "variable": "~/module", "hub": ""}[place])
    options = ExtractorOptions(inception_dir=str(hub_module[0])) if place == "option" else ExtractorOptions()
    check_inception(open_extractor(options), hub_module)
    assert fetch.call_args_list == ([mock.call(tf_gan.INCEPTION_HANDLE)] if place == "hub" else [])


@pytest.mark.usefixtures("no_inception")
def test_without_internet_the_error_has_working_commands(hub_module, tmp_path, monkeypatch):
    with pytest.raises(UserError) as caught:
        open_extractor(ExtractorOptions())
    handle, message = "https://tfhub.dev/tensorflow/tfgan/eval/inception/1", str(caught.value)
    assert "no network" in message and "SAGAN_TF_INCEPTION_DIR" in message
    assert f"curl -L -o inception.tar.gz '{handle}?tf-hub-format=compressed'" in message
    command = re.search(r"mkdir [^;]*", message)
    option = re.search(r"--inception_dir=(\w+)", message)
    assert command and option
    monkeypatch.chdir(tmp_path)
    with tarfile.open("inception.tar.gz", "w:gz") as archive:  # packed like modules of TensorFlow Hub
        archive.add(hub_module[0], arcname=".")
    subprocess.run(command[0], shell=True, check=True)
    check_inception(open_extractor(ExtractorOptions(inception_dir=option[1])), hub_module)


def test_without_tensorflow_hub_the_error_has_the_install_command(monkeypatch):
    monkeypatch.delenv("SAGAN_TF_INCEPTION_DIR", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)
    with pytest.raises(UserError, match="tensorflow-hub"):
        open_extractor(ExtractorOptions())


@pytest.mark.usefixtures("no_inception")
@pytest.mark.parametrize(
    "error",
    [OSError(), RuntimeError("OSError"), ValueError("OSError"), tf.errors.PermissionDeniedError(None, None, "OSError")],
)
def test_every_exception_of_a_download_is_a_user_error(monkeypatch, error):
    """The message has that of the exception, or its class without one."""
    monkeypatch.setattr(tf_gan, "fetch_from_hub", mock.Mock(side_effect=error))
    with pytest.raises(UserError, match=r"^extractor: [^\n]*OSError[^\n]*$"):
        open_extractor(ExtractorOptions())


@pytest.mark.usefixtures("no_inception")
def test_a_directory_without_inception_is_rejected(tmp_path):
    with pytest.raises(UserError, match=rf"^inception_dir: .*received {tmp_path}$"):
        open_extractor(ExtractorOptions(inception_dir=str(tmp_path)))


@pytest.mark.usefixtures("no_inception")
def test_another_network_is_not_accepted_as_inception(tmp_path):
    """Its metrics would be mistaken for those of papers."""
    save_extractor(tmp_path / "module", names=("logits", "pool_3"))  # 1,008 features instead of 2,048
    with pytest.raises(UserError, match=r"^extractor: .*2048.*1008.*, received 1008 and 2048 in "):
        open_extractor(ExtractorOptions(inception_dir=str(tmp_path / "module")))
    assert open_extractor(ExtractorOptions(str(tmp_path / "module"))).name.endswith("module")


def test_the_packaged_classifier():
    extractor = open_extractor(ExtractorOptions("fashion_mnist"))
    classifier, digest = load_classifier()
    assert (extractor.name, extractor.identifier) == ("fashion_mnist", f"fashion_mnist/{digest}")
    assert (extractor.size, extractor.channels) == ((32, 32), 1)
    arrays, labels, names = load_arrays("reference")
    assert extractor.class_names == names
    images = tf.constant(arrays[:100, :, :, None])
    outputs = extractor(images)
    assert_outputs(extractor, images, classifier(resize_with_pillow(images, (32, 32)), training=False))
    assert np.mean(outputs.logits.numpy().argmax(1) == labels[:100]) > 0.8
