"""Kubernetes manifests for training: valid, consistent with the image and each other, with our command."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import subprocess
from typing import Any

import pytest
from kubeflow.training import ApiClient, KubeflowOrgV1TFJob
from kubernetes_validate import validate
from kubernetes_validate.utils import all_versions

from sagan_tf.cli.flags import parse_config
from sagan_tf.distribution import cluster_tf_config
from tests.tools.serving.files import read_yaml

KUBERNETES = pathlib.Path(__file__).parents[2] / "tools" / "launch" / "kubernetes"
NEWEST = all_versions()[-1]
# The first version with podReplacementPolicy enabled by default.
OLDEST = "1.29.0"


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


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", sorted(path.stem for path in KUBERNETES.iterdir()))
def test_manifest_is_valid(name: str, version: str) -> None:
    document = read_manifest(name)
    if name == "tfjob":  # which Kubernetes itself does not know
        assert parse_as_operator(document) == document
        document = {"apiVersion": "v1", "kind": "Pod"} | copy.deepcopy(read_template(name))
        document["metadata"]["name"] = name
    validate(document, version, strict=True)


@pytest.mark.parametrize("name", ["tfjob", "job"])
def test_the_command_is_valid(name: str) -> None:
    config = parse_config(read_container(name)["args"])
    assert config.training.strategy == "multi_worker"
    mounts = {mount["mountPath"] for mount in read_container(name)["volumeMounts"]}
    assert {f"/{path.split('/')[1]}" for path in (config.data.data_dir, config.training.run_dir)} <= mounts
    assert read_template(name)["spec"]["terminationGracePeriodSeconds"] >= 120  # time to save
    document = read_manifest(name)
    workers = get_workers(document)["replicas"] if name == "tfjob" else document["spec"]["completions"]
    gpus = int(read_container(name)["resources"]["limits"]["nvidia.com/gpu"])
    assert config.training.global_batch_size % (workers * gpus) == 0


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
    (port,) = container["ports"]
    (served,) = service["spec"]["ports"]
    assert (served["port"], served["targetPort"]) == (port["containerPort"], port["name"])
    for index in range(job["spec"]["completions"]):
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        environment |= {"JOB_COMPLETION_INDEX": str(index), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
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
