"""Workers that are pods of a Kubernetes cluster, without an operator that sets TF_CONFIG.

Every pod of every cluster finds an API server in its environment, so these environment variables select the workers:

    SAGAN_TF_PODS=job-name=sagan-train   label selector of the pods of the workers, in the namespace of this pod
    SAGAN_TF_NUM_PODS=2                  number of workers, because the selector does not find pods that start later
    POD_IP                               address of this pod, from the downward API; default: address of its host name

The package kubernetes must be installed, and the service account must be allowed to list pods.
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
from sagan_tf.text import format_install_command, read_text

PODS_VARIABLE = "SAGAN_TF_PODS"
COUNT_VARIABLE = "SAGAN_TF_NUM_PODS"
_NAMESPACE = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PORT = 2222
_MAX_WAIT_SECONDS = 1800.0
"""Time to wait for the other pods: nodes may have to start for them and download images of several gigabytes."""
_POLL_INTERVAL_SECONDS = 5.0
_REQUEST_TIMEOUT_SECONDS = 30
_ADVICE_BY_STATUS = {
    400: f"write a label selector in {PODS_VARIABLE}, such as job-name=sagan-train",
    401: "delete this pod, so that another one starts with a valid token of its service account",
    403: "bind a Role with the verb list for the resource pods to this pod's service account",
}

_logger = logging.getLogger("sagan_tf")


def count_workers() -> int:
    """Return the number of pods that are workers, or 0 if none are selected.

    Raises:
        UserError: SAGAN_TF_PODS is set, but SAGAN_TF_NUM_PODS is not a number of at least 1.
    """
    if not os.environ.get(PODS_VARIABLE):
        return 0
    text = os.environ.get(COUNT_VARIABLE, "")
    if not text.isdecimal() or not int(text):
        raise UserError(
            f"{COUNT_VARIABLE}: expected a number of at least 1, because {PODS_VARIABLE} is set, received {text!r}; "
            f"set it to the number of pods that {PODS_VARIABLE} selects, or unset {PODS_VARIABLE} to train without "
            "other workers"
        )
    return int(text)


def find_workers() -> tuple[list[str], int]:
    """Wait until the pods of all workers run, and return their addresses.

    TensorFlow's resolver orders the pods by name. It cannot tell which pod this process belongs to, so that is found by
    address.

    Returns:
        The addresses, ip:port, and the index of this pod in them.

    Raises:
        UserError: The API server does not answer, the pods do not start, or this pod is not one of them.
    """
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise UserError(
            f"{PODS_VARIABLE}: this process does not run in a pod of a Kubernetes cluster (KUBERNETES_SERVICE_HOST is "
            f"not set); unset {PODS_VARIABLE} to train without other pods"
        )
    selector = os.environ[PODS_VARIABLE]
    pods = _wait_for_pods(selector, count_workers())
    resolver = tf.distribute.cluster_resolver.KubernetesClusterResolver(
        {"worker": [selector]}, tf_server_port=_PORT, override_client=_StaticPodList(pods)
    )
    addresses = resolver.cluster_spec().as_dict()["worker"]
    own = {f"{_bracket_ipv6(address)}:{_PORT}" for address in _find_own_addresses()}
    indices = [index for index, address in enumerate(addresses) if address in own]
    if len(indices) != 1:
        raise UserError(
            f"{PODS_VARIABLE}: expected this pod to be exactly one of the pods of {selector}, {', '.join(addresses)}, "
            f"received {', '.join(sorted(own))}; {_advise_on_own_address(selector, len(indices))}"
        )
    return addresses, indices[0]


def _advise_on_own_address(selector: str, num_found: int) -> str:
    """Return advice for a pod whose address is that of no worker or of several."""
    if num_found:
        return "give each pod an address of its own: a pod with hostNetwork: true has the address of its node"
    if os.environ.get("POD_IP"):
        return f"give this pod labels that {selector} selects, or correct POD_IP if it is not the address of this pod"
    return "set POD_IP to the address of this pod with the downward API (fieldPath: status.podIP)"


class _StaticPodList:
    """A Kubernetes client for TensorFlow's resolver that returns a given list of pods.

    With its own client, the resolver reads a kubectl configuration, which a pod does not have (TensorFlow's issue
    70581), asks for the pods of all namespaces, fails on a pod that has ended or not started, and takes the address of
    a pod's node, which does not have the pod's ports. With this client, it gets running pods whose own address is in
    the field for the address of the node.
    """

    def __init__(self, pods: list[Any]) -> None:
        for pod in pods:
            pod.status.host_ip = _bracket_ipv6(pod.status.pod_ip)
        self._pods = pods

    def list_pod_for_all_namespaces(self, label_selector: str) -> types.SimpleNamespace:
        """Return the pods; the resolver calls this once."""
        return types.SimpleNamespace(items=self._pods)


def _wait_for_pods(selector: str, count: int) -> list[Any]:
    """Wait until a number of pods run, and return them.

    Pods that have ended or are being deleted do not count.
    """
    deadline = time.monotonic() + _MAX_WAIT_SECONDS
    seen = -1
    while True:
        pods = [pod for pod in _list_pods(selector) if pod.status.phase == "Running" and pod.status.pod_ip]
        pods = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        if len(pods) == count:
            return pods
        if len(pods) > count or time.monotonic() >= deadline:
            raise UserError(
                f"{PODS_VARIABLE}: expected {count} running pods of {selector}, received {len(pods)}; correct "
                f"{PODS_VARIABLE} or {COUNT_VARIABLE}, or look at the status of the pods with: kubectl get pods -l "
                f"{shlex.quote(selector)}"
            )
        if len(pods) != seen:
            seen = len(pods)
            _logger.info("%d of %d pods of %s are running; waiting for the rest", seen, count, selector)
        time.sleep(_POLL_INTERVAL_SECONDS)


def _list_pods(selector: str) -> list[Any]:
    try:
        from kubernetes import client, config
        from urllib3.exceptions import HTTPError
    except ImportError as error:
        raise UserError(
            f"{PODS_VARIABLE}: the package kubernetes is not installed ({error}); install it in the pods' "
            f"image: {format_install_command('kubernetes')}"
        ) from error
    try:
        config.load_incluster_config()
        namespace = read_text(_NAMESPACE).strip()
        api = client.CoreV1Api()
        return api.list_namespaced_pod(
            namespace, label_selector=selector, _request_timeout=_REQUEST_TIMEOUT_SECONDS
        ).items
    except client.ApiException as error:
        advice = _ADVICE_BY_STATUS.get(error.status, "see the log of the API server, and start the pods again")
        raise UserError(
            f"{PODS_VARIABLE}: the API server does not list the pods of {selector} in namespace {namespace} "
            f"({error.status} {error.reason}); {advice}"
        ) from error
    except HTTPError as error:
        raise UserError(
            f"{PODS_VARIABLE}: the API server does not answer ({error}); check that the network policies of the "
            "cluster let this pod reach it"
        ) from error
    except (config.ConfigException, OSError) as error:
        raise UserError(
            f"{PODS_VARIABLE}: the token of the service account cannot be read in this pod ({error}); set "
            "automountServiceAccountToken: true in the specification of the pod"
        ) from error


def _find_own_addresses() -> set[str]:
    if address := os.environ.get("POD_IP"):
        return {address}
    return {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)}


def _bracket_ipv6(address: str) -> str:
    """Return an address in a form that a port can follow."""
    return f"[{address}]" if ":" in address else address
