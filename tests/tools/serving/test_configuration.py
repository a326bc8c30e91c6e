"""The three configuration files of the server, parsed with the server's own messages."""

from __future__ import annotations

from sagan_tf.serving.contract import MAX_BATCH_SIZE, MODEL_NAME
from tests.tools.serving.configuration import read_configuration


def test_the_model_has_the_name_that_the_client_requests() -> None:
    (model,) = read_configuration("models.config").model_config_list.config
    assert model.name == MODEL_NAME


def test_the_server_accepts_the_largest_requests_of_the_client() -> None:
    batching = read_configuration("batching_parameters.txt")
    assert batching.max_batch_size.value == MAX_BATCH_SIZE
    execution_size = batching.max_execution_batch_size.value
    assert 1 <= execution_size <= MAX_BATCH_SIZE
    assert batching.enable_large_batch_splitting.value or execution_size == MAX_BATCH_SIZE
    assert execution_size * batching.max_enqueued_batches.value >= 2 * MAX_BATCH_SIZE
    assert batching.num_batch_threads.value >= 1
    assert 0 < batching.batch_timeout_micros.value <= 50_000


def test_batch_sizes_are_valid_and_pad_little() -> None:
    batching = read_configuration("batching_parameters.txt")
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (1, batching.max_execution_batch_size.value)
    for rows in range(1, sizes[-1] + 1):
        computed = min(size for size in sizes if size >= rows)
        assert computed <= 1.5 * rows, f"{computed} images are computed for a batch of {rows}"
