"""SavedModels for TensorFlow Serving, with model card and warm-up requests."""

from __future__ import annotations

import pathlib
from typing import Any

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.exporting.model_card import write_card
from sagan_tf.exporting.signatures import ExportedNetwork
from sagan_tf.exporting.warm_up import write_warm_up
from sagan_tf.serving.transports import shorten_reason


def write_saved_model(exported: ExportedNetwork, card: dict[str, Any], directory: pathlib.Path) -> None:
    """Write a SavedModel, its model card and its warm-up requests.

    Args:
        exported: The network and its signatures.
        card: The model card.
        directory: The empty directory of a model version.

    Raises:
        UserError: If TensorFlow cannot write the SavedModel.
    """
    try:
        tf.saved_model.save(exported.module, str(directory), signatures=exported.signatures)
    except tf.errors.OpError as error:
        reason = shorten_reason(error.message.rpartition("}} ")[2])
        raise UserError(f"output: cannot write {directory.parent.parent}: {reason}") from error
    write_card(card, directory)
    inputs = {name: signature.structured_input_signature[1] for name, signature in exported.signatures.items()}
    write_warm_up(directory, inputs)
