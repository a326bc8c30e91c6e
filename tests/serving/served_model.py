"""The newest version of a SavedModel, with the checks of TensorFlow Serving before it runs a model."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from tests.serving.cc_session import CcSession, RunError

INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION = 3, 5, 9


class ServedModel:
    """A model that the two interfaces of a server share; every error is a `RunError`.

    Args:
        base_path: The parent directory of the versions.
        name: The name of the model.
    """

    def __init__(self, base_path: pathlib.Path, name: str) -> None:
        versions = [int(path.name) for path in base_path.iterdir() if path.name.isdecimal()]
        assert versions, f"no version in {base_path}"
        self.name, self.version = name, max(versions)
        # Zero-padded names are numbers too, as in TensorFlow Serving.
        (directory,) = (
            path for path in base_path.iterdir() if path.name.isdecimal() and int(path.name) == self.version
        )
        self.session = CcSession(directory)

    def check_name(self, name: str, version: int | None) -> None:
        """Raise an error unless a request is for this model and its version."""
        if not name:
            raise RunError(INVALID_ARGUMENT, "Missing ModelSpec")
        if name != self.name or version not in (None, self.version):
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise RunError(NOT_FOUND, f"Servable not found for request: {wanted}")

    def signature(self, name: str) -> meta_graph_pb2.SignatureDef:
        """Return a signature; the empty name is the default signature."""
        name = name or "serving_default"
        if name not in self.session.signatures:
            raise RunError(FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        return self.session.signatures[name]

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return all outputs of a signature."""
        expected, sent = set(self.signature(signature).inputs), set(inputs)
        if len(expected) != len(sent):
            raise RunError(
                INVALID_ARGUMENT,
                f"input size does not match signature: {len(sent)}!={len(expected)} len({{{_list(sent)}}}) != "
                f"len({{{_list(expected)}}}). Sent extra: {{{_list(sent - expected)}}}. "
                f"Missing but required: {{{_list(expected - sent)}}}.",
            )
        for name in sorted(sent - expected):
            raise RunError(
                INVALID_ARGUMENT,
                f"input tensor alias not found in signature: {name}. Inputs expected to be in the set "
                f"{{{_list(expected)}}}.",
            )
        return self.session.run(signature or "serving_default", inputs)


def _list(names: set[str]) -> str:
    return ",".join(sorted(names))
