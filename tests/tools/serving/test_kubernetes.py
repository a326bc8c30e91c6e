"""The Kubernetes manifests: valid for every version of the schema, and in agreement with what else says the same."""

from __future__ import annotations

import copy
import pathlib
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from kubernetes_validate import ValidationError, validate
from kubernetes_validate.utils import all_versions

from tests.tools.serving.configuration import read
from tests.tools.serving.files import (
    CONFIGURATION_FILES,
    KNOWN_FLAGS,
    KUBERNETES,
    SERVER,
    SERVING,
    STATUS_PATH,
    flags_of,
    key_paths,
    read_yaml,
    shape_of,
)

MANIFESTS = sorted(KUBERNETES.glob("*.yaml"))
# A pod that an operator starts by hand.
BY_HAND = {"kubernetes/upload.yaml"}
VERSIONS = all_versions()
# Their keys are names that a user gives.
FREE = {"labels", "annotations", "matchLabels", "requests", "limits", "selector"}

every_manifest = pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)


def manifest(name: str) -> Any:
    return read_yaml(KUBERNETES / f"{name}.yaml")


@pytest.fixture(scope="module")
def pod() -> Any:
    return manifest("deployment")["spec"]["template"]


@pytest.fixture(scope="module")
def container(pod: Any) -> Any:
    (only,) = pod["spec"]["containers"]
    return only


@pytest.fixture(scope="module")
def flags(container: Any) -> dict[str, str]:
    return flags_of(container["args"])


@every_manifest
@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_it_is_valid(path: pathlib.Path, version: str) -> None:
    validate(read_yaml(path), version, strict=True)


@every_manifest
def test_no_key_may_be_misspelt(path: pathlib.Path) -> None:
    document = read_yaml(path)
    for *parents, key in key_paths(document["spec"], FREE):
        misspelt = copy.deepcopy(document)
        place = misspelt["spec"]
        for parent in parents:
            place = place[parent]
        place[f"{key}s"] = place.pop(key)
        with pytest.raises(ValidationError):
            validate(misspelt, VERSIONS[-1], strict=True)


def test_kustomization_names_every_manifest_and_the_configuration() -> None:
    kustomization = read_yaml(SERVING / "kustomization.yaml")
    assert shape_of(kustomization) == {
        "apiVersion": None,
        "kind": None,
        "resources": None,
        "labels": [{"pairs": {"app.kubernetes.io/part-of": None}}],
        "configMapGenerator": [{"name": None, "files": None}],
    }
    assert (kustomization["apiVersion"], kustomization["kind"]) == ("kustomize.config.k8s.io/v1beta1", "Kustomization")
    assert set(kustomization["resources"]) == {f"kubernetes/{path.name}" for path in MANIFESTS} - BY_HAND
    (generator,) = kustomization["configMapGenerator"]
    for name in generator["files"]:
        # kustomize refuses what is not in its own folder.
        assert pathlib.PurePosixPath(name).name == name and (SERVING / name).is_file()


def test_the_configuration_is_mounted_where_flags_look(pod: Any, container: Any, flags: dict[str, str]) -> None:
    (generator,) = read_yaml(SERVING / "kustomization.yaml")["configMapGenerator"]
    (volume,) = [one for one in pod["spec"]["volumes"] if "configMap" in one]
    assert volume["configMap"]["name"] == generator["name"]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == volume["name"]]
    found = {f"{mount['mountPath']}/{name}" for name in generator["files"]}
    assert found == CONFIGURATION_FILES > {flags["model_config_file"], flags["monitoring_config_file"]}
    assert mount["readOnly"] is True


def test_every_mount_has_its_volume(pod: Any, container: Any) -> None:
    mounted = [one["name"] for one in container["volumeMounts"]]
    assert sorted(mounted) == sorted(one["name"] for one in pod["spec"]["volumes"])


def test_the_exports_are_where_the_server_looks(pod: Any, container: Any) -> None:
    claim = manifest("persistent_volume_claim")["metadata"]["name"]
    upload = manifest("upload")["spec"]
    for spec, only_to_read in ((pod["spec"], True), (upload, False)):
        (volume,) = [one for one in spec["volumes"] if "persistentVolumeClaim" in one]
        assert volume["persistentVolumeClaim"]["claimName"] == claim
        (mount,) = [one for one in spec["containers"][0]["volumeMounts"] if one["name"] == volume["name"]]
        assert mount["mountPath"] == read("models.config").model_config_list.config[0].base_path
        assert mount.get("readOnly", False) is only_to_read
    assert upload["securityContext"] == pod["spec"]["securityContext"], "what one writes the other reads"


def test_it_runs_what_compose_runs(container: Any, flags: dict[str, str]) -> None:
    service = read_yaml(SERVING / "compose.yaml")["services"]["serving"]
    assert container["image"] == service["image"]
    assert container["command"] == service["entrypoint"] == [SERVER]
    assert flags == flags_of(service["command"])
    assert set(flags) <= KNOWN_FLAGS


def test_ports_agree(pod: Any, container: Any, flags: dict[str, str]) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": int(flags["port"]), "rest": int(flags["rest_api_port"])}
    service = manifest("service")["spec"]
    assert {port["name"]: port["port"] for port in service["ports"]} == ports
    assert all(port["targetPort"] == port["name"] for port in service["ports"])


def test_probes_ask_for_the_model(container: Any) -> None:
    probes = [container[name] for name in ("readinessProbe", "livenessProbe", "startupProbe")]
    assert all(probe["httpGet"] == {"path": STATUS_PATH, "port": "rest"} for probe in probes)
    ready, alive, started = (probe["periodSeconds"] * probe["failureThreshold"] for probe in probes)
    assert ready < alive <= started


def test_prometheus_finds_its_page(pod: Any, flags: dict[str, str]) -> None:
    assert pod["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": flags["rest_api_port"],
        "prometheus.io/path": read("monitoring.config").prometheus_config.path,
    }


def test_selectors_find_the_pods(pod: Any) -> None:
    labels = pod["metadata"]["labels"]
    deployment = manifest("deployment")
    assert deployment["spec"]["selector"] == {"matchLabels": labels}
    assert manifest("service")["spec"]["selector"] == labels
    assert manifest("pod_disruption_budget")["spec"]["selector"] == {"matchLabels": labels}
    assert pod["spec"]["topologySpreadConstraints"][0]["labelSelector"] == {"matchLabels": labels}
    assert manifest("upload")["metadata"]["labels"] != labels


def test_the_autoscaler_has_the_deployment_to_itself_and_leaves_some_at_a_disruption() -> None:
    deployment, scaler = manifest("deployment"), manifest("horizontal_pod_autoscaler")["spec"]
    assert "replicas" not in deployment["spec"], "applying the manifest again would undo the autoscaler's work"
    target = {"apiVersion": deployment["apiVersion"], "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert scaler["scaleTargetRef"] == target
    budget = manifest("pod_disruption_budget")["spec"]["maxUnavailable"]
    assert budget < scaler["minReplicas"] < scaler["maxReplicas"]


def test_the_autoscaler_can_reach_its_target(container: Any, flags: dict[str, str]) -> None:
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    (metric,) = manifest("horizontal_pod_autoscaler")["spec"]["metrics"]
    busy = 100 * int(limits["cpu"]) / int(requests["cpu"])
    assert 0 < metric["resource"]["target"]["averageUtilization"] < busy
    assert flags["tensorflow_intra_op_parallelism"] == limits["cpu"]
    assert int(requests["memory"].removesuffix("Gi")) <= int(limits["memory"].removesuffix("Gi"))


def test_a_request_is_answered_before_the_server_ends(pod: Any, container: Any, flags: dict[str, str]) -> None:
    command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert int(flags["rest_api_timeout_in_ms"]) / 1000 <= int(seconds) < pod["spec"]["terminationGracePeriodSeconds"]
    assert pod["spec"]["shareProcessNamespace"] is True, "process 1 does not end on SIGTERM"


@pytest.mark.parametrize("name", ["deployment", "upload"])
def test_the_container_may_little(name: str) -> None:
    spec = manifest(name)["spec"]
    spec = spec["template"]["spec"] if name == "deployment" else spec
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+", spec["containers"][0]["image"])


@pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="without kubectl, the hand-written checks above stand alone"
)
def test_kubectl_builds_it() -> None:
    built = subprocess.run(["kubectl", "kustomize", str(SERVING)], check=True, capture_output=True, text=True).stdout
    documents = {document["kind"]: document for document in yaml.safe_load_all(built)}
    assert len(documents) == len(MANIFESTS) - len(BY_HAND) + 1
    for document in documents.values():
        validate(document, VERSIONS[-1], strict=True)
    volumes = documents["Deployment"]["spec"]["template"]["spec"]["volumes"]
    (name,) = [volume["configMap"]["name"] for volume in volumes if "configMap" in volume]
    assert name == documents["ConfigMap"]["metadata"]["name"] != "sagan-serving"
    for file, text in documents["ConfigMap"]["data"].items():
        assert text == (SERVING / file).read_text(encoding="utf-8")
