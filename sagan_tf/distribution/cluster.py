"""Workers of a run, as TF_CONFIG, Slurm or Kubernetes describes them."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.distribution import cluster_kubernetes, cluster_slurm, cluster_tf_config
from sagan_tf.errors import UserError

_MANAGERS = (cluster_slurm, cluster_kubernetes)


def has_cluster() -> bool:
    """Return whether the environment describes more than one worker.

    Raises:
        UserError: The description of the workers cannot be read. If it were ignored, every worker would start a run of
            its own in the same directory.
    """
    return _count_workers() > 1


def create_cluster_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    """Read the addresses of the workers and the index of this process.

    The first of these sources that describes workers is used:

    1. `TF_CONFIG`, because it was written for this process, for example by Kubeflow's training operator for a TFJob.
    2. Slurm, in a step that `srun` started.
    3. Kubernetes, for pods without an operator, where `SAGAN_TF_PODS` selects the pods that are the workers.

    The source is read once: addresses and index do not change during a run.

    Returns:
        A cluster resolver for `tf.distribute.MultiWorkerMirroredStrategy`.

    Raises:
        UserError: No source describes workers, or its description cannot be read.
    """
    if cluster_tf_config.count_workers():
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    for manager in _MANAGERS:
        if manager.count_workers():
            addresses, index = manager.find_workers()
            return tf.distribute.cluster_resolver.SimpleClusterResolver(
                tf.train.ClusterSpec({"worker": addresses}),
                task_type="worker",
                task_id=index,
                num_accelerators={"GPU": len(tf.config.get_visible_devices("GPU"))},
                rpc_layer="grpc",
            )
    raise UserError(
        "strategy: --strategy=multi_worker finds no description of the workers; set TF_CONFIG, start the program with "
        f"Slurm's srun or, on Kubernetes, set {cluster_kubernetes.PODS_VARIABLE} and "
        f"{cluster_kubernetes.COUNT_VARIABLE}; or pass --strategy=auto to train on this machine alone"
    )


def find_worker_index() -> tuple[int, int]:
    """Return the index of this worker and the number of workers.

    The workers need not communicate with each other.

    Returns:
        The index, counted from 0, where the chief comes first, and the number of workers.

    Raises:
        UserError: No source describes workers, or its description cannot be read.
    """
    resolver = create_cluster_resolver()
    tasks = resolver.cluster_spec().as_dict()
    before = len(tasks.get("chief", ())) if resolver.task_type == "worker" else 0
    return before + resolver.task_id, sum(len(addresses) for addresses in tasks.values())


def _count_workers() -> int:
    """Return the number of workers that the environment describes, or 0."""
    counts = (source.count_workers() for source in (cluster_tf_config, *_MANAGERS))
    return next((count for count in counts if count), 0)
