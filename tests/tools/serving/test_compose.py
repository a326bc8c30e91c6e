"""The agreement of compose.yaml with the configuration files, and its health check, which is run."""

from __future__ import annotations

import pathlib
import socket
import subprocess
from typing import Any

import pytest

from tests.serving.model_server import ModelServer
from tests.serving.served_model import ServedModel
from tests.tools.serving.configuration import read_configuration
from tests.tools.serving.files import CONFIGURATION_FILES, KNOWN_FLAGS, SERVING, parse_flags, read_yaml

COMPOSE = SERVING / "compose.yaml"


@pytest.fixture(scope="module")
def service() -> Any:
    return read_yaml(COMPOSE)["services"]["serving"]


@pytest.fixture(scope="module")
def flags(service: Any) -> dict[str, str]:
    return parse_flags(service["command"])


def test_the_flags_are_known(flags: dict[str, str]) -> None:
    assert set(flags) <= KNOWN_FLAGS
    assert "enable_batching" not in flags  # one invalid request would fail the requests in its batch


def test_every_configuration_file_is_mounted_where_its_flag_points(service: Any, flags: dict[str, str]) -> None:
    files = {name: config["file"] for name, config in read_yaml(COMPOSE)["configs"].items()}
    mounted = {config["target"]: SERVING / files[config["source"]] for config in service["configs"]}
    assert set(mounted) == CONFIGURATION_FILES > {flags["model_config_file"], flags["monitoring_config_file"]}
    for target, path in mounted.items():
        assert path.is_file(), path
        assert path.name == pathlib.PurePosixPath(target).name


def test_the_exports_are_mounted_where_the_server_looks(service: Any) -> None:
    (volume,) = service["volumes"]
    assert volume["target"] == read_configuration("models.config").model_config_list.config[0].base_path


def test_the_number_of_threads_is_that_of_cpus(service: Any, flags: dict[str, str]) -> None:
    assert flags["tensorflow_intra_op_parallelism"] == service["deploy"]["resources"]["limits"]["cpus"]
    threads = read_configuration("batching_parameters.txt").num_batch_threads.value
    assert flags["tensorflow_inter_op_parallelism"] == str(threads)


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
