"""The card beside an exported model: what it is, whom it was trained by and on what. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import pathlib
import subprocess
from typing import Any

from sagan_tf.config import Config, option_values
from sagan_tf.serving.contract import MODEL_CARD, SignatureContract

_LICENCES = {
    "fashion_mnist_10k": "MIT (Fashion-MNIST, Zalando Research)",
    "imagenet2012": "ImageNet's terms of access: non-commercial research and education",
}
"""Of data sets whose licence is known; of others it has to be said."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where an exported network comes from.

    Attributes:
        run: name of the run.
        config: the run's.
        class_names: empty if there are no classes, or their names are not known.
        step: of the checkpoint.
        weights: `ema` or `live`.
        metrics: the run's evaluation of these very weights; None if there is none.
        versions: of Python and packages that trained it.
        data_licence: as it was given; empty for what is known.
    """

    run: str
    config: Config
    class_names: tuple[str, ...]
    step: int
    weights: str
    metrics: dict[str, Any] | None
    versions: dict[str, Any]
    data_licence: str = ""


def model_card(
    origin: Origin,
    num_classes: int,
    sizes: dict[str, int],
    signatures: dict[str, SignatureContract],
    network: str = "generator",
) -> dict[str, Any]:
    """Return the card: what a client needs comes first. A discriminator's has neither weights' name nor metrics."""
    of_generator = network == "generator"
    dataset = origin.config.data.dataset
    licence = origin.data_licence or _LICENCES.get(dataset, "not stated")
    return {
        "model": f"{network} of a self-attention GAN, run {origin.run}, step {origin.step}",
        "num_classes": num_classes,
        "class_names": list(origin.class_names),
        **sizes,
        "signatures": {name: dataclasses.asdict(one) for name, one in signatures.items()},
        "run": origin.run,
        "step": origin.step,
        "generator_weights": origin.weights if of_generator else None,
        "metrics": _numbers_only(origin.metrics) if of_generator else None,
        "data": {"dataset": dataset, "licence": licence},
        "configuration": option_values(origin.config),
        "trained_with": origin.versions,
        "git_revision": _git_revision(),
        "exported": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def write_card(card: dict[str, Any], folder: pathlib.Path) -> None:
    """Write a card into a model's folder."""
    (folder / MODEL_CARD).write_text(card_text(card), encoding="utf-8")


def card_text(card: dict[str, Any]) -> str:
    """Return a card as JSON."""
    return json.dumps(card, indent=2, allow_nan=False) + "\n"


def _numbers_only(values: Any) -> Any:
    """With None for what is no number: JSON has no word for it."""
    if isinstance(values, dict):
        return {name: _numbers_only(value) for name, value in values.items()}
    if isinstance(values, list):
        return [_numbers_only(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def _git_revision() -> str | None:
    """Of the sources, if they are a git checkout; + if they were changed since."""
    folder = pathlib.Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # or some other project's checkout that it was installed into
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
