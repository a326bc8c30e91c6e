"""Tests of errors about TPUs, and of the training loop as it is traced for a TPU."""

import logging
import types
import unittest.mock
import urllib.error
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from sagan_tf.config import TrainingConfig
from sagan_tf.distribution import per_replica, tpu
from sagan_tf.distribution.per_replica import split_over_replicas
from sagan_tf.distribution.strategy import create_strategy
from sagan_tf.errors import UserError
from sagan_tf.layers.accelerators import assume_device
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from tests.simulated_tpu import simulated_tpu_strategy, split_nodes_by_program
from tests.training.tiny import make_state, tiny_config

RESOLVER = tf.distribute.cluster_resolver.TPUClusterResolver


@pytest.fixture(autouse=True)
def _unset_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TPU_NAME", raising=False)
    monkeypatch.delenv("TF_CONFIG", raising=False)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the names of the TPUs to which the code connects; every connection succeeds."""
    names: list[str] = []

    def connect(name: str) -> str:
        names.append(name)
        return f"resolver of {name}"

    monkeypatch.setattr(RESOLVER, "connect", connect)
    return names


def add_tpu_support(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make TensorFlow list the device that a build with TPU support has."""
    found = tf.config.list_physical_devices
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind=None: ["TPU_SYSTEM:0"] if kind == "TPU_SYSTEM" else found(kind)
    )


@pytest.mark.parametrize(
    ("environment", "has_device", "texts"),
    [
        ({}, False, ["strategy", "/dev/accel"]),
        ({"TPU_NAME": "local"}, False, ["strategy", "/dev/accel"]),
        ({}, True, ["strategy", "tensorflow-tpu", tf.__version__]),
        ({"TPU_NAME": "my-tpu"}, True, ["TPU_NAME", "my-tpu"]),
        ({"TPU_NAME": "grpc://10.0.0.2:8470"}, False, ["TPU_NAME", "grpc://10.0.0.2:8470"]),
    ],
)
def test_missing_tpu_is_an_error_without_a_connection(
    environment: dict[str, str], has_device: bool, texts: list[str], monkeypatch: pytest.MonkeyPatch, connections: Any
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tpu, "has_tpu", lambda: has_device)
    strategies = ["tpu", "auto"] if environment else ["tpu"]
    for strategy in strategies:
        with pytest.raises(UserError) as caught:
            create_strategy(TrainingConfig(strategy=strategy))
        assert all(text in str(caught.value) for text in texts) and "\n" not in str(caught.value)
    assert connections == []


@pytest.mark.parametrize("name", [None, "", "local"])
def test_local_tpu_is_used(name: str | None, monkeypatch: pytest.MonkeyPatch, connections: Any) -> None:
    if name is not None:
        monkeypatch.setenv("TPU_NAME", name)
    add_tpu_support(monkeypatch)
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda resolver: f"strategy of the {resolver}")
    for strategy in ("tpu", "auto"):
        assert create_strategy(TrainingConfig(strategy=strategy)) == "strategy of the resolver of local"
    assert connections == ["local", "local"]
    with pytest.raises(UserError, match="precision: .*mixed_float16"):
        create_strategy(TrainingConfig(strategy="tpu", precision="mixed_float16"))


@pytest.mark.parametrize("packages", [[], ["tensorflow-tpu"]])
def test_unused_tpu_is_logged(packages: list[str], monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(logging.getLogger("sagan_tf"), "propagate", True)
    monkeypatch.setattr(tpu, "has_tpu", lambda: True)
    monkeypatch.setattr(tpu, "_is_installed", lambda package: package in packages)
    create_strategy(TrainingConfig(strategy="one_device"))  # The user has chosen not to use a TPU.
    assert "TPU" not in caplog.text
    create_strategy(TrainingConfig())
    assert "tensorflow-tpu" in caplog.text and ("tpu-requirements.txt" in caplog.text) == (not packages)


ERRORS = [tf.errors.NotFoundError(None, None, "TPUs not found\nin the cluster"), ValueError("no name")]
ERRORS += [urllib.error.URLError("Name or service not known"), RuntimeError("not healthy")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_failed_start_is_an_error_of_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    add_tpu_support(monkeypatch)
    monkeypatch.setattr(RESOLVER, "connect", unittest.mock.Mock(side_effect=error))
    with pytest.raises(UserError, match="strategy") as caught:
        create_strategy(TrainingConfig(strategy="tpu"))
    assert str(error).splitlines()[0] in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def nodes() -> tuple[list[Any], list[Any]]:
    """Return the nodes of a training loop for a TPU: those of its programs, and those around the programs."""
    config, strategy = tiny_config(architecture="dcgan"), simulated_tpu_strategy()
    size = config.model.resolution

    def batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
        rows = context.get_per_replica_batch_size(config.training.global_batch_size)
        images, labels = tf.zeros([rows, size, size, 1]), tf.zeros([rows], tf.int32)
        positions = tf.zeros([rows], tf.int64)
        batch = {"images": images, "labels": labels, "positions": positions}
        return tf.data.Dataset.from_tensors(batch).repeat()

    with assume_device("TPU"):
        state = make_state(config, strategy)
        iterator = iter(strategy.distribute_datasets_from_function(batches))
        trainer = Trainer(create_updates(config, state), strategy, iterator, config.training)
        return split_nodes_by_program(trainer.trace_loop())


def test_step_consists_of_two_programs(nodes: tuple[list[Any], list[Any]]) -> None:
    inside, outside = nodes
    assert [node.op for node in inside].count("TPUReplicateMetadata") == 2
    assert {"Conv2D", "CrossReplicaSum", "ResourceApplyAdagradV2"} <= {node.op for node in inside}
    assert not {"Conv2D", "MatMul", "ResourceApplyAdagradV2"} & {node.op for node in outside}


def test_attention_has_the_gradient_for_rounded_products(nodes: tuple[list[Any], list[Any]]) -> None:
    """The columns that restore row sums are padded to eight, and no other tensor in these networks is padded."""
    assert "Pad" in {node.op for node in nodes[0]}


def test_xla_has_a_kernel_for_every_operation_of_the_programs(nodes: tuple[list[Any], list[Any]]) -> None:
    tf.function(lambda x: x + 1.0, jit_compile=True)(tf.zeros([2]))  # registers XLA's kernels
    # A build without TPU support has no kernels for these operations.
    tpu_types = {"TPUReplicateMetadata", "TPUReplicatedInput", "TPUReplicatedOutput", "AllToAll", "CrossReplicaSum"}
    types_of_nodes = {node.op for node in nodes[0]} - tpu_types
    missing = [
        name
        for name in sorted(types_of_nodes)
        if not any("XLA" in kernel.device_type for kernel in kernels.get_registered_kernels_for_op(name).kernel)
    ]
    assert missing == []


def test_only_counters_are_assigned_around_the_programs(nodes: tuple[list[Any], list[Any]]) -> None:
    changes = [node for node in nodes[1] if "Assign" in node.op or node.op.startswith("ResourceApply")]
    assert len(changes) == 2 and all(node.attr["dtype"].type == tf.int64.as_datatype_enum for node in changes)


def test_only_counters_of_updates_are_sent_to_other_chips(nodes: tuple[list[Any], list[Any]]) -> None:
    sent = [node for node in nodes[0] if node.op == "AllToAll"]
    # Keras has one counter for each optimizer.
    assert [node.attr["T"].type for node in sent] == [tf.int64.as_datatype_enum] * 2


def test_number_of_rows_per_replica_is_static_under_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows_of(replica: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        context = types.SimpleNamespace(num_replicas_in_sync=2, replica_id_in_sync_group=replica)
        monkeypatch.setattr(tf.distribute, "get_replica_context", lambda: context)
        return per_replica._take_replica_rows(batch) * 2.0

    function = tf.function(rows_of, jit_compile=True, autograph=False)
    specs = tf.TensorSpec([], tf.int32), tf.TensorSpec([8, 3])
    module = function.experimental_get_compiler_ir(*specs)(stage="stablehlo")
    assert "-> tensor<4x3xf32>" in module and "set_dimension_size" not in module and "?" not in module
    monkeypatch.undo()
    with (strategy := simulated_tpu_strategy()).scope():
        specification = tf.TensorSpec([None, 3])
        graph = tf.function(split_over_replicas(strategy, lambda x: (-x,))).get_concrete_function(specification).graph
    assert graph.structured_outputs[0].shape.as_list() == [None, 3]
