"""Kubernetes manifests for training: valid, consistent with the image and each other, with our command."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import re
import subprocess
from typing import Any

import pytest
from kubeflow.training import ApiClient, KubeflowOrgV1TFJob
from kubernetes_validate import ValidationError, validate
from kubernetes_validate.utils import all_versions

from sagan_tf.cli.flags import parse_config
from sagan_tf.distribution import cluster_tf_config
from tests.tools.serving.files import iterate_key_paths, read_yaml

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "tools" / "launch"
KUBERNETES = LAUNCH / "kubernetes"
NEWEST = all_versions()[-1]
# The first version with podReplacementPolicy enabled by default.
OLDEST = "1.29.0"
PLAIN = ("data", "job", "runs", "service")
# The keys of these mappings are names that users choose.
FREE = {"labels", "annotations", "requests", "limits", "selector"}

both = pytest.mark.parametrize("name", ["tfjob", "job"])


def read_manifest(name: str) -> Any:
    return read_yaml(KUBERNETES / f"{name}.yaml")


def get_workers(tfjob: Any) -> Any:
    """Return the only kind of replica of the TFJob, its workers."""
    ((kind, spec),) = tfjob["spec"]["tfReplicaSpecs"].items()
    assert kind == "Worker"
    return spec


def read_template(name: str) -> Any:
    document = read_manifest(name)
    return (get_workers(document) if name == "tfjob" else document["spec"])["template"]


def make_pod(name: str) -> dict[str, Any]:
    """Return the pod that is created from the template."""
    copied = copy.deepcopy(read_template(name))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name} | copied["metadata"], "spec": copied["spec"]}


def read_container(name: str) -> Any:
    (only,) = read_template(name)["spec"]["containers"]
    return only


def parse_as_operator(document: Any) -> Any:
    """Return a TFJob as the operator reads it, without unknown fields.

    The types are those that Kubeflow generates from the operator's. Values of a wrong type and missing required values
    are errors.
    """
    client = ApiClient()
    response = type("Response", (), {"data": json.dumps(document)})()
    return client.sanitize_for_serialization(client.deserialize(response, KubeflowOrgV1TFJob))


def misspell(document: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(document)
    parent_node = changed
    for parent in path[:-1]:
        parent_node = parent_node[parent]
    parent_node[f"{path[-1]}s"] = parent_node.pop(path[-1])
    return changed


def test_every_manifest_is_tested() -> None:
    assert sorted(path.stem for path in KUBERNETES.iterdir()) == sorted([*PLAIN, "tfjob"])


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", PLAIN)
def test_manifest_is_valid(name: str, version: str) -> None:
    validate(read_manifest(name), version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_pods_of_the_tfjob_are_valid(version: str) -> None:
    validate(make_pod("tfjob"), version, strict=True)


def test_the_operator_accepts_the_tfjob() -> None:
    document = read_manifest("tfjob")
    assert parse_as_operator(document) == document
    assert (document["apiVersion"], document["kind"]) == ("kubeflow.org/v1", "TFJob")
    # Its types do not restrict the values of these strings (pkg/apis/kubeflow.org/v1 of kubeflow/training-operator).
    assert document["spec"]["runPolicy"]["cleanPodPolicy"] in {"All", "Running", "None"}
    assert document["spec"]["successPolicy"] in {"", "AllWorkers"}
    assert get_workers(document)["restartPolicy"] in {"Always", "OnFailure", "Never", "ExitCode"}
    assert "restartPolicy" not in read_template("tfjob")["spec"], "the operator overwrites it"
    assert read_container("tfjob")["name"] == "tensorflow"
    assert read_container("tfjob")["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]


@pytest.mark.parametrize("name", [*PLAIN, "tfjob"])
def test_misspelled_keys_are_found(name: str) -> None:
    document = read_manifest(name)
    for path in iterate_key_paths(document["spec"], FREE | {"tfReplicaSpecs"}):
        changed = misspell(document, ("spec", *path))
        if name == "tfjob":
            try:
                unchanged = parse_as_operator(changed) == changed
            except ValueError:  # the key is required
                continue
            assert not unchanged, path
        else:
            with pytest.raises(ValidationError):
                validate(changed, NEWEST, strict=True)


def test_misspelled_keys_of_pods_are_found() -> None:
    for path in iterate_key_paths(make_pod("tfjob")["spec"], FREE):
        with pytest.raises(ValidationError):
            validate(misspell(make_pod("tfjob"), ("spec", *path)), NEWEST, strict=True)


@both
def test_the_command_is_valid(name: str) -> None:
    config = parse_config(read_container(name)["args"])
    assert config.training.strategy == "multi_worker"
    mounts = {mount["mountPath"]: mount for mount in read_container(name)["volumeMounts"]}
    assert config.data.data_dir.startswith("/data/") and mounts["/data"]["readOnly"] is True
    assert config.training.run_dir.startswith("/runs/") and "readOnly" not in mounts["/runs"]
    workers = (
        get_workers(read_manifest(name))["replicas"] if name == "tfjob" else read_manifest(name)["spec"]["completions"]
    )
    gpus = int(read_container(name)["resources"]["limits"]["nvidia.com/gpu"])
    assert config.training.global_batch_size % (workers * gpus) == 0


@both
def test_the_image_has_the_files_of_the_command(name: str) -> None:
    lines = (LAUNCH / "Dockerfile").read_text().splitlines()
    words = {line.split()[0]: line.split()[1:] for line in lines if line and not line.startswith(("#", "COPY"))}
    copied = [part for line in lines if line.startswith("COPY") for part in line.split()[1:-1]]
    assert all((ROOT / part).exists() for part in copied)
    flagfiles = [flag.partition("=")[2] for flag in read_container(name)["args"] if flag.startswith("--flagfile=")]
    assert all((ROOT / path).is_file() and path.split("/")[0] in copied for path in flagfiles)
    assert {"setup.py", "pyproject.toml", "README.md", "sagan_tf"} <= set(copied)
    security = read_template(name)["spec"]["securityContext"]
    assert words["USER"] == [f"{security['runAsUser']}:{security['runAsGroup']}"]
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", words["FROM"][0])
    assert re.fullmatch(r"registry\.example\.com/sagan-tf:\d+\.\d+\.\d+", read_container(name)["image"])
    if name == "tfjob":
        assert read_container(name)["command"] == json.loads(" ".join(words["ENTRYPOINT"]))


@both
def test_containers_have_few_permissions_and_time_to_save(name: str) -> None:
    spec = read_template(name)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert read_container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["terminationGracePeriodSeconds"] >= 120
    assert spec["shareProcessNamespace"] is True


@both
def test_every_mount_has_a_volume_and_every_claim_exists(name: str) -> None:
    volumes = {volume["name"]: volume for volume in read_template(name)["spec"]["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in read_container(name)["volumeMounts"]}
    assert sorted(volumes) == sorted(mounts)
    for claim in ("data", "runs"):
        assert volumes[claim]["persistentVolumeClaim"]["claimName"] == read_manifest(claim)["metadata"]["name"]
        assert read_manifest(claim)["spec"]["accessModes"] == ["ReadWriteMany"]
    assert mounts["shared-memory"] == "/dev/shm"
    assert volumes["shared-memory"]["emptyDir"]["medium"] == "Memory"
    environment = {entry["name"]: entry["value"] for entry in read_container(name)["env"]}
    assert environment["HOME"] == mounts["temporary"]
    assert environment["XDG_CACHE_HOME"].startswith(mounts["runs"])
    assert environment["CUDA_CACHE_PATH"].startswith(mounts["runs"])


def test_both_kinds_of_job_run_the_same_pods() -> None:
    pods = {name: copy.deepcopy(read_template(name)) for name in ("tfjob", "job")}
    for key in ("subdomain", "restartPolicy"):
        del pods["job"]["spec"][key]
    workers = pods["job"]["spec"]["containers"][0]["env"].pop(0)
    assert workers["name"] == "WORKERS"
    for pod in pods.values():
        for key in ("command", "ports"):
            del pod["spec"]["containers"][0][key]
    assert pods["tfjob"] == pods["job"]
    spec = read_manifest("job")["spec"]
    assert spec["backoffLimit"] == read_manifest("tfjob")["spec"]["runPolicy"]["backoffLimit"]
    assert (
        spec["completions"]
        == spec["parallelism"]
        == int(workers["value"])
        == get_workers(read_manifest("tfjob"))["replicas"]
    )


def test_pods_of_the_job_find_each_other(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the command of each pod, with a `python` that prints its arguments."""
    python = tmp_path / "python"
    python.write_text('#!/bin/bash\nprintf "%s\\n" "$TF_CONFIG" | tr "\\n" " "\nprintf "\\n%s" "$@"\n')
    python.chmod(0o755)
    container = read_container("job")
    assert "$(" not in " ".join(container["command"]), "Kubernetes would replace it with a variable"
    job, service = read_manifest("job"), read_manifest("service")
    name, domain = job["metadata"]["name"], service["metadata"]["name"]
    assert read_template("job")["spec"]["subdomain"] == domain
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
    assert service["spec"]["clusterIP"] == "None"
    (port,) = container["ports"]
    (served,) = service["spec"]["ports"]
    assert (served["port"], served["targetPort"]) == (port["containerPort"], port["name"])
    for index in range(job["spec"]["completions"]):
        environment = {entry["name"]: entry["value"] for entry in container["env"]} | {
            "JOB_COMPLETION_INDEX": str(index)
        }
        environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
        command = [*container["command"], *container["args"]]
        output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        described, *arguments = output.splitlines()
        assert arguments == ["-m", "sagan_tf.train", *container["args"]]
        monkeypatch.setenv("TF_CONFIG", described)
        assert cluster_tf_config.count_workers() == job["spec"]["completions"]
        assert json.loads(described) == {
            "cluster": {"worker": [f"{name}-{worker}.{domain}:2222" for worker in range(job["spec"]["completions"])]},
            "task": {"type": "worker", "index": index},
        }
