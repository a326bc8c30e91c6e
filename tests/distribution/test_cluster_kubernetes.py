"""Tests of pods as workers, with the real Kubernetes client and a small API server on this machine."""

import http.server
import json
import pathlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest

from sagan_tf.distribution import cluster_kubernetes
from sagan_tf.distribution.cluster_kubernetes import count_workers, find_workers
from sagan_tf.errors import UserError


def pod(name: str, address: str | None, phase: str = "Running", *, ends: bool = False) -> dict[str, Any]:
    """Return the API's description of a pod; all pods run on the same node."""
    metadata = {"name": name} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if ends else {})
    status = {"phase": phase, "hostIP": "192.168.0.9"} | ({"podIP": address} if address else {})
    return {"metadata": metadata, "spec": {"containers": [{"name": "tensorflow"}]}, "status": status}


TWO = [pod("train-1-xyz", "10.0.0.1"), pod("train-0-uvw", "10.0.0.2")]


class ApiServer(http.server.ThreadingHTTPServer):
    """A server that returns a sequence of lists of pods and then repeats the last one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lists: list[list[dict[str, Any]]] = [TWO]
        self.status = 200
        self.paths: list[str] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        pods = self.server.lists.pop(0) if len(self.server.lists) > 1 else self.server.lists[0]
        body = json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[ApiServer]:
    """Provide the environment of a pod with an API server that does not check the token."""
    server = ApiServer()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"

    def load_incluster_config() -> None:
        configuration = kubernetes.client.Configuration(host=address)
        configuration.retries = False
        kubernetes.client.Configuration.set_default(configuration)

    monkeypatch.setattr(kubernetes.config, "load_incluster_config", load_incluster_config)
    (tmp_path / "namespace").write_text("research\n")
    monkeypatch.setattr(cluster_kubernetes, "_NAMESPACE", tmp_path / "namespace")
    monkeypatch.setattr(cluster_kubernetes, "_POLL_INTERVAL_SECONDS", 0.01)
    for name, value in (
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("SAGAN_TF_PODS", "job-name=train"),
        ("SAGAN_TF_NUM_PODS", "2"),
        ("POD_IP", "10.0.0.1"),
    ):
        monkeypatch.setenv(name, value)
    yield server
    server.shutdown()
    server.server_close()
    kubernetes.client.Configuration.set_default(None)


def test_no_workers_without_a_selector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGAN_TF_PODS", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    assert count_workers() == 0


@pytest.mark.parametrize("count", ["", "0", "two", "-1"])
def test_invalid_number_of_pods(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGAN_TF_PODS", "job-name=train")
    monkeypatch.setenv("SAGAN_TF_NUM_PODS", count)
    with pytest.raises(UserError, match=f"SAGAN_TF_NUM_PODS: .*'{count}'"):
        count_workers()


def test_each_pod_finds_its_index(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_workers() == 2
    addresses = ["10.0.0.2:2222", "10.0.0.1:2222"]  # in the order of the pods' names; not the address of the node
    assert find_workers() == (addresses, 1)
    monkeypatch.setenv("POD_IP", "10.0.0.2")
    assert find_workers() == (addresses, 0)
    assert api.paths == ["/api/v1/namespaces/research/pods?labelSelector=job-name%3Dtrain"] * 2


def test_waits_for_running_pods_and_ignores_ended_pods(api: ApiServer) -> None:
    earlier = [pod("train-0-old", "10.0.0.7", "Failed"), pod("train-1-old", "10.0.0.8", ends=True)]
    api.lists = [
        [],
        [*earlier, pod("train-0-uvw", None, "Pending"), pod("train-1-xyz", "10.0.0.1")],
        [*earlier, pod("train-0-uvw", None), pod("train-1-xyz", "10.0.0.1")],
        [*earlier, *TWO],
    ]
    assert find_workers() == (["10.0.0.2:2222", "10.0.0.1:2222"], 1)
    assert len(api.paths) == 4


@pytest.mark.parametrize(
    ("pods", "advice"),
    [
        ([pod("a", "10.0.0.5"), pod("b", "10.0.0.6")], "labels that job-name=train selects, or correct POD_IP"),
        ([pod("a", "10.0.0.1")] * 2, "hostNetwork"),
    ],
)
def test_address_of_no_worker_or_of_two_workers(pods: list[dict[str, Any]], advice: str, api: ApiServer) -> None:
    api.lists = [pods]
    with pytest.raises(UserError, match=f"pods of job-name=train, .*received 10.0.0.1:2222; .*{advice}"):
        find_workers()


@pytest.mark.parametrize(("status", "advice"), [(400, "selector"), (401, "token"), (403, "Role"), (500, "log")])
def test_errors_of_the_api_server(status: int, advice: str, api: ApiServer) -> None:
    api.status = status
    with pytest.raises(UserError, match=f"SAGAN_TF_PODS: .*job-name=train.*research.*{status} .*{advice}"):
        find_workers()


def test_outside_a_cluster(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(UserError, match=r"SAGAN_TF_PODS: .*KUBERNETES_SERVICE_HOST"):
        find_workers()


def test_missing_token(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "SAGAN_TF_PODS"):
        monkeypatch.setenv(name, "443")
    monkeypatch.setenv("SAGAN_TF_NUM_PODS", "2")
    with pytest.raises(UserError, match="SAGAN_TF_PODS: .*token"):
        find_workers()


@pytest.mark.parametrize("own", ["127.0.0.7", "fd00::2"])
def test_ipv6_and_the_address_of_the_host_name(own: str, api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the downward API, a pod knows only its host name."""
    monkeypatch.setenv("POD_IP", own)
    if own == "127.0.0.7":
        monkeypatch.delenv("POD_IP")
        monkeypatch.setattr("socket.gethostname", lambda: own)
    api.lists = [[pod("a", "fd00::1"), pod("b", own)]]
    expected = f"[{own}]:2222" if ":" in own else f"{own}:2222"
    assert find_workers() == (["[fd00::1]:2222", expected], 1)


@pytest.mark.parametrize("pods", [TWO[:1], [*TWO, pod("c", "10.0.0.3")]], ids=len)
def test_wrong_number_of_pods(pods: list[dict[str, Any]], api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too few pods are an error at the time limit, and too many at once."""
    monkeypatch.setattr(cluster_kubernetes, "_MAX_WAIT_SECONDS", 0.05 if len(pods) < 2 else 5.0)
    api.lists = [pods]
    with pytest.raises(UserError, match=f"SAGAN_TF_PODS: .* 2 .*job-name=train, received {len(pods)}"):
        find_workers()


def test_unknown_own_address(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_IP", "127.0.0.7")
    with pytest.raises(UserError, match="127.0.0.7:2222"):
        find_workers()


def test_missing_package_and_api_server(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    api.shutdown()
    api.server_close()
    with pytest.raises(UserError, match="SAGAN_TF_PODS: the API server"):
        find_workers()
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(UserError, match="SAGAN_TF_PODS: .*kubernetes"):
        find_workers()
