import pytest
import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.distribution.strategy import check_batch_size, create_strategy
from sagan_tf.errors import UserError


def test_automatic_choice_and_names(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    # tests/conftest.py split the CPU in two.
    assert isinstance(create_strategy(TrainingConfig()), tf.distribute.MirroredStrategy)
    assert create_strategy(TrainingConfig(strategy="mirrored")).num_replicas_in_sync == 2
    assert create_strategy(TrainingConfig(strategy="one_device")).num_replicas_in_sync == 1
    assert create_strategy(TrainingConfig(strategy="mirrored", logical_cpus=2)).num_replicas_in_sync == 2


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="strategy: expected workers .*SAGAN_TF_NUM_PODS.*--strategy=auto"):
        create_strategy(TrainingConfig(strategy="multi_worker"))
    with pytest.raises(UserError, match="strategy: expected a TPU for tpu, received none"):
        create_strategy(TrainingConfig(strategy="tpu"))
    with pytest.raises(UserError, match="logical_cpus: expected 2, as TensorFlow has started, received 3"):
        create_strategy(TrainingConfig(logical_cpus=3))


def test_a_cluster_that_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TF_CONFIG", "garbage")
    with pytest.raises(UserError, match="TF_CONFIG: expected JSON"):
        create_strategy(TrainingConfig(strategy="multi_worker"))


def test_xla_has_one_replica():
    check_batch_size(TrainingConfig(jit_compile=True), 1)
    with pytest.raises(UserError, match="jit_compile: expected one replica"):
        check_batch_size(TrainingConfig(jit_compile=True), 2)


def test_batches_must_divide():
    config = TrainingConfig(global_batch_size=12, gradient_accumulation_steps=3)
    check_batch_size(config, 2)
    with pytest.raises(UserError, match=r"multiple of 24 \(8 replicas x 3 accumulation steps\), received 12"):
        check_batch_size(config, 8)
    check_batch_size(config, 2, group_size=2)
    with pytest.raises(UserError, match=r"global_batch_size.* 24 .*--discriminator_minibatch_statistics=4.* 12"):
        check_batch_size(config, 2, group_size=4)
