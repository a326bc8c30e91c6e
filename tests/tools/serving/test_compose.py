"""The keys of compose.yaml, its agreement with the configuration files, and its health check, which is run."""

from __future__ import annotations

import pathlib
import re
import socket
import subprocess
from typing import Any

import pytest

from tests.serving.model_server import ModelServer
from tests.serving.served_model import ServedModel
from tests.tools.serving.configuration import read_configuration
from tests.tools.serving.files import (
    CONFIGURATION_FILES,
    KNOWN_FLAGS,
    SERVER,
    SERVING,
    get_keys,
    parse_flags,
    read_yaml,
)

COMPOSE = SERVING / "compose.yaml"

# The names are those of the Compose Specification, of which no package has a schema.
_SERVICE = {
    **dict.fromkeys(("image", "entrypoint", "command", "ports", "restart", "init", "user", "read_only", "tmpfs")),
    **dict.fromkeys(("cap_drop", "security_opt")),
    "volumes": [
        {**dict.fromkeys(("type", "source", "target", "read_only")), "bind": {"create_host_path": None}},
    ],
    "configs": [dict.fromkeys(("source", "target"))],
    "healthcheck": dict.fromkeys(("test", "interval", "timeout", "retries", "start_period")),
    "deploy": {"resources": {"limits": dict.fromkeys(("cpus", "memory", "pids"))}},
}
_KEYS = {
    "name": None,
    "services": {"serving": _SERVICE},
    "configs": {name: {"file": None} for name in ("models", "batching", "monitoring")},
}


@pytest.fixture(scope="module")
def service() -> Any:
    return read_yaml(COMPOSE)["services"]["serving"]


@pytest.fixture(scope="module")
def flags(service: Any) -> dict[str, str]:
    return parse_flags(service["command"])


def test_keys_are_those_of_the_specification() -> None:
    assert get_keys(read_yaml(COMPOSE)) == _KEYS


def test_the_server_is_pinned_and_its_flags_are_known(service: Any, flags: dict[str, str]) -> None:
    assert re.fullmatch(r"tensorflow/serving:2\.\d+\.\d+", service["image"])
    assert service["entrypoint"] == [SERVER]
    assert set(flags) <= KNOWN_FLAGS
    assert "enable_batching" not in flags  # one invalid request would fail the requests in its batch


def test_ports_are_those_of_the_server_and_local(service: Any, flags: dict[str, str]) -> None:
    assert (flags["port"], flags["rest_api_port"]) == ("8500", "8501")
    assert service["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]


def test_every_configuration_file_is_mounted_where_its_flag_points(service: Any, flags: dict[str, str]) -> None:
    files = {name: config["file"] for name, config in read_yaml(COMPOSE)["configs"].items()}
    mounted = {config["target"]: SERVING / files[config["source"]] for config in service["configs"]}
    assert set(mounted) == CONFIGURATION_FILES > {flags["model_config_file"], flags["monitoring_config_file"]}
    for target, path in mounted.items():
        assert path.is_file(), path
        assert path.name == pathlib.PurePosixPath(target).name


def test_the_exports_are_mounted_read_only_where_the_server_looks(service: Any) -> None:
    (volume,) = service["volumes"]
    assert volume["target"] == read_configuration("models.config").model_config_list.config[0].base_path
    assert re.fullmatch(r"\$\{RUN_DIR:\?[^}]+\}/exports", volume["source"])
    assert volume["type"] == "bind"
    # A missing path is an error; Compose must not create an empty directory.
    assert (volume["read_only"], volume["bind"]["create_host_path"]) == (True, False)


def test_the_number_of_threads_is_that_of_cpus(service: Any, flags: dict[str, str]) -> None:
    assert flags["tensorflow_intra_op_parallelism"] == service["deploy"]["resources"]["limits"]["cpus"]
    threads = read_configuration("batching_parameters.txt").num_batch_threads.value
    assert flags["tensorflow_inter_op_parallelism"] == str(threads)


def test_the_container_has_few_permissions(service: Any) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\$\{SERVING_USER:-[1-9]\d*:[1-9]\d*\}", service["user"])
    assert service["init"] is True, "process 1 does not end on SIGTERM"
    assert service["restart"] == "unless-stopped"


def is_healthy(service: Any, port: int | str) -> bool:
    kind, *command = service["healthcheck"]["test"]
    assert kind == "CMD"
    assert command[-1].count("/8501") == 1
    command[-1] = command[-1].replace("/8501", f"/{port}")
    return subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 0


@pytest.mark.parametrize(("state", "healthy"), [("AVAILABLE", True), ("LOADING", False), ("END", False)])
def test_the_health_check_reads_the_state(
    service: Any, double: ModelServer, model: ServedModel, state: str, healthy: bool
) -> None:
    model.state = state
    assert is_healthy(service, double.rest.rpartition(":")[2]) == healthy


def test_the_health_check_fails_without_a_server(service: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert not is_healthy(service, unused.getsockname()[1])
