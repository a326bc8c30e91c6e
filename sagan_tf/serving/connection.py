"""The client class for a generator that is served by TensorFlow Serving.

It needs no TensorFlow; for gRPC it needs grpcio and protobuf, for REST requests:

    with Client("localhost:8500") as client:
        png, = client.generate(seeds=[1], labels=[3])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike

from sagan_tf.errors import UserError
from sagan_tf.serving.classes import Classes
from sagan_tf.serving.contract import (
    ATTENTION,
    GENERATE,
    GENERATOR_SIGNATURES,
    MAX_BATCH_SIZE,
    MODEL_NAME,
    NO_TRUNCATION,
    SERVING_DEFAULT,
    SignatureContract,
    TensorContract,
)
from sagan_tf.serving.inputs import validate_inputs
from sagan_tf.serving.transports import ModelMetadata, Transport
from sagan_tf.text import format_install_command

__all__ = ["Client"]

_MAX_TIMEOUT_S = 1_000_000


class Client:
    """A generator that is served by TensorFlow Serving. Threads may share a client.

    More rows than `batch_size` are sent as several requests, one after the other, and answered in order. If the server
    cannot be reached or is overloaded, a request is retried a few times; if the server refuses a request, it is not.
    Every problem is a `UserError` with a message of one line.

    Args:
        server: HOST:PORT of the gRPC or the REST interface; for REST also http(s)://HOST:PORT.
        rest: Use REST instead of gRPC.
        model: The name of the model.
        version: The version of the model; None: the newest.
        classes: The classes of the model, so that labels can be names; see `sagan_tf.serving.classes.read_classes`.
        timeout_s: Time for each request of at most `batch_size` rows, including retries, in seconds.
        batch_size: Number of rows of a request.

    Attributes:
        transport: The connection to the server. It sends its arguments unchecked.

    Raises:
        UserError: If an argument is out of range.
    """

    def __init__(
        self,
        server: str,
        *,
        rest: bool = False,
        model: str = MODEL_NAME,
        version: int | None = None,
        classes: Classes | None = None,
        timeout_s: float = 60.0,
        batch_size: int = MAX_BATCH_SIZE,
    ) -> None:
        if "@" in server:  # The value is not repeated, because it may hold a password.
            raise UserError("server: expected an address without a user name and password, received one with @")
        if not 0 < timeout_s <= _MAX_TIMEOUT_S:
            raise UserError(
                f"timeout: expected more than 0 and at most {_MAX_TIMEOUT_S:,} seconds, received {timeout_s}"
            )
        if not model:
            raise UserError("model: the name is empty; give the name of the model that the server serves")
        if version is not None and not 0 <= version < 2**63:
            raise UserError(f"version: expected 0 to 2^63 - 1, received {version}")
        if not 1 <= batch_size <= MAX_BATCH_SIZE:
            raise UserError(f"batch_size: expected 1 to {MAX_BATCH_SIZE}, received {batch_size}")
        self._classes = classes or Classes()
        self._timeout_s, self._batch_size = timeout_s, batch_size
        self.transport: Transport = _import_transport(rest)(server, model, version)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.transport.close()

    def generate(
        self, seeds: ArrayLike, labels: Sequence[int | str] | np.ndarray, truncation: ArrayLike | None = None
    ) -> list[bytes]:
        """Generate images as PNG files.

        Args:
            seeds: int64 [n].
            labels: The label of each image, [n]: numbers, or names in `classes`.
            truncation: At least 0, one number or [n]. 8 or more, or None: no truncation.

        Returns:
            The contents of n PNG files.
        """
        thresholds = np.full(np.shape(seeds), np.inf) if truncation is None else np.asarray(truncation)
        if thresholds.dtype.kind not in "iuf" or not np.all(thresholds >= 0):
            raise UserError(f"truncation: expected numbers of at least 0, received {truncation}")
        # Limited to 8, beyond which nothing is truncated, because JSON has no infinity.
        thresholds = np.minimum(thresholds, NO_TRUNCATION)
        thresholds = np.broadcast_to(thresholds, np.shape(seeds)) if thresholds.ndim == 0 else thresholds
        return self._request(GENERATE, seeds=seeds, labels=self._to_numbers(labels), truncation=thresholds).tolist()

    def images(self, latents: ArrayLike, labels: Sequence[int | str] | np.ndarray) -> np.ndarray:
        """Generate images from latents.

        Args:
            latents: [n, latent_dim].
            labels: The label of each image, [n]: numbers, or names in `classes`.

        Returns:
            float32 [n, height, width, channels] in [-1, 1].
        """
        return self._request(SERVING_DEFAULT, latents=latents, labels=self._to_numbers(labels))

    def attention(self, latents: ArrayLike, labels: Sequence[int | str] | np.ndarray, queries: ArrayLike) -> np.ndarray:
        """Return the attention maps of the generator.

        Args:
            latents: [n, latent_dim].
            labels: The label of each image, [n]: numbers, or names in `classes`.
            queries: Row and column of a location in the feature map of the attention layer, [n, 2].

        Returns:
            float32 [n, height, width].
        """
        return self._request(ATTENTION, latents=latents, labels=self._to_numbers(labels), queries=queries)

    def metadata(self) -> ModelMetadata:
        """Return the name, version and signatures of the model that answers."""
        return self.transport.metadata(self._timeout_s)

    def signatures(self) -> dict[str, SignatureContract]:
        """Return the inputs and outputs of every signature of the model, by its name."""
        return self.metadata().signatures

    def signature(self, name: str) -> SignatureContract:
        """Return the inputs and outputs of a signature.

        Raises:
            UserError: If the model does not have this signature of a generator. The message names the input or output
                that is missing or has another number of axes.
        """
        signatures = self.signatures()
        if name not in signatures:
            raise _make_model_error(f"a generator with the signature {name}", f"a model with {', '.join(signatures)}")
        _check_tensors(name, "input", signatures[name].inputs, GENERATOR_SIGNATURES[name].inputs)
        _check_tensors(name, "output", signatures[name].outputs, GENERATOR_SIGNATURES[name].outputs)
        return signatures[name]

    def is_ready(self) -> bool:
        """Return whether the server can be reached and serves the model."""
        return self.transport.is_ready(self._timeout_s)

    def _to_numbers(self, labels: Sequence[int | str] | np.ndarray) -> ArrayLike:
        """Return labels as numbers.

        The server, which knows its classes, checks the numbers.
        """
        if isinstance(labels, str | bytes) or np.ndim(labels) == 0:
            raise UserError(f"labels: expected a list with one label per image, received {labels!r}")
        if not isinstance(labels, np.ndarray):
            return [self._classes.find_labels([label])[0] if isinstance(label, str) else label for label in labels]
        return labels

    def _request(self, signature: str, **values: ArrayLike) -> np.ndarray:
        inputs = validate_inputs(signature, values)
        count = len(next(iter(inputs.values())))
        answers = []
        for start in range(0, count, self._batch_size):
            part = {name: array[start : start + self._batch_size] for name, array in inputs.items()}
            answers.append(self._request_batch(signature, part))
        return np.concatenate(answers)

    def _request_batch(self, signature: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
        (output,) = GENERATOR_SIGNATURES[signature].outputs
        answer = self.transport.predict(signature, inputs, output, self._timeout_s)
        count = len(inputs["labels"])
        if answer.ndim == 0 or len(answer) != count:
            raise UserError(f"{signature}: expected {count} rows of {output}, received shape {list(answer.shape)}")
        return answer


def _check_tensors(
    signature: str, kind: str, found: Mapping[str, TensorContract], expected: Mapping[str, TensorContract]
) -> None:
    """Raise UserError unless each expected input or output exists with as many axes."""
    for name, tensor in expected.items():
        if name not in found:
            raise _make_model_error(f"the {kind} {name} of {signature}", ", ".join(found) or "none")
        if len(found[name].shape) != len(tensor.shape):
            raise _make_model_error(
                f"{len(tensor.shape)} axes of the {kind} {name} of {signature}",
                f"{len(found[name].shape)} in shape {list(found[name].shape)}",
            )


def _make_model_error(expected: str, received: str) -> UserError:
    return UserError(f"model: expected {expected}, received {received}; serve a model that sagan_tf.export has written")


def _import_transport(rest: bool) -> Callable[[str, str, int | None], Transport]:
    # Imported only here, because each interface needs packages that the other one does not need.
    try:
        if rest:
            from sagan_tf.serving.rest_transport import RestTransport

            return RestTransport
        from sagan_tf.serving.grpc_transport import GrpcTransport

        return GrpcTransport
    except ImportError as error:
        name, packages = ("REST", ["requests"]) if rest else ("gRPC", ["grpcio", "protobuf"])
        other = "gRPC: no --rest" if rest else "REST: --rest"
        raise UserError(
            f"server: {name} needs {' and '.join(packages)}, which cannot be imported ({error}); install with "
            f"{format_install_command(*packages)}, or use {other} (in Python rest={not rest}) and the port of that "
            f"interface, usually {8500 if rest else 8501}, in --server"
        ) from error
