"""The newest version of a SavedModel, with the checks of TensorFlow Serving before it runs a model."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from tests.serving.cc_session import CcSession, RunError

INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION = 3, 5, 9


@dataclasses.dataclass(frozen=True)
class Fault:
    """The treatment of one request that differs from that of a correct server.

    Attributes:
        code: The gRPC status code of a refusal; 0: the request is answered.
        seconds: The wait before the answer; in REST, before each chunk of the body.
        outputs: Outputs in place of those of the model.
        is_lost: In REST, whether the connection is closed without an answer.
        status: In REST, the HTTP status in place of that of the code.
        headers: In REST, further headers.
        chunks: In REST, the body in place of the outputs.
    """

    code: int = 0
    seconds: float = 0.0
    outputs: dict[str, np.ndarray] | None = None
    is_lost: bool = False
    status: int = 0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    chunks: tuple[bytes, ...] = ()


class ServedModel:
    """A model that the two interfaces of a server share; every error is a `RunError`.

    Args:
        base_path: The parent directory of the versions.
        name: The name of the model.

    Attributes:
        state: The state of the version.
        faults: The treatment of the next requests; a request after them is answered correctly.
        requests: The newest requests for a prediction or metadata: a gRPC message, or path, headers and JSON.
    """

    def __init__(self, base_path: pathlib.Path, name: str) -> None:
        self.name, self.version = name, max(int(path.name) for path in base_path.iterdir() if path.name.isdecimal())
        self.session = CcSession(base_path / str(self.version))
        self.state = "AVAILABLE"
        self.faults: list[Fault] = []
        self.requests: collections.deque[Any] = collections.deque(maxlen=100)

    def record(self, request: Any) -> Fault:
        """Record a request and return its treatment."""
        self.requests.append(request)
        return self.faults.pop(0) if self.faults else Fault()

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
                f"input size does not match signature: {len(sent)}!={len(expected)}. Sent extra: "
                f"{sorted(sent - expected)}. Missing but required: {sorted(expected - sent)}.",
            )
        if sent != expected:
            raise RunError(INVALID_ARGUMENT, f"input tensor alias not found in signature: {sorted(sent - expected)}")
        return self.session.run(signature or "serving_default", inputs)
