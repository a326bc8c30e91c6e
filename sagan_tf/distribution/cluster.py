"""How the workers of one run find each other: TF_CONFIG, Slurm or Kubernetes, whichever describes them."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.distribution import cluster_kubernetes, cluster_slurm, cluster_tf_config
from sagan_tf.errors import UserError

_MANAGERS = (cluster_slurm, cluster_kubernetes)


def has_cluster() -> bool:
    """Return whether the environment describes more than one worker.

    Raises:
        UserError: if what describes them cannot be read: as many runs as workers in one folder would be worse.
    """
    return _num_workers() > 1


def cluster_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    """Read from the environment who the workers are and which of them this process is.

    The first of these that describes workers decides:

    1. `TF_CONFIG`, since somebody wrote it for this process; Kubeflow's training operator does for a TFJob.
    2. Slurm, in a step that `srun` started.
    3. Kubernetes, for pods without an operator, where `SAGAN_TF_PODS` says which pods are the workers.

    Managers are asked once, here: addresses and this process's place stay what they are while the run lasts.

    Raises:
        UserError: if nothing describes workers, or what does cannot be read.
    """
    if cluster_tf_config.num_workers():
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    for manager in _MANAGERS:
        if manager.num_workers():
            addresses, index = manager.find_workers()
            return tf.distribute.cluster_resolver.SimpleClusterResolver(
                tf.train.ClusterSpec({"worker": addresses}),
                task_type="worker",
                task_id=index,
                num_accelerators={"GPU": len(tf.config.get_visible_devices("GPU"))},
                rpc_layer="grpc",
            )
    raise UserError(
        "strategy: expected workers for multi_worker, described by TF_CONFIG, by Slurm (start the program with srun) "
        f"or, on Kubernetes, by {cluster_kubernetes.PODS_VARIABLE} and {cluster_kubernetes.COUNT_VARIABLE}, received "
        "none of them; pass --strategy=auto to train on this machine alone"
    )


def place_among_workers() -> tuple[int, int]:
    """Which worker this process is, counted from 0 with the chief first, and of how many; they need not talk.

    Raises:
        UserError: as `cluster_resolver`.
    """
    resolver = cluster_resolver()
    tasks = resolver.cluster_spec().as_dict()
    before = len(tasks.get("chief", ())) if resolver.task_type == "worker" else 0
    return before + resolver.task_id, sum(len(addresses) for addresses in tasks.values())


def _num_workers() -> int:
    """Workers that the environment describes, 0 where nothing does."""
    counts = (source.num_workers() for source in (cluster_tf_config, *_MANAGERS))
    return next((count for count in counts if count), 0)
