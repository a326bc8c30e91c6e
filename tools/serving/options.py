"""Options of `tools/serving/load_generator.py`."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.option import check_given, check_positive, option
from sagan_tf.errors import UserError
from sagan_tf.serving.contract import MAX_BATCH_SIZE, MODEL_NAME


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """Options of `tools/serving/load_generator.py`."""

    server: str = option("", "HOST:PORT of the gRPC interface, or with --rest of the REST interface.")
    rest: bool = option(False, "Use REST instead of gRPC.")
    model: str = option(MODEL_NAME, "Name of the model.")
    model_card: str = option("", "model_card.json of the model, with the number of classes.")
    num_classes: int = option(1, "Number of classes, without --model_card; 1: only class 0 is requested.")
    requests: int = option(1000, "Number of requests for each batch size.")
    concurrency: int = option(4, "Number of requests at the same time.")
    batch_sizes: tuple[int, ...] = option((1, 4, 16), "Comma list of numbers of images per request.")
    malformed: float = option(0.0, "Share of malformed requests, 0 to 1.")
    timeout: float = option(60.0, "Seconds to wait for an answer.")
    json: str = option("", "File to write the result to; empty: none.")

    def __post_init__(self) -> None:
        check_given(self, "server")
        check_positive(self, "num_classes", "requests", "concurrency")
        wrong = [size for size in self.batch_sizes if not 1 <= size <= MAX_BATCH_SIZE]
        if wrong or not self.batch_sizes:
            received = wrong[0] if wrong else "none"
            raise UserError(f"batch_sizes: expected numbers from 1 to {MAX_BATCH_SIZE}, received {received}")
        if not 0 <= self.malformed <= 1:
            raise UserError(f"malformed: expected 0 to 1, received {self.malformed}")
