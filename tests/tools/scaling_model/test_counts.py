"""Work of small graphs, counted by hand; a step, compared with training's own networks and graphs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.layers.accelerators import assume_device
from sagan_tf.networks.architectures import ARCHITECTURES
from sagan_tf.training.run_summary import estimate_memory
from sagan_tf.training.state import TrainState, create_state
from tests.training.tiny import PLAIN_NETWORKS, PLAINEST_NETWORKS, tiny_config
from tools import prepare_imagenet
from tools.benchmarks.pipeline_data import write_image_directory
from tools.scaling_model import counts
from tools.scaling_model.counts import count_graph_work, count_step, pack_gradients
from tools.scaling_model.prediction import BatchWork, Device, Work

A, B = tf.ones([4, 6]), tf.ones([6, 5])
A_BYTES = 4 * 6 * 4


def count_work(function: Callable[..., Any], *arguments: Any) -> Work:
    return count_graph_work(tf.function(function, autograph=False).get_concrete_function(*arguments).graph)


def test_products_count_as_arithmetic_only() -> None:
    assert count_work(tf.matmul, A, B) == Work(flops=2 * 4 * 6 * 5, traffic_bytes=0, operations=1)


def test_other_operations_count_as_traffic_only() -> None:
    assert count_work(tf.nn.relu, A) == Work(flops=0, traffic_bytes=2 * A_BYTES, operations=1)
    assert count_work(tf.add, A, A) == Work(flops=0, traffic_bytes=3 * A_BYTES, operations=1)


def test_half_precision_halves_the_traffic() -> None:
    assert count_work(tf.nn.relu, tf.cast(A, tf.bfloat16)).traffic_bytes == A_BYTES


def test_renaming_a_tensor_moves_no_data() -> None:
    assert count_work(lambda a: tf.identity(tf.stop_gradient(tf.expand_dims(tf.reshape(a, [24]), 0))), A) == Work()


def test_integer_operations_are_not_launched() -> None:
    work = count_work(lambda a: tf.add(tf.cast(a, tf.int32), 1), A)
    assert work.operations == 0 and work.traffic_bytes > 0


def test_unused_operations_do_not_count() -> None:
    def function(a: tf.Tensor) -> tf.Tensor:
        tf.nn.relu(a)
        return tf.identity(a)

    assert count_work(function, A) == Work()


def test_an_optimizer_reads_and_writes_its_variables() -> None:
    variable, moment = tf.Variable(A), tf.Variable(A)

    def update(gradient: tf.Tensor) -> None:
        tf.raw_ops.ResourceApplyAdagradV2(
            var=variable.handle, accum=moment.handle, lr=0.1, epsilon=1e-8, grad=gradient, update_slots=True
        )

    work = count_work(update, A)
    assert work.operations == 1
    assert work.traffic_bytes == (1 + 2 * 2) * A_BYTES + 2 * 4  # gradient, two variables read and written, two scalars


def test_called_functions_and_branches_count() -> None:
    def function(a: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
        return tf.cond(which > 0, lambda: tf.matmul(a, B), lambda: tf.matmul(tf.nn.relu(a), B))

    work = count_work(function, A, tf.constant(1))
    assert work.flops == 2 * (2 * 4 * 6 * 5)
    assert work.operations == 3
    # Besides ReLU there is the comparison of two int32 scalars, which gives a bool.
    assert work.traffic_bytes == 2 * A_BYTES + 4 + 4 + 1


def test_a_function_that_xla_compiles_is_one_operation() -> None:
    def function(a: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.nn.relu(a) * 2.0, B)

    flops = 2 * 4 * 6 * 5
    b_bytes, product_bytes = 4 * 6 * 5, 4 * 4 * 5
    assert count_work(function, A) == Work(flops, 4 * A_BYTES + 4, 3)  # relu, the doubled relu, a scalar
    compiled = tf.function(function, jit_compile=True, autograph=False)
    work = count_work(lambda a: tf.nn.relu(compiled(a)), A)
    assert work == Work(flops, A_BYTES + b_bytes + product_bytes + 2 * product_bytes, 2)


def test_unknown_sizes_are_left_out_of_the_traffic() -> None:
    work = count_work(tf.nn.relu, tf.TensorSpec([None, 6]))
    assert work == Work(operations=1)


CONFIG = tiny_config(**PLAIN_NETWORKS, discriminator_steps_per_step=3)


@pytest.fixture(scope="module")
def state() -> TrainState:
    return create_state(CONFIG)


@pytest.fixture(scope="module")
def step(state: TrainState) -> dict[str, BatchWork]:
    return count_step(CONFIG, state)


def count(config: Config) -> dict[str, BatchWork]:
    return count_step(config, create_state(config))


@pytest.mark.slow
def test_work_is_linear_in_the_number_of_images(state: TrainState, step: dict[str, BatchWork]) -> None:
    with assume_device("CPU"):  # Layers are counted in their forms for a GPU on every machine.
        discriminator, generator = counts.count_updates(CONFIG, state, 7)
    for part, work in (("update of the discriminator", discriminator), ("update of the generator", generator)):
        assert step[part].evaluate(7).flops == pytest.approx(work.flops, rel=1e-9)
        # Gradients are added up differently for a batch of one, which changes a few numbers.
        assert step[part].evaluate(7).traffic_bytes == pytest.approx(work.traffic_bytes, rel=1e-5)
        assert step[part].evaluate(7).operations == work.operations


def test_a_step_is_the_sum_of_its_parts(step: dict[str, BatchWork]) -> None:
    discriminator, generator, averaging, whole = (np.array(line.evaluate(4)) for line in step.values())
    np.testing.assert_allclose(whole, 3 * discriminator + generator + averaging)


def test_averaging_does_not_depend_on_the_batch(state: TrainState, step: dict[str, BatchWork]) -> None:
    averaging = step["EMA generator"]
    assert averaging.per_image == Work()
    # At least the weights and their averages are read, and the averages written.
    assert averaging.fixed.traffic_bytes > 3 * sum(pack_gradients(state.generator, 0))


@pytest.mark.slow
def test_accumulation_computes_sigma_in_every_part() -> None:
    """Each part reads the kernels for sigma.

    Parts also add up gradients, as those of plain layers do.
    """

    def count_two_images(state: TrainState, config: Config, parts: int) -> Work:
        training = dataclasses.replace(config.training, gradient_accumulation_steps=parts)
        updates = counts.count_updates(dataclasses.replace(config, training=training), state, 2)
        return Work(*np.sum(updates, axis=0).tolist())

    def count_a_second_part(has_sigma: bool) -> tuple[Work, int]:
        config = tiny_config(**PLAINEST_NETWORKS | {"discriminator_spectral_norm": has_sigma})
        state = create_state(config)
        one, two = (count_two_images(state, config, parts) for parts in (1, 2))
        kernels = [variable.value for variable in state.discriminator.trainable_variables if len(variable.shape) > 1]
        kernel_bytes = 4 * sum(kernel.shape.num_elements() for kernel in kernels)
        return Work(*np.subtract(two, one).tolist()), kernel_bytes

    plain, _ = count_a_second_part(has_sigma=False)
    normalized, kernel_bytes = count_a_second_part(has_sigma=True)
    assert plain.flops == 0
    # The kernels are read in both updates.
    assert normalized.traffic_bytes - plain.traffic_bytes > 2 * kernel_bytes


@pytest.mark.slow
def test_attention_in_blocks_is_counted_as_a_whole() -> None:
    networks = {"resolution": 64, "base_channels": 1, "attention_form": "paper"}
    networks |= {"generator_spectral_norm": False, "discriminator_spectral_norm": False}
    attention = {"generator_attention_resolutions": (64,), "discriminator_attention_resolutions": ()}
    found = count(tiny_config(**networks, **attention))
    locations, query_channels, value_channels = 64**2, 1, 1
    # The products of `compute_attention_gradients` besides the two of the outputs; two have eight more columns.
    columns = (query_channels + value_channels) + 4 * query_channels + 2 * value_channels + 2 * 8
    expected = 2 * locations**2 * columns
    assert expected < found["update of the generator"].per_image.flops < 1.1 * expected


def test_layers_are_counted_in_their_forms_for_a_gpu(
    state: TrainState, step: dict[str, BatchWork], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form for a CPU would take more operations for sigma."""
    monkeypatch.setattr(counts, "assume_device", lambda kind: assume_device("CPU"))
    discriminator, generator = counts.count_updates(CONFIG, state, 4)
    for part, work in (("update of the discriminator", discriminator), ("update of the generator", generator)):
        assert step[part].evaluate(4).operations < 0.8 * work.operations


@pytest.mark.parametrize("parts", [1, 3])
def test_memory_equals_the_estimate_of_a_run(parts: int) -> None:
    config = tiny_config(global_batch_size=12, gradient_accumulation_steps=parts)
    state = create_state(config)
    for replicas in (1, 2):
        expected = estimate_memory(config, state, replicas)
        assert counts.estimate_replica_memory(config, state, 12 // replicas // parts) == expected


def make_device(memory_bytes: float) -> Device:
    return Device("made up", memory_bytes, 1.0, 1.0, {})


def test_large_attention_maps_are_kept_if_they_fit_on_a_gpu() -> None:
    """A GPU keeps the maps of eight images; it computes those of more in blocks."""
    options = {"resolution": 64, "attention_form": "full", "discriminator_attention_resolutions": ()}
    config = tiny_config(**options, generator_attention_resolutions=(64,), precision="mixed_bfloat16")
    state = create_state(config)
    weights, image = counts.split_memory(config, state)
    three, eight, nine = (counts.estimate_replica_memory(config, state, images) for images in (3, 8, 9))
    maps = 2 * 2 * 4096**2  # values of two bytes, with their gradients
    assert eight == weights + 8 * (image + maps)
    assert nine == weights + 9 * image < eight
    assert counts.find_max_images(config, state, make_device(eight - 1)) == (eight - 1 - weights) // image
    assert counts.find_max_images(config, state, make_device(three)) >= 3


def test_maximum_number_of_images(monkeypatch: pytest.MonkeyPatch, state: TrainState) -> None:
    monkeypatch.setattr(counts, "estimate_replica_memory", lambda *arguments: 100 + 30 * arguments[2])
    found = [counts.find_max_images(CONFIG, state, make_device(size)) for size in (99, 100, 129, 130, 1000)]
    assert found == [0, 0, 0, 1, 30]


def test_every_resolution_of_the_architecture() -> None:
    config = tiny_config(attention_resolutions=(64,), resolution=128)
    models = [resized.model for resized in counts.list_resolutions(config)]
    assert [model.resolution for model in models] == sorted(ARCHITECTURES["sagan"].stages)
    # Attention moves to the next smaller feature map. The largest map of a discriminator is 32 at 64 px, 16 at 32 px.
    attention = {model.resolution: (model.generator_attention, model.discriminator_attention) for model in models}
    assert attention == {32: ((32,), (16,)), 64: ((64,), (32,)), 128: ((64,), (64,)), 256: ((64,), (64,))}


def test_configured_widths_are_for_one_resolution_only() -> None:
    config = tiny_config(generator_widths=(4, 4, 2, 1), discriminator_base_channels=3)
    assert counts.list_resolutions(config) == [config]


def test_size_of_a_prepared_record_agrees_with_the_tool(tmp_path: Path) -> None:
    write_image_directory(tmp_path / "images", 8)
    arguments = ["--dataset=folder", f"--data_dir={tmp_path / 'images'}", f"--output={tmp_path / 'out'}"]
    assert prepare_imagenet.run([*arguments, "--resolution=64", "--num_workers=1", "--num_shards=1"]) == 0
    (file,) = (tmp_path / "out" / "train").glob("*.tfrecord")
    # The lengths of names differ.
    assert counts.measure_prepared_bytes(64, 3) == pytest.approx(file.stat().st_size / 8, rel=0.02)


@pytest.mark.slow
def test_alpha_is_stored_as_png() -> None:
    gray, color, with_alpha = (counts.measure_prepared_bytes(32, channels) for channels in (1, 3, 4))
    assert gray < color < with_alpha
