import json

import pytest
import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.distribution.strategy import (
    check_batch_size,
    check_jit_compile,
    create_communication_options,
    create_local_strategy,
    create_strategy,
)
from sagan_tf.errors import UserError
from tests.simulated_tpu import simulated_tpu_strategy


def test_automatic_choice_and_names(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    # tests/conftest.py splits the CPU into two devices.
    assert isinstance(create_strategy(TrainingConfig()), tf.distribute.MirroredStrategy)
    assert create_strategy(TrainingConfig(strategy="mirrored")).num_replicas_in_sync == 2
    assert create_strategy(TrainingConfig(strategy="one_device")).num_replicas_in_sync == 1
    assert create_strategy(TrainingConfig(strategy="mirrored", logical_cpus=2)).num_replicas_in_sync == 2


def test_missing_workers_and_devices(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="strategy: "):
        create_strategy(TrainingConfig(strategy="multi_worker"))
    with pytest.raises(UserError, match="logical_cpus: .* 2.*received 3"):
        create_strategy(TrainingConfig(logical_cpus=3))


def test_jit_compile_needs_one_replica_or_a_tpu():
    config = TrainingConfig(jit_compile=True)
    check_jit_compile(config, tf.distribute.OneDeviceStrategy("CPU:0"))
    check_jit_compile(config, simulated_tpu_strategy())  # `--strategy=auto` may select a TPU.
    mirrored = create_local_strategy("mirrored")
    check_jit_compile(TrainingConfig(), mirrored)
    with pytest.raises(UserError, match="jit_compile: .* 2;"):
        check_jit_compile(config, mirrored)


def test_one_device_is_the_cpu_if_gpus_are_hidden(monkeypatch: pytest.MonkeyPatch):
    found = tf.config.list_physical_devices
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["hidden"] if kind == "GPU" else found(kind))
    monkeypatch.setattr("sagan_tf.distribution.strategy.check_gpus", lambda **options: None)
    monkeypatch.setattr("sagan_tf.distribution.devices.enable_gpu_memory_growth", lambda: None)
    assert create_local_strategy("one_device").extended.worker_devices[0].endswith("CPU:0")


def test_batch_size_must_be_divisible():
    config = TrainingConfig(global_batch_size=12, gradient_accumulation_steps=3)
    check_batch_size(config, 2)
    with pytest.raises(UserError, match="24 .* 12"):
        check_batch_size(config, 8)
    check_batch_size(config, 2, group_size=2)
    with pytest.raises(UserError, match=r"global_batch_size.* 24 .*--discriminator_minibatch_statistics=4.* 12"):
        check_batch_size(config, 2, group_size=4)


@pytest.mark.parametrize(
    ("collectives", "has_gpus", "expected"),
    [("auto", True, "NCCL"), ("auto", False, "RING"), ("ring", True, "RING"), ("nccl", False, "NCCL")],
)
def test_workers_with_gpus_exchange_gradients_with_nccl(collectives: str, has_gpus: bool, expected: str):
    options = create_communication_options(collectives, has_gpus=has_gpus)
    assert options.implementation.value == expected
    assert (options.bytes_per_pack > 0) == (expected == "NCCL")


def test_multi_worker_strategy_has_communication_options(monkeypatch: pytest.MonkeyPatch):
    cluster = {"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    given = []
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda *arguments: given.append(arguments))
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU:0"] if kind == "GPU" else [])
    create_strategy(TrainingConfig(strategy="multi_worker"))
    ((_, options),) = given
    assert options.implementation.value == "NCCL"
