"""Tests of the effects of TensorFloat-32 by emulation: training may change, exports must not."""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.distribution.devices import exact_float32
from sagan_tf.export import run as export
from sagan_tf.exporting import export as exporting
from sagan_tf.exporting.parity import measure_saved_model_error
from sagan_tf.networks import build_generator
from tests.exporting.small_export import save_run
from tests.networks.small_networks import labels, latents, small_config, stir
from tests.tf32 import emulate_tf32, round_to_tf32
from tests.training.tiny import (
    PLAINEST_NETWORKS,
    find_differences,
    make_trainer,
    one_device,
    read_all_values,
    tiny_config,
)


@pytest.fixture
def tf32(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    emulate_tf32(monkeypatch)
    tf.config.experimental.enable_tensor_float_32_execution(True)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


def test_rounding_to_nearest_with_ten_bits() -> None:
    step = 2.0**-10
    given = [1.0, 1.0 + step, 1.0 + 0.4 * step, 1.0 + 0.6 * step, 1.0 + 0.5 * step, 1.0 + 1.5 * step, -3.0, 0.0]
    expected = [1.0, 1.0 + step, 1.0, 1.0 + step, 1.0, 1.0 + 2 * step, -3.0, 0.0]
    np.testing.assert_array_equal(round_to_tf32(tf.constant(given, tf.float32)), np.float32(expected))


@pytest.mark.usefixtures("tf32")
def test_export_is_exact(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[float] = []

    def record(*arguments: Any) -> float:
        errors.append(measure_saved_model_error(*arguments))
        return errors[-1]

    monkeypatch.setattr(exporting, "measure_saved_model_error", record)
    run_dir = save_run(tmp_path / "run", base_channels=8)
    assert export([f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}"]) == 0
    assert len(errors) == 1 and errors[0] < 1e-5


@pytest.mark.usefixtures("tf32")
def test_images_differ_in_tf32_and_are_exact_inside_the_context() -> None:
    generator = build_generator(small_config(attention_resolutions=(8,)))
    stir(generator)
    inputs = [latents(4), labels(4)]
    in_tf32 = generator(inputs, training=False).numpy()
    with exact_float32():
        exact = generator(inputs, training=False).numpy()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    np.testing.assert_array_equal(exact, generator(inputs, training=False).numpy())
    assert 1e-5 < np.abs(in_tf32 - exact).max() < 0.05


@pytest.mark.slow
def test_training_is_finite_in_tf32_and_reproducible_without(tf32: None) -> None:
    def train(enabled: bool) -> dict[str, np.ndarray]:
        tf.config.experimental.enable_tensor_float_32_execution(enabled)
        trainer = make_trainer(tiny_config(**PLAINEST_NETWORKS), one_device())
        trainer.train(2)
        return read_all_values(trainer.state)

    rounded, exact, again = train(True), train(False), train(False)
    assert not find_differences(exact, again)
    assert find_differences(exact, rounded)
    assert all(np.isfinite(value).all() for value in rounded.values())
