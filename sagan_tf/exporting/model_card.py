"""Model cards, which describe an exported model, its training and its data.

This module imports no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import pathlib
import subprocess
from typing import Any

from sagan_tf.config import Config, get_option_values
from sagan_tf.serving.contract import MODEL_CARD, SignatureContract

_LICENSES = {
    "fashion_mnist_10k": "MIT (Fashion-MNIST, Zalando Research)",
    "imagenet2012": "ImageNet's terms of access: non-commercial research and education",
}
"""Licenses by data set. The license of any other data set is given by `--data_license`."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """The origin of an exported network.

    Attributes:
        run: The name of the run.
        config: The configuration of the run.
        class_names: The names of the classes; empty if there are no classes, or their names are not known.
        step: The step of the checkpoint.
        weights: `ema` or `live`.
        metrics: The run's evaluation of exactly these weights; None if they were not evaluated.
        versions: The versions of Python and of the packages that trained the network.
        data_license: The license of the training data, as the user gave it; empty: use the license that is known.
    """

    run: str
    config: Config
    class_names: tuple[str, ...]
    step: int
    weights: str
    metrics: dict[str, Any] | None
    versions: dict[str, Any]
    data_license: str = ""


def build_model_card(
    origin: Origin,
    num_classes: int,
    sizes: dict[str, int],
    signatures: dict[str, SignatureContract],
    network: str = "generator",
) -> dict[str, Any]:
    """Return the model card of an exported network.

    Args:
        origin: The origin of the network.
        num_classes: The number of classes; 0 for a network without classes.
        sizes: The values of the names that the shapes of `signatures` contain.
        signatures: The signatures by name.
        network: `generator` or `discriminator`. The card of a discriminator has no metrics and no `generator_weights`.

    Returns:
        The card, with the entries that a client needs first.
    """
    is_generator = network == "generator"
    dataset = origin.config.data.dataset
    license_ = origin.data_license or _LICENSES.get(dataset, "not stated")
    return {
        "model": f"{network} of a self-attention GAN, run {origin.run}, step {origin.step}",
        "num_classes": num_classes,
        "class_names": list(origin.class_names),
        **sizes,
        "signatures": {name: dataclasses.asdict(signature) for name, signature in signatures.items()},
        "run": origin.run,
        "step": origin.step,
        "generator_weights": origin.weights if is_generator else None,
        "metrics": _replace_non_finite(origin.metrics) if is_generator else None,
        "data": {"dataset": dataset, "license": license_},
        "configuration": get_option_values(origin.config),
        "trained_with": origin.versions,
        "git_revision": read_git_revision(),
        "exported": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def write_card(card: dict[str, Any], directory: pathlib.Path) -> None:
    """Write a card into the directory of a model."""
    (directory / MODEL_CARD).write_text(format_card(card), encoding="utf-8")


def format_card(card: dict[str, Any]) -> str:
    """Return a card as JSON text."""
    return json.dumps(card, indent=2, allow_nan=False) + "\n"


def _replace_non_finite(values: Any) -> Any:
    """Return nested values with None for NaN and Inf, which JSON cannot represent."""
    if isinstance(values, dict):
        return {name: _replace_non_finite(value) for name, value in values.items()}
    if isinstance(values, list):
        return [_replace_non_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def read_git_revision() -> str | None:
    """Return the git revision of the sources, with + if they were changed.

    None: The sources are not in a git checkout.
    """
    directory = pathlib.Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(directory), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # fails in the checkout of another project
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
