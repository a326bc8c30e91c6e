"""Tests of the description of a run and the estimate of its memory."""

import dataclasses
import logging
import types
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.cli.flags import parse_config
from sagan_tf.layers import SelfAttention2D, accelerators
from sagan_tf.training.run_summary import count_large_map_values, describe_run, estimate_memory, log_description
from sagan_tf.training.state import TrainState, create_state
from tests.training.tiny import make_state, one_device, tiny_config
from tools.benchmarks.worker_process import Worker


@pytest.fixture(scope="module")
def state() -> TrainState:
    return make_state(tiny_config(), one_device())


def fake_source(counts: Any, **options: Any) -> Any:
    names = tuple("abc"[: len(counts)]) if len(counts) < 4 else tuple(map(str, range(len(counts))))
    attributes: dict[str, Any] = {"name": "images", "num_examples": int(np.sum(counts)), "class_names": names}
    attributes |= {"class_counts": np.array(counts, np.int64), "class_counts_sample_size": int(np.sum(counts))}
    return types.SimpleNamespace(**attributes | options)


@pytest.mark.parametrize(
    ("counts", "options", "suggested"),
    [
        ([40, 20], {}, "balanced or data"),
        ([40, 20], {"loss": "relativistic"}, "balanced"),
        ([40, 20, 0], {}, "data"),  # balanced needs an image of every class
        ([40, 20], {"label_sampling": "balanced"}, ""),
        ([40, 20], {"conditioning": "none", "num_classes": 0}, ""),
        ([16, 14], {}, ""),
        ([1000] * 30 + [90], {}, "balanced or data"),  # a small class among many
        ([1000] * 30 + [110], {}, ""),
        ([2, 1], {}, ""),  # no evidence
        ([9], {}, ""),
        ([0, 0], {}, ""),
    ],
)
def test_unbalanced_classes_lead_to_a_suggestion(counts, options, suggested, state, caplog):
    images = np.zeros((1, 32, 32, 1))
    description = describe_run(tiny_config(**options), fake_source(counts), state, one_device(), images)
    log_description(description)
    warnings = "".join(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert ("UNBALANCED" in warnings) == bool(suggested)
    if suggested:
        assert f"--label_sampling={suggested} (" in warnings
        assert ("uniform" in warnings) == ("data" in suggested)
        names = [f"class '{name}'" for name in description["data"]["label_histogram"]]
        assert f"{max(counts)} images of {names[0]}" in caplog.text
        assert f"{min(counts)} of {names[-1]}" in caplog.text


def test_counts_of_a_small_sample_are_no_evidence_of_a_small_class(state, caplog):
    counts = np.random.default_rng(0).poisson(4, 1000)
    for num_examples, warned in ((10**6, False), (int(counts.sum()), True)):
        source = fake_source(counts, num_examples=num_examples)
        log_description(describe_run(tiny_config(), source, state, one_device(), np.zeros((1, 32, 32, 1))))
        assert ("--label_sampling" in caplog.text) == warned


@pytest.mark.parametrize(
    ("counts", "warned"), [([10, 12, 8], False), ([1, 28, 1], True), ([15, 15], False), ([], False)]
)
def test_the_description_of_a_run_warns_of_a_dominant_label(counts, warned, state, caplog):
    names, source = tuple("abc"[: len(counts)]), fake_source(counts)
    config, images = tiny_config(), np.linspace(-0.5, 1, 4 * 32 * 32).reshape(4, 32, 32, 1)
    description = describe_run(config, source, state, one_device(), images)
    assert description["data"]["label_histogram"] == dict(zip(names, counts, strict=True))
    assert description["data"]["image_range"] == [-0.5, 1.0] and description["data"]["image_shape"] == [32, 32, 1]
    assert description["configuration"]["base_channels"] == 2 and description["replicas"] == 1
    assert description["parameters"]["generator"] > 1000
    with caplog.at_level(logging.INFO, logger="sagan_tf"):
        log_description(description)
    assert ("ONE LABEL DOMINATES" in caplog.text) == warned and ("labels: none" in caplog.text) == (not counts)


def test_the_memory_estimate_depends_on_the_options(state):
    def estimate(replicas: int = 1, **options: object) -> int:
        return estimate_memory(tiny_config(**options), state, replicas)

    assert estimate(global_batch_size=64) > estimate(global_batch_size=4)
    assert estimate(2, global_batch_size=64) == estimate(global_batch_size=32)
    assert estimate(global_batch_size=64, gradient_accumulation_steps=2) == estimate(global_batch_size=32)
    assert estimate(attention_form="full") > estimate()
    assert estimate(precision="mixed_bfloat16") < estimate()
    assert estimate(generator_widths=(4, 4, 2, 1)) < estimate() < estimate(discriminator_base_channels=3)


@pytest.mark.parametrize(
    ("kind", "images", "is_dense"), [("CPU", 2, False), ("GPU", 2, True), ("TPU", 8, True), ("GPU", 9, False)]
)
def test_large_maps_are_counted_if_attention_keeps_them(kind, images, is_dense):
    """A map takes 64 MiB per image, and an accelerator keeps eight of them."""
    values = 4096**2
    options = {"resolution": 64, "attention_form": "full", "discriminator_attention_resolutions": ()}
    model = tiny_config(**options, generator_attention_resolutions=(64,)).model
    layer = SelfAttention2D(form="full")
    layer.build([images, 64, 64, 8])

    def differentiate(features: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(features)
            outputs = layer(features)
        return tape.gradient(outputs, features)

    function, spec = tf.function(differentiate, autograph=False), tf.TensorSpec([images, 64, 64, 8])
    with accelerators.assume_device(kind):
        operations = function.get_concrete_function(spec).graph.get_operations()
        counted = count_large_map_values(model, images)
    outputs = [tensor for operation in operations for tensor in operation.outputs]
    tensors = [tensor for tensor in outputs if tensor.shape.is_fully_defined()]
    assert (max(tensor.shape.num_elements() for tensor in tensors) == images * values) == is_dense
    assert counted == (2 * images * values if is_dense else 0)


def test_a_discriminator_keeps_the_maps_of_real_and_fake_images():
    options = {"resolution": 128, "attention_form": "full"}
    both = tiny_config(**options, attention_resolutions=(64,)).model
    alone = tiny_config(**options, generator_attention_resolutions=(), discriminator_attention_resolutions=(64,)).model
    with accelerators.assume_device("GPU"):
        # Eight maps fit into memory: of four real and four fake images, or of eight images of the generator.
        assert [count_large_map_values(alone, images) // 4096**2 for images in (4, 5, 8, 9)] == [16, 10, 16, 0]
        assert [count_large_map_values(both, images) // 4096**2 for images in (4, 5, 8, 9)] == [16, 20, 32, 0]


def test_large_maps_are_part_of_the_estimate():
    config = tiny_config(resolution=128, attention_form="full", attention_resolutions=(64,))
    state = make_state(config, one_device())
    for precision, num_bytes in (("float32", 4), ("mixed_bfloat16", 2)):
        precise = dataclasses.replace(config, training=dataclasses.replace(config.training, precision=precision))
        with accelerators.assume_device("CPU"):
            without = estimate_memory(precise, state, 1)
        with accelerators.assume_device("GPU"):
            assert (
                estimate_memory(precise, state, 1) - without == num_bytes * count_large_map_values(config.model, 4) > 0
            )


@pytest.mark.slow
def test_the_memory_estimate_is_near_the_memory_of_a_process():
    """The peak is measured in a new process, with the convolutions of a GPU."""
    flags = ["--flagfile=configs/quickstart.cfg", "--num_classes=10", "--strategy=one_device", "--resampling=strided"]
    with Worker("gpu_steps", {"flags": flags, "steps": 1}) as worker:
        worker.wait_until_ready()
        measured = worker.run()["peak_memory_bytes"]
    config = parse_config(flags)
    estimate = estimate_memory(config, create_state(config), 1)
    assert 0.85 <= estimate / measured <= 1.15
