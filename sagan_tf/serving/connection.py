"""A generator behind TensorFlow Serving, as an object in a program.

Needs neither TensorFlow nor, for REST, grpcio:

    with Client("localhost:8500") as client:
        png, = client.generate(seeds=[1], labels=[3])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike

from sagan_tf.errors import UserError
from sagan_tf.serving.classes import Classes
from sagan_tf.serving.contract import (
    ATTENTION,
    GENERATE,
    GENERATOR_SIGNATURES,
    LARGEST_BATCH,
    MODEL_NAME,
    NO_TRUNCATION,
    SERVING_DEFAULT,
    SignatureContract,
)
from sagan_tf.serving.inputs import checked_inputs
from sagan_tf.serving.rest_transport import RestTransport
from sagan_tf.serving.transports import ModelMetadata, Transport, with_retries
from sagan_tf.text import install_command

__all__ = ["Client"]

_LONGEST_TIMEOUT_S = 1_000_000


class Client:
    """A generator behind TensorFlow Serving. Threads may share it.

    More rows than `batch_size` are sent as several requests, one after the other, and answered in order. A server that
    cannot be reached or is overloaded is asked again a few times; one that calls the request wrong is not. Whatever
    goes wrong is a `UserError` that says so in one line.

    Args:
        server: HOST:PORT of its gRPC or its REST interface; for REST also http(s)://HOST:PORT.
        rest: REST instead of gRPC.
        model: name of the model.
        version: of the model; None for the newest.
        classes: makes labels known by name; see `sagan_tf.serving.classes.read_classes`.
        timeout_s: seconds for each request of at most `batch_size` rows, with its repetitions.
        batch_size: rows of a request.
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
        batch_size: int = LARGEST_BATCH,
    ) -> None:
        if not 0 < timeout_s <= _LONGEST_TIMEOUT_S:
            most = f"{_LONGEST_TIMEOUT_S:,}"
            raise UserError(f"timeout: expected seconds above 0, to {most} at most, received {timeout_s}")
        if not model:
            raise UserError("model: expected its name, received none")
        if version is not None and not 0 <= version < 2**63:
            raise UserError(f"version: expected a number from 0 on, below 2^63, received {version}")
        if not 1 <= batch_size <= LARGEST_BATCH:
            raise UserError(f"batch_size: expected 1 to {LARGEST_BATCH}, received {batch_size}")
        self._classes = classes or Classes()
        self._timeout_s, self._batch_size = timeout_s, batch_size
        self.transport: Transport = (RestTransport if rest else _grpc_transport())(server, model, version)
        """The way to the server, which sends what it is given, unchecked and once."""

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self.transport.close()

    def generate(
        self, seeds: ArrayLike, labels: Sequence[int | str] | np.ndarray, truncation: ArrayLike | None = None
    ) -> list[bytes]:
        """PNG files, one for each seed.

        Args:
            seeds: int64 [n].
            labels: of each picture, [n]: numbers, or names that `classes` knows.
            truncation: at least 0, one number or [n]; 8 or more, or None: none.
        """
        cut = np.full(np.shape(seeds), np.inf) if truncation is None else np.asarray(truncation)
        if cut.dtype.kind not in "iuf" or not np.all(cut >= 0):
            raise UserError(f"truncation: expected numbers of at least 0, received {truncation}")
        # At 8 there is nothing left to cut off; JSON has no infinity.
        cut = np.minimum(cut, NO_TRUNCATION)
        cut = np.broadcast_to(cut, np.shape(seeds)) if cut.ndim == 0 else cut
        return self._ask(GENERATE, seeds=seeds, labels=self._numbers(labels), truncation=cut).tolist()

    def images(self, latents: ArrayLike, labels: Sequence[int | str] | np.ndarray) -> np.ndarray:
        """Images float32 [n, height, width, channels] in [-1, 1] of latents [n, latent_dim] and labels [n]."""
        return self._ask(SERVING_DEFAULT, latents=latents, labels=self._numbers(labels))

    def attention(self, latents: ArrayLike, labels: Sequence[int | str] | np.ndarray, queries: ArrayLike) -> np.ndarray:
        """Where the generator looks, float32 [n, height, width], from queries [n, 2]: row and column."""
        return self._ask(ATTENTION, latents=latents, labels=self._numbers(labels), queries=queries)

    def metadata(self) -> ModelMetadata:
        """Name, version and signatures of the model that answers."""
        return with_retries(self.transport.metadata, self._timeout_s)

    def signatures(self) -> dict[str, SignatureContract]:
        """Return what the model takes and gives, by the names of its signatures."""
        return self.metadata().signatures

    def signature(self, name: str) -> SignatureContract:
        """Return what a signature takes and gives.

        Raises:
            UserError: the model has no such signature of the contract's, as a discriminator.
        """
        found, wanted = self.signatures(), GENERATOR_SIGNATURES[name]
        if name not in found or not wanted.inputs.keys() <= found[name].inputs.keys():
            raise UserError(f"model: expected a generator with the signature {name}, received {', '.join(found)}")
        return found[name]

    def is_ready(self) -> bool:
        """Return whether the server is there and serves the model."""
        return self.transport.is_ready(self._timeout_s)

    def _numbers(self, labels: Sequence[int | str] | np.ndarray) -> ArrayLike:
        """Labels as numbers; those that are numbers already are left to the server, which knows its classes."""
        if isinstance(labels, str | bytes) or np.ndim(labels) == 0:
            raise UserError(f"labels: expected as many as pictures, received {labels!r}")
        if not isinstance(labels, np.ndarray):
            return [self._classes.labels([label])[0] if isinstance(label, str) else label for label in labels]
        return labels

    def _ask(self, signature: str, **values: ArrayLike) -> np.ndarray:
        inputs = checked_inputs(signature, values)
        count = len(next(iter(inputs.values())))
        answers = []
        for start in range(0, count, self._batch_size):
            part = {name: array[start : start + self._batch_size] for name, array in inputs.items()}
            answers.append(self._answer(signature, part))
        return np.concatenate(answers)

    def _answer(self, signature: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
        (output,) = GENERATOR_SIGNATURES[signature].outputs
        answer = with_retries(lambda left: self.transport.predict(signature, inputs, output, left), self._timeout_s)
        count = len(inputs["labels"])
        if answer.ndim == 0 or len(answer) != count:
            raise UserError(f"{signature}: expected {count} rows of {output}, received shape {list(answer.shape)}")
        return answer


def _grpc_transport() -> Callable[[str, str, int | None], Transport]:
    # Loaded only where it is used: REST needs neither grpcio nor protobuf.
    try:
        from sagan_tf.serving.grpc_transport import GrpcTransport
    except ImportError as error:
        raise UserError(
            f"server: expected the packages grpcio and protobuf for gRPC, received none ({error}); install them: "
            f"{install_command('grpcio', 'protobuf')}; or use REST: --rest (in Python rest=True), and the port of the "
            "server's REST interface, usually 8501, in --server"
        ) from error
    return GrpcTransport
