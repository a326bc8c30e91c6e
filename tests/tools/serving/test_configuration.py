"""The three configuration files of the server, parsed with the server's own messages."""

from __future__ import annotations

import re

import pytest
from google.protobuf import text_format

from sagan_tf.serving.contract import MAX_BATCH_SIZE, MODEL_NAME
from tests.tools.serving.configuration import FILES, read_configuration
from tests.tools.serving.files import SERVING


@pytest.mark.parametrize("name", FILES)
def test_a_misspelled_name_is_an_error(name: str) -> None:
    text = (SERVING / name).read_text(encoding="utf-8")
    names = list(re.finditer(r"^\s*(\w+)(?=:| \{)", text, flags=re.MULTILINE))
    assert len(names) >= 3
    for found in names:
        misspelled = f"{text[: found.end()]}s{text[found.end() :]}"
        with pytest.raises(text_format.ParseError, match=f"{found[1]}s"):
            text_format.Parse(misspelled, FILES[name]())


def test_the_newest_export_is_served_under_its_name() -> None:
    (model,) = read_configuration("models.config").model_config_list.config
    assert (model.name, model.base_path) == (MODEL_NAME, f"/models/{MODEL_NAME}")
    assert model.model_platform == "tensorflow"
    assert model.model_version_policy.WhichOneof("policy_choice") == "latest"
    assert model.model_version_policy.latest.num_versions == 1
    # The server refuses a label of a version that is not loaded, and does not start.
    assert not model.version_labels


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


def test_prometheus_is_enabled() -> None:
    prometheus = read_configuration("monitoring.config").prometheus_config
    assert prometheus.enable
    assert prometheus.path == "/monitoring/prometheus/metrics"
