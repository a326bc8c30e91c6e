"""Functions and constants of the tests of tools/serving, with a strict reader of YAML files."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import yaml

SERVING = pathlib.Path(__file__).parents[3] / "tools" / "serving"
KUBERNETES = SERVING / "kubernetes"
CONFIGURATION_FILES = {
    f"/etc/sagan-serving/{name}" for name in ("models.config", "batching_parameters.txt", "monitoring.config")
}

# The flags of main.cc in TensorFlow Serving, without experimental ones. The server prints a line about any other flag
# and ignores it.
KNOWN_FLAGS = set(
    re.findall(
        r"\w+",
        """
    allow_version_labels_for_unavailable_models batching_parameters_file enable_batching enable_model_warmup
    enable_per_model_batching_parameters enable_profiler enable_signature_method_name_check
    file_system_poll_wait_seconds flush_filesystem_caches grpc_channel_arguments grpc_max_threads grpc_socket_path
    load_retry_interval_micros max_num_load_retries model_base_path model_config_file
    model_config_file_poll_wait_seconds model_name monitoring_config_file num_load_threads
    num_request_iterations_for_warmup num_unload_threads per_process_gpu_memory_fraction platform_config_file port
    remove_unused_fields_from_bundle_metagraph rest_api_enable_cors_support rest_api_num_threads rest_api_port
    rest_api_timeout_in_ms saved_model_tags ssl_config_file tensorflow_inter_op_parallelism
    tensorflow_intra_op_parallelism tensorflow_session_config_file tensorflow_session_parallelism
    thread_pool_factory_config_file
    """,
    )
)


class _Strict(yaml.SafeLoader):
    """A loader that refuses duplicate keys, of which YAML's own loader takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key in {keys}", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: pathlib.Path) -> dict[str, Any]:
    """Read a file with a single document."""
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Strict)
    assert isinstance(document, dict)
    return document


def parse_flags(arguments: list[str]) -> dict[str, str]:
    """Return the values of flags by name; each must be --name=value, and occur once."""
    pairs = [argument.removeprefix("--").partition("=") for argument in arguments]
    assert all(argument.startswith("--") for argument in arguments)
    assert all(equals and value for _, equals, value in pairs), arguments
    assert len({name for name, _, _ in pairs}) == len(pairs), arguments
    return {name: value for name, _, value in pairs}
