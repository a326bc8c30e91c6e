"""The Kubernetes manifests are valid for every version of the schema, and agree with the other files."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from kubernetes_validate import validate
from kubernetes_validate.utils import all_versions

from tests.tools.serving.configuration import read_configuration
from tests.tools.serving.files import CONFIGURATION_FILES, KNOWN_FLAGS, KUBERNETES, SERVING, parse_flags, read_yaml

MANIFESTS = sorted(KUBERNETES.glob("*.yaml"))
# A pod that an operator starts manually.
MANUAL = {"kubernetes/upload.yaml"}
VERSIONS = all_versions()


def read_manifest(name: str) -> Any:
    return read_yaml(KUBERNETES / f"{name}.yaml")


@pytest.fixture(scope="module")
def pod() -> Any:
    return read_manifest("deployment")["spec"]["template"]


@pytest.fixture(scope="module")
def container(pod: Any) -> Any:
    (only,) = pod["spec"]["containers"]
    return only


@pytest.fixture(scope="module")
def flags(container: Any) -> dict[str, str]:
    return parse_flags(container["args"])


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_every_manifest_is_valid(path: pathlib.Path, version: str) -> None:
    validate(read_yaml(path), version, strict=True)


def test_kustomization_names_every_manifest_and_the_configuration() -> None:
    kustomization = read_yaml(SERVING / "kustomization.yaml")
    assert set(kustomization["resources"]) == {f"kubernetes/{path.name}" for path in MANIFESTS} - MANUAL
    (generator,) = kustomization["configMapGenerator"]
    for name in generator["files"]:
        # kustomize refuses files outside its own directory.
        assert pathlib.PurePosixPath(name).name == name and (SERVING / name).is_file()


def test_the_configuration_is_mounted_where_flags_point(pod: Any, container: Any, flags: dict[str, str]) -> None:
    (generator,) = read_yaml(SERVING / "kustomization.yaml")["configMapGenerator"]
    (volume,) = [volume for volume in pod["spec"]["volumes"] if "configMap" in volume]
    assert volume["configMap"]["name"] == generator["name"]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == volume["name"]]
    found = {f"{mount['mountPath']}/{name}" for name in generator["files"]}
    assert found == CONFIGURATION_FILES > {flags["model_config_file"], flags["monitoring_config_file"]}


def test_the_exports_are_mounted_where_the_server_looks(pod: Any, container: Any) -> None:
    claim = read_manifest("persistent_volume_claim")["metadata"]["name"]
    upload = read_manifest("upload")["spec"]
    for spec in (pod["spec"], upload):
        (volume,) = [volume for volume in spec["volumes"] if "persistentVolumeClaim" in volume]
        assert volume["persistentVolumeClaim"]["claimName"] == claim
        (mount,) = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == volume["name"]]
        assert mount["mountPath"] == read_configuration("models.config").model_config_list.config[0].base_path
    assert upload["securityContext"] == pod["spec"]["securityContext"], (
        "the server must be able to read what the upload writes"
    )


def test_the_deployment_runs_what_compose_runs(container: Any, flags: dict[str, str]) -> None:
    service = read_yaml(SERVING / "compose.yaml")["services"]["serving"]
    assert container["image"] == service["image"]
    assert container["command"] == service["entrypoint"]
    assert flags == parse_flags(service["command"])
    assert set(flags) <= KNOWN_FLAGS


def test_ports_agree(pod: Any, container: Any, flags: dict[str, str]) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": int(flags["port"]), "rest": int(flags["rest_api_port"])}
    service = read_manifest("service")["spec"]
    assert {port["name"]: port["port"] for port in service["ports"]} == ports
    assert all(port["targetPort"] == port["name"] for port in service["ports"])


def test_prometheus_annotations_match_the_configuration(pod: Any, flags: dict[str, str]) -> None:
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == flags["rest_api_port"]
    assert annotations["prometheus.io/path"] == read_configuration("monitoring.config").prometheus_config.path


def test_selectors_match_the_pods(pod: Any) -> None:
    labels = pod["metadata"]["labels"]
    assert read_manifest("service")["spec"]["selector"] == labels
    assert read_manifest("pod_disruption_budget")["spec"]["selector"] == {"matchLabels": labels}
    assert read_manifest("upload")["metadata"]["labels"] != labels


def test_the_autoscaler_controls_the_replicas_and_some_survive_a_disruption() -> None:
    deployment, scaler = read_manifest("deployment"), read_manifest("horizontal_pod_autoscaler")["spec"]
    assert "replicas" not in deployment["spec"], "applying the manifest again would undo the autoscaler's changes"
    target = {"apiVersion": deployment["apiVersion"], "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert scaler["scaleTargetRef"] == target
    budget = read_manifest("pod_disruption_budget")["spec"]["maxUnavailable"]
    assert budget < scaler["minReplicas"] < scaler["maxReplicas"]


def test_the_autoscaler_can_reach_its_target(container: Any, flags: dict[str, str]) -> None:
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    (metric,) = read_manifest("horizontal_pod_autoscaler")["spec"]["metrics"]
    busy = 100 * int(limits["cpu"]) / int(requests["cpu"])
    assert 0 < metric["resource"]["target"]["averageUtilization"] < busy
    assert flags["tensorflow_intra_op_parallelism"] == limits["cpu"]
    assert int(requests["memory"].removesuffix("Gi")) <= int(limits["memory"].removesuffix("Gi"))


def test_requests_are_answered_before_the_server_ends(pod: Any, container: Any, flags: dict[str, str]) -> None:
    _, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert int(flags["rest_api_timeout_in_ms"]) / 1000 <= int(seconds) < pod["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_builds_the_kustomization() -> None:
    built = subprocess.run(["kubectl", "kustomize", str(SERVING)], check=True, capture_output=True, text=True).stdout
    documents = {document["kind"]: document for document in yaml.safe_load_all(built)}
    assert len(documents) == len(MANIFESTS) - len(MANUAL) + 1
    for document in documents.values():
        validate(document, VERSIONS[-1], strict=True)
    volumes = documents["Deployment"]["spec"]["template"]["spec"]["volumes"]
    (name,) = [volume["configMap"]["name"] for volume in volumes if "configMap" in volume]
    assert name == documents["ConfigMap"]["metadata"]["name"] != "sagan-serving"
    for file, text in documents["ConfigMap"]["data"].items():
        assert text == (SERVING / file).read_text(encoding="utf-8")
