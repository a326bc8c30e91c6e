"""The server's three configuration files, read by the messages that it reads them with."""

from __future__ import annotations

import re

import pytest
from google.protobuf import text_format

from sagan_tf.serving.contract import LARGEST_BATCH, MODEL_NAME
from tests.tools.serving.configuration import FILES, read
from tests.tools.serving.files import SERVING


@pytest.mark.parametrize("name", FILES)
def test_no_name_in_it_may_be_misspelt(name: str) -> None:
    text = (SERVING / name).read_text(encoding="utf-8")
    names = list(re.finditer(r"^\s*(\w+)(?=:| \{)", text, flags=re.MULTILINE))
    assert len(names) >= 3
    for found in names:
        misspelt = f"{text[: found.end()]}s{text[found.end() :]}"
        with pytest.raises(text_format.ParseError, match=f"{found[1]}s"):
            text_format.Parse(misspelt, FILES[name]())


def test_the_newest_export_is_served_under_its_name() -> None:
    (model,) = read("models.config").model_config_list.config
    assert (model.name, model.base_path) == (MODEL_NAME, f"/models/{MODEL_NAME}")
    assert model.model_platform == "tensorflow"
    assert model.model_version_policy.WhichOneof("policy_choice") == "latest"
    assert model.model_version_policy.latest.num_versions == 1
    # A label of a version that is not loaded is refused, and the server with it.
    assert not model.version_labels


def test_every_request_that_the_client_lets_through_is_taken() -> None:
    batching = read("batching_parameters.txt")
    assert batching.max_batch_size.value == LARGEST_BATCH
    at_once = batching.max_execution_batch_size.value
    assert 1 <= at_once <= LARGEST_BATCH
    assert batching.enable_large_batch_splitting.value or at_once == LARGEST_BATCH
    assert at_once * batching.max_enqueued_batches.value >= 2 * LARGEST_BATCH
    assert batching.num_batch_threads.value >= 1
    assert 0 < batching.batch_timeout_micros.value <= 50_000


def test_batch_sizes_are_those_that_the_server_accepts_and_waste_little() -> None:
    batching = read("batching_parameters.txt")
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (1, batching.max_execution_batch_size.value)
    for rows in range(1, sizes[-1] + 1):
        computed = min(size for size in sizes if size >= rows)
        assert computed <= 1.5 * rows, f"{computed} pictures are made for a batch of {rows}"


def test_prometheus_has_its_page() -> None:
    prometheus = read("monitoring.config").prometheus_config
    assert prometheus.enable
    assert prometheus.path == "/monitoring/prometheus/metrics"
