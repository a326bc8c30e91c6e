import concurrent.futures
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.layers import accelerators, power_iteration


@pytest.fixture(autouse=True)
def _clear_cached_answer() -> Iterator[None]:
    accelerators._has_gpu_compiler.cache_clear()
    yield
    accelerators._has_gpu_compiler.cache_clear()


def set_device_type(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda: [tf.config.LogicalDevice(f"/{kind}:0", kind)])


@pytest.mark.parametrize(("kind", "expected"), [("CPU", False), ("GPU", True), ("TPU", True), ("XLA_CPU", False)])
def test_has_accelerator(kind: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    set_device_type(monkeypatch, kind)
    assert accelerators.has_accelerator() is expected
    assert kind == "GPU" or not accelerators.can_compile_for_gpu()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated GPU, whose operations run on the CPU."""
    set_device_type(monkeypatch, "GPU")
    device = tf.device
    monkeypatch.setattr(tf, "device", lambda name: device(name and "CPU:0"))


@pytest.fixture
def compiled(gpu: None, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the matrices whose power iteration was compiled and called."""
    original = power_iteration._compile_iterations
    shapes: list[tuple[int, ...]] = []

    def spy(rows: int, columns: int, *options: Any) -> Any:
        function = original(rows, columns, *options)

        def call(*arguments: tf.Tensor) -> Any:
            shapes.append((rows, columns))
            return function(*arguments)

        return call

    monkeypatch.setattr(power_iteration, "_compile_iterations", spy)
    return shapes


def test_gpu_with_compiler(compiled: list[tuple[int, ...]]) -> None:
    """One power iteration is run, also inside a graph, and its answer is cached."""
    with tf.Graph().as_default():
        assert accelerators.can_compile_for_gpu()
        assert accelerators.can_compile_for_gpu()
    assert compiled == [(2, 2)]


def test_compilation_can_be_turned_off(compiled: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGAN_TF_COMPILED_SPECTRAL_NORM", "0")
    assert not accelerators.can_compile_for_gpu()
    assert compiled == []


@pytest.mark.usefixtures("gpu")
def test_gpu_without_compiler(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*sizes: object) -> None:
        raise tf.errors.InternalError(None, None, "libdevice not found\nsecond line")

    monkeypatch.setattr(power_iteration, "_compile_iterations", fail)
    with caplog.at_level(logging.WARNING, "sagan_tf"):
        assert not accelerators.can_compile_for_gpu()
        assert not accelerators.can_compile_for_gpu()
    (record,) = caplog.records
    assert "libdevice not found" in record.getMessage()


@pytest.mark.parametrize(
    ("kind", "has_accelerator", "can_compile"), [("CPU", False, False), ("GPU", True, True), ("TPU", True, False)]
)
def test_assumed_device(kind: str, has_accelerator: bool, can_compile: bool) -> None:
    """The assumption holds in other threads, where replicas are traced, and only inside the context."""

    def answers() -> tuple[bool, bool]:
        return accelerators.has_accelerator(), accelerators.can_compile_for_gpu()

    before = answers()
    with accelerators.assume_device(kind), concurrent.futures.ThreadPoolExecutor() as pool:
        assert answers() == pool.submit(answers).result() == (has_accelerator, can_compile)
        with accelerators.assume_device("CPU"):
            assert answers() == (False, False)
        assert answers() == (has_accelerator, can_compile)
    assert answers() == before
