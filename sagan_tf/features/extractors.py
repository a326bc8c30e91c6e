"""Extractors: networks that turn images into features and class logits."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.errors import UserError
from sagan_tf.features import efficientnet_lite0, fashion_mnist_classifier, tf_gan
from sagan_tf.saved_models import digest_of_saved_model, load_saved_model
from sagan_tf.tensorflow_paths import check_tensorflow_path
from sagan_tf.text import install_command

INCEPTION_VARIABLE = "SAGAN_TF_INCEPTION_DIR"
"""The environment variable that says where TF-GAN's Inception lies."""


class Outputs(NamedTuple):
    """What an extractor says of a batch: features float32 [batch, d] and class logits float32 [batch, classes]."""

    features: tf.Tensor
    logits: tf.Tensor


@dataclasses.dataclass(frozen=True)
class ExtractorOptions:
    """Which extractor.

    Attributes:
        name: `inception`, `fashion_mnist`, `efficientnet_lite0` or the directory of a SavedModel.
        inception_dir: where TF-GAN's Inception lies; empty: `INCEPTION_VARIABLE`, and if that is empty too, the hub.
        features, logits: names of a SavedModel's outputs.
    """

    name: str = "inception"
    inception_dir: str = ""
    features: str = "pool_3"
    logits: str = "logits"


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A network that extracts features, and how images are brought to it: part of the protocol of every metric.

    Attributes:
        name: for people.
        identity: name and a digest of the weights: others if the features are others.
        size: height and width that the network takes; None: it takes any.
        channels: channels that it takes; None: any.
        class_names: what its logits stand for; empty if that is not known.
        network: float32 [batch, height, width, channels] in [-1, 1] to `Outputs`.
    """

    name: str
    identity: str
    size: tuple[int, int] | None
    channels: int | None
    class_names: tuple[str, ...]
    network: Callable[[tf.Tensor], Outputs]

    def __call__(self, images: tf.Tensor) -> Outputs:
        """Of images uint8 [batch, height, width, channels]."""
        x = scale_to_unit_range(images)
        if self.channels == 3 and x.shape[-1] == 1:
            x = tf.repeat(x, 3, axis=-1)
        if self.size is not None and tuple(x.shape[1:3]) != self.size:
            smaller = self.size[0] < x.shape[1] or self.size[1] < x.shape[2]
            x = tf.image.resize(x, self.size, method="bilinear", antialias=smaller)
        return self.network(x)

    @property
    def preprocessing(self) -> str:
        """What `__call__` does, in words, for records."""
        size = "its own size" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        return f"uint8, scaled to [-1, 1], bilinear (half-pixel centres, antialiased when reduced) to {size}"

    def check_channels(self, image_channels: int) -> None:
        """Raise UserError unless it can be shown images of so many channels."""
        if self.channels not in (None, image_channels) and not (self.channels == 3 and image_channels == 1):
            raise UserError(
                f"extractor: expected images of {self.channels} channels for {self.name}, received {image_channels}"
            )


def open_extractor(options: ExtractorOptions) -> Extractor:
    """Open an extractor; call it inside the strategy's scope. A new one is an entry in `EXTRACTORS`.

    Raises:
        UserError: it is not there, or it is not what an extractor must be.
    """
    opener = EXTRACTORS.get(options.name)
    if opener is not None:
        return opener(options)
    folder = pathlib.Path(os.path.expanduser(options.name))
    if not folder.is_dir():
        known = ", ".join(EXTRACTORS)
        raise UserError(f"extractor: expected {known} or the directory of a SavedModel, received {options.name}")
    return _as_extractor(_SavedModel(folder, options, "extractor"), folder, str(folder), options)


def _open_inception(options: ExtractorOptions) -> Extractor:
    place = options.inception_dir or os.environ.get(INCEPTION_VARIABLE) or _fetch_inception()
    folder = pathlib.Path(os.path.expanduser(place))
    check_tensorflow_path("inception_dir", folder)
    network = _SavedModel(folder, options, "inception_dir")
    _check_inception(network, folder)
    extractor = _as_extractor(network, folder, "inception", options)
    # The module takes images of any size and would not say that it is made for this one.
    size = (tf_gan.INCEPTION_IMAGE_SIZE, tf_gan.INCEPTION_IMAGE_SIZE)
    return dataclasses.replace(extractor, size=size, channels=3)


def _check_inception(network: _SavedModel, folder: pathlib.Path) -> None:
    """Raise UserError if it says of itself that it is another network: its numbers would pass for those of papers."""
    expected = (tf_gan.INCEPTION_FEATURES, tf_gan.INCEPTION_CLASSES)
    if any(None not in (one, other) and one != other for one, other in zip(network.lengths, expected, strict=True)):
        raise UserError(
            f"extractor: expected TF-GAN's Inception ({expected[0]} features, {expected[1]} logits), received "
            f"{network.lengths[0]} and {network.lengths[1]} in {folder}; for another network, pass --extractor={folder}"
        )


def _fetch_inception() -> str:
    try:
        return tf_gan.fetch_from_hub(tf_gan.INCEPTION_HANDLE)
    except ImportError as error:
        raise UserError(
            f"extractor: expected the package tensorflow-hub, which fetches TF-GAN's Inception, received none "
            f"({error}); install it: {install_command('tensorflow-hub')}"
        ) from error
    except Exception as error:  # an interrupted download raises what the archive's reader raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"extractor: expected TF-GAN's Inception, which could not be fetched ({reason}); where there is a network, "
            f"run: curl -L -o inception.tar.gz '{tf_gan.INCEPTION_HANDLE}?tf-hub-format=compressed'; then unpack it "
            "here: mkdir inception && tar -xzf inception.tar.gz -C inception; and pass --inception_dir=inception, the "
            f"directory that holds saved_model.pb and variables, or set {INCEPTION_VARIABLE} to it"
        ) from error


def _open_fashion_mnist(options: ExtractorOptions) -> Extractor:
    classifier, digest = fashion_mnist_classifier.load_classifier()

    def network(images: tf.Tensor) -> Outputs:
        return Outputs(*classifier(images, training=False))

    names = load_arrays("reference")[2]
    size = (fashion_mnist_classifier.RESOLUTION, fashion_mnist_classifier.RESOLUTION)
    return Extractor("fashion_mnist", f"fashion_mnist/{digest}", size, 1, names, network)


def _open_efficientnet_lite0(options: ExtractorOptions) -> Extractor:
    model, class_names, digest = efficientnet_lite0.load_network()

    def network(images: tf.Tensor) -> Outputs:
        return Outputs(*model(images, training=False))

    size = (efficientnet_lite0.RESOLUTION, efficientnet_lite0.RESOLUTION)
    return Extractor("efficientnet_lite0", f"efficientnet_lite0/{digest}", size, 3, class_names, network)


EXTRACTORS: dict[str, Callable[[ExtractorOptions], Extractor]] = {
    "inception": _open_inception,
    "fashion_mnist": _open_fashion_mnist,
    "efficientnet_lite0": _open_efficientnet_lite0,
}
PACKAGED_EXTRACTORS = tuple(name for name in EXTRACTORS if name != "inception")
"""Extractors whose weights come with this package."""


class _SavedModel:
    """A SavedModel as an extractor's network, called by its signature or, without one, by its `__call__`."""

    def __init__(self, folder: pathlib.Path, options: ExtractorOptions, option: str) -> None:
        self._option = option
        self._fields = options.features, options.logits
        self._model = load_saved_model(folder, option)  # kept: its functions hold its variables weakly
        self._function, self._spec = self._function_of_images(folder)
        outputs = self._function.structured_outputs
        if not isinstance(outputs, dict) or any(field not in outputs for field in self._fields):
            received = ", ".join(sorted(outputs)) if isinstance(outputs, dict) else "outputs without names"
            raise UserError(
                f"{option}: expected outputs named {' and '.join(self._fields)} in {folder}, received {received}; "
                "sagan_tf.train and sagan_tf.evaluate use other names with --extractor_features and --extractor_logits"
            )

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that it takes, if it says so."""
        sizes = tuple(self._spec.shape[1:3]) if self._spec.shape.rank == 4 else (None, None)
        return None if None in sizes else sizes

    @property
    def channels(self) -> int | None:
        """Channels that it takes, if it says so."""
        return self._spec.shape[3] if self._spec.shape.rank == 4 else None

    @property
    def lengths(self) -> tuple[int | None, int | None]:
        """Of a feature vector and of the logits, as far as it says so."""
        shapes = [self._function.structured_outputs[field].shape for field in self._fields]
        features, logits = (shape[1:].num_elements() if shape.rank else None for shape in shapes)
        return features, logits

    def __call__(self, images: tf.Tensor) -> Outputs:
        outputs = self._function(images)
        rows = tf.shape(images)[0]
        return Outputs(*(tf.reshape(tf.cast(outputs[field], tf.float32), [rows, -1]) for field in self._fields))

    def _function_of_images(self, folder: pathlib.Path) -> tuple[Any, tf.TensorSpec]:
        """Return the function to call and what it takes: one float32 tensor."""
        signatures = getattr(self._model, "signatures", {})
        candidates = [signatures[name] for name in signatures if name == "serving_default"]
        candidates += getattr(getattr(self._model, "__call__", None), "concrete_functions", [])  # noqa: B004
        for function in candidates:
            inputs = tf.nest.flatten(function.structured_input_signature)
            specs = [one for one in inputs if isinstance(one, tf.TensorSpec)]
            if len(specs) == 1 and specs[0].dtype == tf.float32 and _takes_batches(specs[0].shape):
                return function, specs[0]
        raise UserError(
            f"{self._option}: expected a signature serving_default or a call that takes one float32 tensor of images, "
            f"as many as there are, in {folder}, received {', '.join(signatures) or 'no signature'}"
        )


def _takes_batches(shape: tf.TensorShape) -> bool:
    """Return whether it is of any number of images, and of one size or of any."""
    if shape.rank is None:
        return True
    return shape.rank == 4 and shape[0] is None and (shape[1] is None) == (shape[2] is None)


def _as_extractor(network: _SavedModel, folder: pathlib.Path, name: str, options: ExtractorOptions) -> Extractor:
    kind = name if name in EXTRACTORS else "saved_model"  # and not the folder's name: it may be moved
    identity = f"{kind}/{options.features},{options.logits}/{digest_of_saved_model(folder)}"
    return Extractor(name, identity, network.size, network.channels, (), network)
