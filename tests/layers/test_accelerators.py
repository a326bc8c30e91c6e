import concurrent.futures
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.layers import accelerators, power_iteration


@pytest.fixture(autouse=True)
def _forget_the_answer() -> Iterator[None]:
    accelerators._is_gpu_compiled_for.cache_clear()
    yield
    accelerators._is_gpu_compiled_for.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda: [tf.config.LogicalDevice(f"/{kind}:0", kind)])


@pytest.mark.parametrize(("kind", "expected"), [("CPU", False), ("GPU", True), ("TPU", True), ("XLA_CPU", False)])
def test_accelerators(kind: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, kind)
    assert accelerators.has_accelerator() is expected


@pytest.mark.parametrize("kind", ["CPU", "TPU"])
def test_only_gpus_are_compiled_for(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, kind)
    assert not accelerators.can_compile_for_gpu()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU, for which the CPU stands."""
    pretend(monkeypatch, "GPU")
    device = tf.device
    monkeypatch.setattr(tf, "device", lambda name: device(name and "CPU:0"))


@pytest.fixture
def compiled(gpu: None, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the matrices whose power iteration was compiled."""
    original = power_iteration._compiled_iterations
    shapes = []

    def spy(rows: int, columns: int, *options: Any) -> Any:
        function = original(rows, columns, *options)

        def call(*arguments: tf.Tensor) -> Any:
            shapes.append((rows, columns))
            return function(*arguments)

        return call

    monkeypatch.setattr(power_iteration, "_compiled_iterations", spy)
    return shapes


def test_a_gpu_that_xla_compiles_for(compiled: list[tuple[int, ...]]) -> None:
    """Also when it is asked about inside a graph. The answer is that of a power iteration, and kept."""
    with tf.Graph().as_default():
        assert accelerators.can_compile_for_gpu()
        assert accelerators.can_compile_for_gpu()
    assert compiled == [(2, 2)]


def test_compilation_can_be_turned_off(compiled: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGAN_TF_COMPILED_SPECTRAL_NORM", "0")
    assert not accelerators.can_compile_for_gpu()
    assert compiled == []


@pytest.mark.usefixtures("gpu")
def test_a_gpu_that_xla_does_not_compile_for(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*sizes: object) -> None:
        raise tf.errors.InternalError(None, None, "libdevice not found\nat some length")

    monkeypatch.setattr(power_iteration, "_compiled_iterations", fail)
    with caplog.at_level(logging.WARNING, "sagan_tf"):
        assert not accelerators.can_compile_for_gpu()
        assert not accelerators.can_compile_for_gpu()
    (record,) = caplog.records
    assert "libdevice not found" in record.getMessage()


@pytest.mark.parametrize(
    ("kind", "has_accelerator", "can_compile"), [("CPU", False, False), ("GPU", True, True), ("TPU", True, False)]
)
def test_an_assumed_device(kind: str, has_accelerator: bool, can_compile: bool) -> None:
    """Also where replicas are traced, in threads of their own, and for this context alone."""

    def answers() -> tuple[bool, bool]:
        return accelerators.has_accelerator(), accelerators.can_compile_for_gpu()

    before = answers()
    with accelerators.assume_device(kind), concurrent.futures.ThreadPoolExecutor() as pool:
        assert answers() == pool.submit(answers).result() == (has_accelerator, can_compile)
        with accelerators.assume_device("CPU"):
            assert answers() == (False, False)
        assert answers() == (has_accelerator, can_compile)
    assert answers() == before
