"""The extractors by name: TF-GAN's Inception, packaged networks and SavedModels, and their identifiers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config.dependent_options import EVALUATE, TRAIN
from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.errors import UserError
from sagan_tf.features import tf_gan
from sagan_tf.features.extractor import Extractor
from sagan_tf.features.extractors import INCEPTION_VARIABLE, PACKAGED_EXTRACTORS, ExtractorOptions, open_extractor
from sagan_tf.features.fashion_mnist_classifier import load_classifier
from tests.features.fake_extractors import (
    FakeNetwork,
    assert_outputs,
    open_saved_model,
    random_images,
    resize_with_pillow,
    save_extractor,
)


def test_a_path_in_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_module: tuple[Path, FakeNetwork]
) -> None:
    monkeypatch.setenv("HOME", str(hub_module[0].parent))
    monkeypatch.chdir(tmp_path)
    assert open_saved_model(Path("~/module")).identifier == open_saved_model(hub_module[0]).identifier


@pytest.mark.parametrize("name", ["inceptoin", "file.pb", "nowhere/at/all"])
def test_unknown_names_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.pb").touch()
    with pytest.raises(UserError, match=f"^extractor: .*inception, fashion_mnist, .* received {name}$"):
        open_extractor(ExtractorOptions(name))


def test_the_identifier_depends_on_the_weights(tmp_path: Path, hub_module: tuple[Path, FakeNetwork]) -> None:
    """With the same graph and other weights, only the files of the variables differ."""
    save_extractor(tmp_path / "other", seed=1)
    shutil.copytree(hub_module[0], tmp_path / "module")
    assert open_saved_model(tmp_path / "module").identifier == open_saved_model(hub_module[0]).identifier
    shutil.rmtree(tmp_path / "module" / "variables")
    shutil.copytree(tmp_path / "other" / "variables", tmp_path / "module" / "variables")
    assert open_saved_model(tmp_path / "module").identifier != open_saved_model(hub_module[0]).identifier


def test_the_identifier_depends_on_the_graph(tmp_path: Path) -> None:
    save_extractor(tmp_path / "flat" / "module")
    save_extractor(tmp_path / "not_flat" / "module", flat=False)
    flat, not_flat = tmp_path / "flat" / "module", tmp_path / "not_flat" / "module"
    shutil.rmtree(not_flat / "variables")
    shutil.copytree(flat / "variables", not_flat / "variables")
    assert open_saved_model(flat).identifier != open_saved_model(not_flat).identifier


def test_the_identifier_does_not_depend_on_the_path(tmp_path: Path, hub_module: tuple[Path, FakeNetwork]) -> None:
    moved = tmp_path / "elsewhere" / "module"
    shutil.copytree(hub_module[0], moved)
    shutil.copytree(hub_module[0], tmp_path / "renamed")
    assert open_saved_model(moved).identifier == open_saved_model(hub_module[0]).identifier
    assert open_saved_model(tmp_path / "renamed").identifier == open_saved_model(hub_module[0]).identifier


@pytest.fixture
def no_inception(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the environment variable of Inception, and make downloads fail."""

    def fetch(handle: str) -> str:
        raise OSError(f"no network for {handle}\nwith a second line")

    monkeypatch.delenv(INCEPTION_VARIABLE, raising=False)
    monkeypatch.setattr(tf_gan, "fetch_from_hub", fetch)


def check_inception(extractor: Extractor, hub_module: tuple[Path, FakeNetwork]) -> None:
    assert (extractor.name, extractor.size, extractor.channels) == ("inception", (299, 299), 3)
    digest = open_saved_model(hub_module[0]).identifier.rpartition("/")[2]
    assert extractor.identifier == f"inception/pool_3,logits/{digest}"
    gray = random_images(32, 32, channels=1, count=2)
    expected = hub_module[1].outputs(np.repeat(resize_with_pillow(gray, (299, 299)), 3, axis=-1))
    assert_outputs(extractor, gray, expected)


@pytest.mark.usefixtures("no_inception")
def test_inception_from_the_option(
    hub_module: tuple[Path, FakeNetwork], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(INCEPTION_VARIABLE, str(tmp_path))  # an empty directory, which the option overrides
    check_inception(open_extractor(ExtractorOptions(inception_dir=str(hub_module[0]))), hub_module)


@pytest.mark.usefixtures("no_inception")
def test_inception_from_the_environment_variable(
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
def test_without_internet_the_error_has_working_commands(
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
    with tarfile.open("inception.tar.gz", "w:gz") as archive:  # packed like modules of TensorFlow Hub
        archive.add(hub_module[0], arcname=".")
    subprocess.run(command[0], shell=True, check=True)
    check_inception(open_extractor(ExtractorOptions(inception_dir=option[1])), hub_module)


def test_without_tensorflow_hub_the_error_has_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_every_exception_of_a_download_is_a_user_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fetch(handle: str) -> str:
        raise error

    monkeypatch.setattr(tf_gan, "fetch_from_hub", fetch)
    with pytest.raises(UserError, match=rf"^extractor: [^\n]*\({reason}\); [^\n]+$"):
        open_extractor(ExtractorOptions())


@pytest.mark.usefixtures("no_inception")
def test_a_directory_without_inception_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^inception_dir: .*received {tmp_path}$"):
        open_extractor(ExtractorOptions(inception_dir=str(tmp_path)))


@pytest.mark.usefixtures("no_inception")
def test_another_network_is_not_accepted_as_inception(tmp_path: Path) -> None:
    """Its metrics would be mistaken for those of papers."""
    save_extractor(tmp_path / "module", names=("logits", "pool_3"))  # 1,008 features instead of 2,048
    with pytest.raises(UserError, match=r"^extractor: .*2048.*1008.*, received 1008 and 2048 in "):
        open_extractor(ExtractorOptions(inception_dir=str(tmp_path / "module")))
    assert open_extractor(ExtractorOptions(str(tmp_path / "module"))).name.endswith("module")


@pytest.mark.parametrize("name", PACKAGED_EXTRACTORS)
def test_names_of_outputs_have_no_effect_on_packaged_networks(name: str) -> None:
    values = types.SimpleNamespace(extractor=name, resolved_extractor=name, run_dir="", resolved_metrics=())
    for table in (TRAIN, EVALUATE):
        (row,) = (row for row in table if "extractor_features" in row.options)
        assert not row.is_met(values)


def test_the_packaged_classifier() -> None:
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
