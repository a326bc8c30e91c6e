"""The workers that are pods of a Kubernetes cluster, for pods without an operator that sets TF_CONFIG.

Whose pods are workers has to be said, since every pod of every cluster finds an API server in its environment:

    SAGAN_TF_PODS=job-name=sagan-train   a label selector: the workers' pods, in the namespace of this one
    SAGAN_TF_NUM_PODS=2                  how many they are, which the selector alone does not say while some start
    POD_IP                               this pod's address, by the downward API; without it, its host name's

It takes the package kubernetes and a service account that may list pods.
"""

from __future__ import annotations

import logging
import os
import pathlib
import shlex
import socket
import time
import types
from typing import Any

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.text import install_command, read_text

PODS_VARIABLE = "SAGAN_TF_PODS"
COUNT_VARIABLE = "SAGAN_TF_NUM_PODS"
_NAMESPACE = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PORT = 2222
_PATIENCE = 1800.0
"""Seconds to wait for the other pods: nodes may have to be started for them, and images of gigabytes be fetched."""
_PAUSE = 5.0
_SECONDS_FOR_AN_ANSWER = 30
_ADVICE_BY_STATUS = {
    400: f"write a label selector in {PODS_VARIABLE}, such as job-name=sagan-train",
    401: "delete this pod, so that another one starts with a valid token of its service account",
    403: "bind a Role with the verb list for the resource pods to this pod's service account",
}

_logger = logging.getLogger("sagan_tf")


def num_workers() -> int:
    """Pods that the environment says are workers; 0 where it says nothing."""
    if not os.environ.get(PODS_VARIABLE):
        return 0
    text = os.environ.get(COUNT_VARIABLE, "")
    if not text.isdecimal() or not int(text):
        raise UserError(
            f"{COUNT_VARIABLE}: expected a number of at least 1, since {PODS_VARIABLE} is set, received {text!r}; set "
            f"it to the number of pods that {PODS_VARIABLE} selects, or unset {PODS_VARIABLE} to train without others"
        )
    return int(text)


def find_workers() -> tuple[list[str], int]:
    """Return the addresses, ip:port, of the workers' pods, once all run, and the place of this pod among them.

    TensorFlow's resolver orders them by name; which of them a process is it cannot tell. That is found by address.

    Raises:
        UserError: if the API server cannot be asked, or the pods do not come, or this one is not among them.
    """
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise UserError(
            f"{PODS_VARIABLE}: expected a pod of a Kubernetes cluster, received no KUBERNETES_SERVICE_HOST; unset "
            f"{PODS_VARIABLE} to train without other pods, here or outside a cluster"
        )
    selector = os.environ[PODS_VARIABLE]
    pods = _wait_for_pods(selector, num_workers())
    resolver = tf.distribute.cluster_resolver.KubernetesClusterResolver(
        {"worker": [selector]}, tf_server_port=_PORT, override_client=_Answer(pods)
    )
    addresses = resolver.cluster_spec().as_dict()["worker"]
    own = {f"{_bracketed(address)}:{_PORT}" for address in _own_addresses()}
    places = [index for index, address in enumerate(addresses) if address in own]
    if len(places) != 1:
        raise UserError(
            f"{PODS_VARIABLE}: expected one of the pods of {selector}, {', '.join(addresses)}, to be this one, "
            f"received {', '.join(sorted(own))}; {_advice_on_own_address(selector, len(places))}"
        )
    return addresses, places[0]


def _advice_on_own_address(selector: str, num_found: int) -> str:
    """Return a recommendation for a pod whose address belongs to none of the worker pods, or to several."""
    if num_found:
        return "give each pod an address of its own: a pod with hostNetwork: true shares that of its node"
    if os.environ.get("POD_IP"):
        return f"give this pod labels that {selector} selects, or correct POD_IP if that is not this pod's address"
    return "set POD_IP to this pod's address by the downward API (fieldPath: status.podIP)"


class _Answer:
    """The client that TensorFlow's resolver asks for pods: it has the answer.

    Left to its own client, that resolver reads a kubectl configuration, which a pod has none of (TensorFlow's issue
    70581), asks for the pods of all namespaces, fails on one that has ended or not begun, and takes the address of a
    pod's node, where its ports are not. Here it gets pods that run, with their own address in the place of the node's.
    """

    def __init__(self, pods: list[Any]) -> None:
        for pod in pods:
            pod.status.host_ip = _bracketed(pod.status.pod_ip)
        self._pods = pods

    def list_pod_for_all_namespaces(self, label_selector: str) -> types.SimpleNamespace:
        """Called by the resolver, once."""
        return types.SimpleNamespace(items=self._pods)


def _wait_for_pods(selector: str, count: int) -> list[Any]:
    """Return the pods of `selector` when `count` of them run; those that have ended or are about to do not count."""
    deadline = time.monotonic() + _PATIENCE
    seen = -1
    while True:
        pods = [pod for pod in _list_pods(selector) if pod.status.phase == "Running" and pod.status.pod_ip]
        pods = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        if len(pods) == count:
            return pods
        if len(pods) > count or time.monotonic() >= deadline:
            raise UserError(
                f"{PODS_VARIABLE}: expected {count} running pods of {selector}, received {len(pods)}; correct "
                f"{PODS_VARIABLE} or {COUNT_VARIABLE}, or see what each pod does with: kubectl get pods -l "
                f"{shlex.quote(selector)}"
            )
        if len(pods) != seen:
            seen = len(pods)
            _logger.info("%d of %d pods of %s run; waiting for the others", seen, count, selector)
        time.sleep(_PAUSE)


def _list_pods(selector: str) -> list[Any]:
    try:
        from kubernetes import client, config
        from urllib3.exceptions import HTTPError
    except ImportError as error:
        raise UserError(
            f"{PODS_VARIABLE}: expected the package kubernetes, received none ({error}); install it in the pods' "
            f"image: {install_command('kubernetes')}"
        ) from error
    try:
        config.load_incluster_config()
        namespace = read_text(_NAMESPACE).strip()
        api = client.CoreV1Api()
        return api.list_namespaced_pod(
            namespace, label_selector=selector, _request_timeout=_SECONDS_FOR_AN_ANSWER
        ).items
    except client.ApiException as error:
        advice = _ADVICE_BY_STATUS.get(error.status, "see the log of the API server, and start the pods again")
        raise UserError(
            f"{PODS_VARIABLE}: expected a list of the pods of {selector} in namespace {namespace}, received "
            f"{error.status} {error.reason}; {advice}"
        ) from error
    except HTTPError as error:
        raise UserError(
            f"{PODS_VARIABLE}: expected an answer from the API server, received: {error}; check that the cluster's "
            "network policies let this pod reach it"
        ) from error
    except (config.ConfigException, OSError) as error:
        raise UserError(
            f"{PODS_VARIABLE}: expected a service account's token in this pod, received: {error}; set "
            "automountServiceAccountToken: true in the pod's specification"
        ) from error


def _own_addresses() -> set[str]:
    if address := os.environ.get("POD_IP"):
        return {address}
    return {str(one[4][0]) for one in socket.getaddrinfo(socket.gethostname(), None)}


def _bracketed(address: str) -> str:
    """Return an address that a port can follow."""
    return f"[{address}]" if ":" in address else address
