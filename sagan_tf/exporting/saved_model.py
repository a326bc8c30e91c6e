"""SavedModels with what belongs to them, as TensorFlow Serving takes them."""

from __future__ import annotations

import pathlib
from typing import Any

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.exporting.model_card import write_card
from sagan_tf.exporting.signatures import ExportedNetwork
from sagan_tf.exporting.warm_up import write_warm_up
from sagan_tf.serving.transports import one_line


def write_saved_model(exported: ExportedNetwork, card: dict[str, Any], folder: pathlib.Path) -> None:
    """Fill a version's folder: the SavedModel, its card and requests to warm up with.

    Raises:
        UserError: TensorFlow cannot write it.
    """
    try:
        tf.saved_model.save(exported.module, str(folder), signatures=exported.signatures)
    except tf.errors.OpError as error:
        reason = one_line(error.message.rpartition("}} ")[2])
        raise UserError(f"output: expected to write {folder.parent.parent}, received {reason}") from error
    write_card(card, folder)
    inputs = {name: one.structured_input_signature[1] for name, one in exported.signatures.items()}
    write_warm_up(folder, inputs)
