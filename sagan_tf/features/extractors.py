"""The extractors by name: TF-GAN's Inception, packaged networks, and SavedModels."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable

import tensorflow as tf

from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.errors import UserError
from sagan_tf.features import efficientnet_lite0, fashion_mnist_classifier, tf_gan
from sagan_tf.features.extractor import Extractor, ExtractorOutputs
from sagan_tf.features.saved_model_network import SavedModelNetwork
from sagan_tf.saved_models import compute_saved_model_digest
from sagan_tf.tensorflow_paths import check_tensorflow_path
from sagan_tf.text import format_install_command

INCEPTION_VARIABLE = "SAGAN_TF_INCEPTION_DIR"
"""The environment variable with the directory of TF-GAN's Inception."""


@dataclasses.dataclass(frozen=True)
class ExtractorOptions:
    """Choice of an extractor.

    Attributes:
        name: `inception`, `fashion_mnist`, `efficientnet_lite0` or the directory of a SavedModel.
        inception_dir: Directory of TF-GAN's Inception. If empty, `INCEPTION_VARIABLE` names it; if that is empty too,
            the network is downloaded from TensorFlow Hub.
        features: Name of a SavedModel's output with features.
        logits: Name of a SavedModel's output with class logits.
    """

    name: str = "inception"
    inception_dir: str = ""
    features: str = "pool_3"
    logits: str = "logits"


def open_extractor(options: ExtractorOptions) -> Extractor:
    """Open an extractor, inside the scope of the strategy that runs it.

    A new extractor is an entry in `EXTRACTORS`.

    Raises:
        UserError: The extractor does not exist or does not have the inputs and outputs of an extractor.
    """
    opener = EXTRACTORS.get(options.name)
    if opener is not None:
        return opener(options)
    directory = pathlib.Path(os.path.expanduser(options.name))
    if not directory.is_dir():
        known = ", ".join(EXTRACTORS)
        raise UserError(f"extractor: expected {known} or the directory of a SavedModel, received {options.name}")
    network = SavedModelNetwork(directory, (options.features, options.logits), "extractor")
    return _create_extractor(network, directory, str(directory), options)


def _open_inception(options: ExtractorOptions) -> Extractor:
    path = options.inception_dir or os.environ.get(INCEPTION_VARIABLE) or _fetch_inception()
    directory = pathlib.Path(os.path.expanduser(path))
    check_tensorflow_path("inception_dir", directory)
    network = SavedModelNetwork(directory, (options.features, options.logits), "inception_dir")
    _check_inception(network, directory)
    extractor = _create_extractor(network, directory, "inception", options)
    # The module accepts images of any size and does not state the size that it is made for.
    size = (tf_gan.INCEPTION_IMAGE_SIZE, tf_gan.INCEPTION_IMAGE_SIZE)
    return dataclasses.replace(extractor, size=size, channels=3)


def _check_inception(network: SavedModelNetwork, directory: pathlib.Path) -> None:
    """Raise UserError if the output lengths are not Inception's.

    The metrics of another network would be mistaken for those of papers.
    """
    expected = (tf_gan.INCEPTION_FEATURES, tf_gan.INCEPTION_CLASSES)
    received = network.output_lengths
    if any(None not in pair and pair[0] != pair[1] for pair in zip(received, expected, strict=True)):
        raise UserError(
            f"extractor: expected TF-GAN's Inception ({expected[0]} features, {expected[1]} logits), received "
            f"{received[0]} and {received[1]} in {directory}; for another network, pass --extractor={directory}"
        )


def _fetch_inception() -> str:
    try:
        return tf_gan.fetch_from_hub(tf_gan.INCEPTION_HANDLE)
    except ImportError as error:
        raise UserError(
            "extractor: TF-GAN's Inception is downloaded by the package tensorflow-hub, which is not installed "
            f"({error}); install it: {format_install_command('tensorflow-hub')}"
        ) from error
    except Exception as error:  # an interrupted download raises the exceptions of the archive reader
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"extractor: TF-GAN's Inception could not be downloaded ({reason}); on a machine with internet access, "
            f"run: curl -L -o inception.tar.gz '{tf_gan.INCEPTION_HANDLE}?tf-hub-format=compressed'; then unpack it "
            "here: mkdir inception && tar -xzf inception.tar.gz -C inception; and pass --inception_dir=inception, the "
            f"directory that holds saved_model.pb and variables, or set {INCEPTION_VARIABLE} to it"
        ) from error


def _open_fashion_mnist(options: ExtractorOptions) -> Extractor:
    classifier, digest = fashion_mnist_classifier.load_classifier()

    def network(images: tf.Tensor) -> ExtractorOutputs:
        return ExtractorOutputs(*classifier(images, training=False))

    names = load_arrays("reference")[2]
    size = (fashion_mnist_classifier.RESOLUTION, fashion_mnist_classifier.RESOLUTION)
    return Extractor("fashion_mnist", f"fashion_mnist/{digest}", size, 1, names, network)


def _open_efficientnet_lite0(options: ExtractorOptions) -> Extractor:
    model, class_names, digest = efficientnet_lite0.load_network()

    def network(images: tf.Tensor) -> ExtractorOutputs:
        return ExtractorOutputs(*model(images, training=False))

    size = (efficientnet_lite0.RESOLUTION, efficientnet_lite0.RESOLUTION)
    return Extractor("efficientnet_lite0", f"efficientnet_lite0/{digest}", size, 3, class_names, network)


EXTRACTORS: dict[str, Callable[[ExtractorOptions], Extractor]] = {
    "inception": _open_inception,
    "fashion_mnist": _open_fashion_mnist,
    "efficientnet_lite0": _open_efficientnet_lite0,
}


def _create_extractor(
    network: SavedModelNetwork, directory: pathlib.Path, name: str, options: ExtractorOptions
) -> Extractor:
    kind = name if name in EXTRACTORS else "saved_model"  # without the name of the directory, which may be moved
    identifier = f"{kind}/{options.features},{options.logits}/{compute_saved_model_digest(directory)}"
    return Extractor(name, identifier, network.size, network.channels, (), network)
