import contextlib
import types
from collections.abc import Iterator

import pytest
import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.distribution import devices
from sagan_tf.distribution.strategy import create_local_strategy, create_strategy

GPUS = [types.SimpleNamespace(name=f"GPU:{index}") for index in range(3)]


@pytest.fixture
def gpu_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """Record the settings of three simulated GPUs."""
    calls: list[tuple[str, object]] = []
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: GPUS if kind == "GPU" else ["CPU"])
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: GPUS[1:])
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda gpu, on: calls.append(("growth", (gpu, on)))
    )
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda gpus, kind: calls.append(("visible", gpus)))
    return calls


@pytest.fixture(autouse=True)
def _restore_tf32() -> Iterator[None]:
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


def is_tf32_on() -> bool:
    return tf.config.experimental.tensor_float_32_execution_enabled()


def test_settings_of_gpus(gpu_calls: list[tuple[str, object]], monkeypatch: pytest.MonkeyPatch):
    devices.enable_gpu_memory_growth()
    assert gpu_calls == [("growth", (gpu, True)) for gpu in GPUS]
    gpu_calls.clear()
    for value in ("true", "false"):
        monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", value)
        devices.enable_gpu_memory_growth()
    assert gpu_calls == []
    devices.use_one_gpu()
    devices.use_no_gpu()
    assert gpu_calls == [("visible", GPUS[1:2]), ("visible", [])]


def test_settings_are_kept_after_tensorflow_has_started(
    gpu_calls: list[tuple[str, object]], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*arguments: object) -> None:
        raise RuntimeError("cannot be modified after being initialized")

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)
    devices.enable_gpu_memory_growth()
    devices.use_one_gpu()
    devices.use_no_gpu()
    assert gpu_calls == []


@pytest.mark.parametrize("before", [True, False])
def test_float32_is_exact_only_inside_the_context(before: bool):
    tf.config.experimental.enable_tensor_float_32_execution(before)
    with devices.exact_float32():
        assert not is_tf32_on()
    assert is_tf32_on() is before
    with pytest.raises(KeyError), devices.exact_float32():
        raise KeyError
    assert is_tf32_on() is before


def test_strategies_apply_the_options_of_training(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    calls: list[str] = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: calls.append("deterministic"))
    monkeypatch.setattr("sagan_tf.distribution.strategy.enable_gpu_memory_growth", lambda: calls.append("growth"))
    monkeypatch.setattr("sagan_tf.distribution.strategy.use_one_gpu", lambda: calls.append("one"))
    create_strategy(TrainingConfig(strategy="mirrored"))
    assert calls == ["growth"]
    create_strategy(TrainingConfig(strategy="one_device", deterministic=True))
    assert sorted(calls) == ["deterministic", "growth", "growth", "one"]
    create_strategy(TrainingConfig(strategy="one_device"))
    assert is_tf32_on()
    create_strategy(TrainingConfig(strategy="one_device", tf32=False))
    assert not is_tf32_on()
    create_strategy(TrainingConfig(strategy="one_device"))
    create_local_strategy("one_device")
    assert not is_tf32_on()


@pytest.mark.parametrize("exact", [False, True])
def test_xla_multiplies_exactly_without_tensor_float_32(exact: bool) -> None:
    """TPUs, for which everything is compiled, round factors to bfloat16 unless XLA has its highest precision."""
    tf.config.experimental.enable_tensor_float_32_execution(True)

    def multiply(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(images, kernel, 1, "SAME") @ tf.ones([4, 5])

    function = tf.function(multiply, jit_compile=True)
    with devices.exact_float32() if exact else contextlib.nullcontext():
        program = function.experimental_get_compiler_ir(tf.ones([2, 8, 8, 3]), tf.ones([3, 3, 3, 4]))(stage="hlo")
    products = [line for line in program.splitlines() if " dot(" in line or " convolution(" in line]
    assert len(products) == 2
    assert all(("operand_precision={highest,highest}" in line) == exact for line in products)
