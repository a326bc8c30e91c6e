"""The manifests for training: valid, of one mind with the image and with each other, and their command is ours."""

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
from tests.tools.serving.files import key_paths, read_yaml

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "tools" / "launch"
KUBERNETES = LAUNCH / "kubernetes"
NEWEST = all_versions()[-1]
# podReplacementPolicy came with it, as a feature that is on.
OLDEST = "1.29.0"
PLAIN = ("data", "job", "runs", "service")
# Their keys are names that a user gives.
FREE = {"labels", "annotations", "requests", "limits", "selector"}

both = pytest.mark.parametrize("name", ["tfjob", "job"])


def manifest(name: str) -> Any:
    return read_yaml(KUBERNETES / f"{name}.yaml")


def replicas(tfjob: Any) -> Any:
    """The one kind of task that the TFJob has: workers."""
    ((kind, spec),) = tfjob["spec"]["tfReplicaSpecs"].items()
    assert kind == "Worker"
    return spec


def template(name: str) -> Any:
    document = manifest(name)
    return (replicas(document) if name == "tfjob" else document["spec"])["template"]


def pod(name: str) -> dict[str, Any]:
    """The template as the pod that is made from it."""
    made = copy.deepcopy(template(name))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name} | made["metadata"], "spec": made["spec"]}


def container(name: str) -> Any:
    (only,) = template(name)["spec"]["containers"]
    return only


def as_the_operator_reads_it(document: Any) -> Any:
    """What is left of a TFJob in the types that Kubeflow generates from the operator's: what they do not know goes.

    Values of a wrong type are an error, and so is it if one that they call required is missing.
    """
    client = ApiClient()
    response = type("Response", (), {"data": json.dumps(document)})()
    return client.sanitize_for_serialization(client.deserialize(response, KubeflowOrgV1TFJob))


def misspelt(document: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(document)
    place = changed
    for parent in path[:-1]:
        place = place[parent]
    place[f"{path[-1]}s"] = place.pop(path[-1])
    return changed


def test_every_manifest_is_looked_at() -> None:
    assert sorted(path.stem for path in KUBERNETES.iterdir()) == sorted([*PLAIN, "tfjob"])


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", PLAIN)
def test_it_is_valid(name: str, version: str) -> None:
    validate(manifest(name), version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_pods_of_the_tfjob_are_valid(version: str) -> None:
    validate(pod("tfjob"), version, strict=True)


def test_the_tfjob_is_what_the_operator_takes() -> None:
    document = manifest("tfjob")
    assert as_the_operator_reads_it(document) == document
    assert (document["apiVersion"], document["kind"]) == ("kubeflow.org/v1", "TFJob")
    # Words of which its types say only that they are text (pkg/apis/kubeflow.org/v1 of kubeflow/training-operator).
    assert document["spec"]["runPolicy"]["cleanPodPolicy"] in {"All", "Running", "None"}
    assert document["spec"]["successPolicy"] in {"", "AllWorkers"}
    assert replicas(document)["restartPolicy"] in {"Always", "OnFailure", "Never", "ExitCode"}
    assert "restartPolicy" not in template("tfjob")["spec"], "the operator overwrites it"
    assert container("tfjob")["name"] == "tensorflow"
    assert container("tfjob")["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]


@pytest.mark.parametrize("name", [*PLAIN, "tfjob"])
def test_no_key_may_be_misspelt(name: str) -> None:
    document = manifest(name)
    for path in key_paths(document["spec"], FREE | {"tfReplicaSpecs"}):
        changed = misspelt(document, ("spec", *path))
        if name == "tfjob":
            try:
                unchanged = as_the_operator_reads_it(changed) == changed
            except ValueError:  # a required one
                continue
            assert not unchanged, path
        else:
            with pytest.raises(ValidationError):
                validate(changed, NEWEST, strict=True)


def test_no_key_of_its_pods_may_be_misspelt() -> None:
    for path in key_paths(pod("tfjob")["spec"], FREE):
        with pytest.raises(ValidationError):
            validate(misspelt(pod("tfjob"), ("spec", *path)), NEWEST, strict=True)


@both
def test_the_command_is_ours(name: str) -> None:
    config = parse_config(container(name)["args"])
    assert config.training.strategy == "multi_worker"
    places = {mount["mountPath"]: mount for mount in container(name)["volumeMounts"]}
    assert config.data.data_dir.startswith("/data/") and places["/data"]["readOnly"] is True
    assert config.training.run_dir.startswith("/runs/") and "readOnly" not in places["/runs"]
    workers = replicas(manifest(name))["replicas"] if name == "tfjob" else manifest(name)["spec"]["completions"]
    gpus = int(container(name)["resources"]["limits"]["nvidia.com/gpu"])
    assert config.training.global_batch_size % (workers * gpus) == 0


@both
def test_the_image_has_what_the_command_needs(name: str) -> None:
    lines = (LAUNCH / "Dockerfile").read_text().splitlines()
    words = {line.split()[0]: line.split()[1:] for line in lines if line and not line.startswith(("#", "COPY"))}
    copied = [part for line in lines if line.startswith("COPY") for part in line.split()[1:-1]]
    assert all((ROOT / part).exists() for part in copied)
    flagfiles = [one.partition("=")[2] for one in container(name)["args"] if one.startswith("--flagfile=")]
    assert all((ROOT / one).is_file() and one.split("/")[0] in copied for one in flagfiles)
    assert {"setup.py", "pyproject.toml", "README.md", "sagan_tf"} <= set(copied)
    security = template(name)["spec"]["securityContext"]
    assert words["USER"] == [f"{security['runAsUser']}:{security['runAsGroup']}"]
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", words["FROM"][0])
    assert re.fullmatch(r"registry\.example\.com/sagan-tf:\d+\.\d+\.\d+", container(name)["image"])
    if name == "tfjob":
        assert container(name)["command"] == json.loads(" ".join(words["ENTRYPOINT"]))


@both
def test_it_may_little_and_has_time_to_save(name: str) -> None:
    spec = template(name)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["terminationGracePeriodSeconds"] >= 120
    assert spec["shareProcessNamespace"] is True


@both
def test_every_mount_has_its_volume_and_every_claim_is_there(name: str) -> None:
    volumes = {one["name"]: one for one in template(name)["spec"]["volumes"]}
    mounts = {one["name"]: one["mountPath"] for one in container(name)["volumeMounts"]}
    assert sorted(volumes) == sorted(mounts)
    for claim in ("data", "runs"):
        assert volumes[claim]["persistentVolumeClaim"]["claimName"] == manifest(claim)["metadata"]["name"]
        assert manifest(claim)["spec"]["accessModes"] == ["ReadWriteMany"]
    assert mounts["shared-memory"] == "/dev/shm"
    assert volumes["shared-memory"]["emptyDir"]["medium"] == "Memory"
    environment = {one["name"]: one["value"] for one in container(name)["env"]}
    assert environment["HOME"] == mounts["temporary"]
    assert environment["XDG_CACHE_HOME"].startswith(mounts["runs"])
    assert environment["CUDA_CACHE_PATH"].startswith(mounts["runs"])


def test_both_kinds_of_job_run_the_same_pods() -> None:
    pods = {name: copy.deepcopy(template(name)) for name in ("tfjob", "job")}
    for own in ("subdomain", "restartPolicy"):
        del pods["job"]["spec"][own]
    workers = pods["job"]["spec"]["containers"][0]["env"].pop(0)
    assert workers["name"] == "WORKERS"
    for one in pods.values():
        for own in ("command", "ports"):
            del one["spec"]["containers"][0][own]
    assert pods["tfjob"] == pods["job"]
    spec = manifest("job")["spec"]
    assert spec["backoffLimit"] == manifest("tfjob")["spec"]["runPolicy"]["backoffLimit"]
    assert (
        spec["completions"] == spec["parallelism"] == int(workers["value"]) == replicas(manifest("tfjob"))["replicas"]
    )


def test_pods_of_the_job_find_each_other(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the command of each pod, with a `python` that says what it was given."""
    python = tmp_path / "python"
    python.write_text('#!/bin/bash\nprintf "%s\\n" "$TF_CONFIG" | tr "\\n" " "\nprintf "\\n%s" "$@"\n')
    python.chmod(0o755)
    one = container("job")
    assert "$(" not in " ".join(one["command"]), "Kubernetes would put a variable in its place"
    job, service = manifest("job"), manifest("service")
    name, domain = job["metadata"]["name"], service["metadata"]["name"]
    assert template("job")["spec"]["subdomain"] == domain
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
    assert service["spec"]["clusterIP"] == "None"
    (port,) = one["ports"]
    (served,) = service["spec"]["ports"]
    assert (served["port"], served["targetPort"]) == (port["containerPort"], port["name"])
    for index in range(job["spec"]["completions"]):
        environment = {entry["name"]: entry["value"] for entry in one["env"]} | {"JOB_COMPLETION_INDEX": str(index)}
        environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
        command = [*one["command"], *one["args"]]
        said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        described, *arguments = said.splitlines()
        assert arguments == ["-m", "sagan_tf.train", *one["args"]]
        monkeypatch.setenv("TF_CONFIG", described)
        assert cluster_tf_config.count_workers() == job["spec"]["completions"]
        assert json.loads(described) == {
            "cluster": {"worker": [f"{name}-{other}.{domain}:2222" for other in range(job["spec"]["completions"])]},
            "task": {"type": "worker", "index": index},
        }
