import logging
import unittest.mock

import pytest
import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.distribution import gpu_preflight
from sagan_tf.distribution.gpu_preflight import PREFLIGHT_VARIABLE, check_gpus, list_visible_gpus
from sagan_tf.distribution.strategy import create_local_strategy, create_strategy
from sagan_tf.errors import UserError
from tests.distribution.made_up_gpus import A10, H100, RTX_5090, T4, V100, simulate_gpus


@pytest.fixture(autouse=True)
def _capture_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("sagan_tf"), "propagate", True)
    monkeypatch.setattr(gpu_preflight, "examine_shared_memory", lambda num_gpus: [])
    caplog.set_level(logging.INFO, "sagan_tf")


def test_unused_gpu_is_explained_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    simulate_gpus(monkeypatch, driver_cuda=None)
    monkeypatch.setattr(gpu_preflight, "has_nvidia_gpu", lambda: True)
    create_strategy(TrainingConfig(strategy="mirrored"))
    create_local_strategy("mirrored")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "libcuda.so.1" in record.getMessage()


@pytest.mark.parametrize("create", [lambda: create_strategy(TrainingConfig()), lambda: create_local_strategy("auto")])
def test_strategy_on_an_unusable_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch, create):
    start = unittest.mock.Mock(return_value=[])
    simulate_gpus(monkeypatch, RTX_5090)
    monkeypatch.setattr(tf.config, "list_logical_devices", start)
    with pytest.raises(UserError, match=f"RTX 5090.*CUDA_VISIBLE_DEVICES.*{PREFLIGHT_VARIABLE}") as caught:
        create()
    assert not start.called and "\n" not in str(caught.value)


def test_preflight_variable_turns_errors_into_warnings(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    simulate_gpus(monkeypatch, RTX_5090)
    monkeypatch.setenv(PREFLIGHT_VARIABLE, "warn")
    assert create_strategy(TrainingConfig(strategy="mirrored")).num_replicas_in_sync == 2
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "RTX 5090" in record.getMessage()


def test_equal_gpus_have_one_finding(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    simulate_gpus(monkeypatch, H100, H100, T4, V100)
    create_strategy(TrainingConfig(strategy="mirrored", precision="mixed_bfloat16"))
    lines = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in lines] == [logging.INFO, logging.WARNING, logging.WARNING]
    assert all(gpu.name in line for gpu, (_, line) in zip((H100, T4, V100), lines, strict=True))


def test_error_of_several_gpus_is_reported_once(monkeypatch: pytest.MonkeyPatch):
    simulate_gpus(monkeypatch, V100, V100, T4, cudnn=(9, 1))  # V100 needs another cuDNN than T4
    with pytest.raises(UserError) as caught:
        check_gpus()
    assert str(caught.value).count("cuDNN 9.3") == 2


def test_unused_gpus_are_not_checked(monkeypatch: pytest.MonkeyPatch):
    simulate_gpus(monkeypatch, A10, RTX_5090)
    check_gpus(only_first=True)
    with pytest.raises(UserError, match="RTX 5090"):
        check_gpus()
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    check_gpus()  # This process has hidden the GPUs.


def test_nothing_is_logged_without_an_nvidia_gpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(gpu_preflight, "has_nvidia_gpu", lambda: False)
    simulate_gpus(monkeypatch)
    check_gpus()
    simulate_gpus(monkeypatch, RTX_5090)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: {"device_name": "METAL"})
    assert list_visible_gpus() == []
    check_gpus()
    assert caplog.records == []
