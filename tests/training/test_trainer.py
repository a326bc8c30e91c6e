"""Tests of the compiled inner loop."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.generation.latents import LatentSampler
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from tests.graphs import find_loop_body, find_predecessors
from tests.training.step_oracle import StepOracle
from tests.training.tiny import (
    NETWORK_OPTIONS,
    PLAINEST_NETWORKS,
    find_differences,
    make_iterator,
    make_state,
    make_trainer,
    one_device,
    read_all_values,
    read_values,
    tiny_config,
    two_replicas,
)

AUXILIARY_CLASSIFIER = {"conditioning": "auxiliary_classifier", "loss": "non_saturating", "adam_beta1": 0.5}


@pytest.mark.parametrize(
    ("steps", "replicas", "options"),
    [
        (3, 1, {"architecture": "dcgan", "discriminator_steps_per_step": 2, "ema_start_step": 2}),
        (2, 1, AUXILIARY_CLASSIFIER | PLAINEST_NETWORKS),
        pytest.param(
            2,
            2,
            {"loss": "least_squares", **PLAINEST_NETWORKS},
            marks=pytest.mark.slow,  # tests/training/test_replicas.py compares two replicas with one
        ),
        pytest.param(
            2,
            2,
            {"augment": ("color", "translation", "flip", "cutout"), **PLAINEST_NETWORKS},
            marks=pytest.mark.slow,  # tests/training/test_augmented_updates.py has shorter tests
        ),
    ],
    ids=["projection", "auxiliary_classifier", "two_replicas", "augmented"],
)
def test_steps_equal_those_of_the_oracle(steps, replicas, options):
    # A large epsilon, because Adam would amplify the rounding errors of gradients that are 0.
    adam = {"generator_learning_rate": 0.02, "discriminator_learning_rate": 0.004, "adam_beta2": 0.9}
    config = tiny_config(seed=3, ema_decay=0.75, adam_epsilon=0.01, **adam, **options)
    oracle = StepOracle(config, replicas)
    trainer = make_trainer(config, one_device() if replicas == 1 else two_replicas())
    initial = read_values(trainer.state.generator)
    assert trainer.train(steps) == pytest.approx(oracle.train(steps), rel=1e-3, abs=1e-3)
    for part in ("generator", "discriminator", "generator_ema"):
        received = read_values(getattr(trainer.state, part))
        for name, value in read_values(getattr(oracle, part)).items():
            np.testing.assert_allclose(received[name], value, rtol=1e-3, atol=5e-4, err_msg=f"{part} {name}")
    moved = read_values(trainer.state.generator)
    assert max(np.abs(moved[name] - initial[name]).max() for name in initial if "kernel" in name) > 1e-2


def test_the_generator_update_waits_for_the_discriminator_updates(monkeypatch):
    """Otherwise the activations of both would be in memory at once."""
    updates = 2
    trainer = make_trainer(tiny_config(discriminator_steps_per_step=updates, **PLAINEST_NETWORKS), one_device())
    update_discriminator, update_generator = trainer._discriminator_step, trainer._generator_step

    def name_result(*inputs: tf.Tensor) -> tf.Tensor:
        return tf.identity(update_discriminator(*inputs), name="discriminator_updated")

    def name_draw(images: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        return update_generator(images, labels, tf.identity(draw, name="generator_draw"))

    monkeypatch.setattr(trainer, "_discriminator_step", name_result)
    monkeypatch.setattr(trainer, "_generator_step", name_draw)
    operations = {operation.name: operation for operation in find_loop_body(trainer.trace_loop()).get_operations()}
    updated = {name for name in operations if name.startswith("while/discriminator_updated")}
    assert len(updated) == updates
    assert updated <= find_predecessors(operations["while/generator_draw"])
    latents = [operation for operation in operations.values() if operation.type.startswith("StatelessRandomNormal")]
    waiting = ["while/generator_draw" in find_predecessors(operation) for operation in latents]
    assert sorted(waiting) == [False] * updates + [True]


def test_the_generator_update_does_not_wait_for_the_metrics_of_other_replicas():
    """The host computes means over replicas, and would wait for all devices."""
    trainer = make_trainer(tiny_config(**PLAINEST_NETWORKS), two_replicas())
    operations = {operation.name: operation for operation in find_loop_body(trainer.trace_loop()).get_operations()}
    shape = (sum(not name.startswith("generator_") for name in trainer.metric_names),)
    metrics = [pack for pack in operations.values() if pack.type == "Pack" and pack.outputs[0].shape == shape]
    consumers = {output.name for pack in metrics for tensor in pack.outputs for output in tensor.consumers()}
    means = consumers & {operation.name for operation in operations.values() if operation.type == "AddN"}
    assert len(metrics) == 2 and len(means) == 1
    latents = [operation for operation in operations.values() if operation.type.startswith("StatelessRandomNormal")]
    predecessors = [find_predecessors(operation) for operation in latents]
    assert not any(means & names for names in predecessors)
    for pack in metrics:  # only the latents of the generator update of the same replica wait for them
        waiting = [latent for latent, names in zip(latents, predecessors, strict=True) if pack.name in names]
        assert [latent.device for latent in waiting] == [pack.device]


def test_other_batches_and_numbers_of_steps_need_no_new_trace():
    config = tiny_config(**PLAINEST_NETWORKS)
    trainer = make_trainer(config, one_device())
    for steps in (1, 2):
        trainer.train(steps)
    trainer.replace_iterator(make_iterator(config, trainer.strategy, position=400))
    trainer.train(1)
    assert trainer._compiled_loop.experimental_get_tracing_count() == 1
    assert trainer.state.data_position.numpy() == 404


class ConstantSampler(LatentSampler):
    """Sampler of graph constants, because XLA draws other normal numbers."""

    def draw(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.init_scope():
            drawn = [super(ConstantSampler, self).draw(tf.constant(index, tf.int64)) for index in range(4)]
        return tuple(tf.gather(tf.stack(parts), number) for parts in zip(*drawn, strict=True))


@pytest.mark.slow
def test_compiled_by_xla_gives_the_same_steps():
    results = []
    for jit_compile in (False, True):
        config, strategy = tiny_config(jit_compile=jit_compile), one_device()
        updates = create_updates(config, make_state(config, strategy, lambda: keras.optimizers.SGD(0.01)))
        updates = dataclasses.replace(updates, sampler=ConstantSampler(**dataclasses.asdict(updates.sampler)))
        trainer = Trainer(updates, strategy, make_iterator(config, strategy), config.training)
        results.append((trainer.train(2), trainer.state))
    (expected, plain), (received, compiled) = results
    assert received == pytest.approx(expected, rel=1e-3, abs=1e-3)
    for part in ("generator", "discriminator", "generator_ema"):
        found = read_values(getattr(compiled, part))
        for name, value in read_values(getattr(plain, part)).items():
            np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4, err_msg=f"{part} {name}")


@pytest.mark.slow
def test_network_options_with_accumulation_in_half_precision_resume_with_the_same_bits(tmp_path):
    options = {"gradient_accumulation_steps": 2, "precision": "mixed_bfloat16", "r1_weight": 0.1, **NETWORK_OPTIONS}
    whole, first, second = (make_trainer(tiny_config(**options), one_device(), position=4 * n) for n in (0, 0, 1))
    assert np.isfinite(list(whole.train(2).values())).all()
    first.train(1)
    path = tf.train.Checkpoint(state=first.state).write(str(tmp_path / "state"))
    tf.train.Checkpoint(state=second.state).read(path).assert_consumed()
    second.train(1)
    assert find_differences(read_all_values(whole.state), read_all_values(second.state)) == set()


def test_updates_have_a_static_batch_size_with_several_workers(monkeypatch):
    trainer = make_trainer(tiny_config(**PLAINEST_NETWORKS, global_batch_size=6), one_device())
    sizes = []

    def step(images: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        sizes.append((images.shape[0], labels.shape[0]))
        return tf.stack([0.0])

    monkeypatch.setattr(trainer, "_discriminator_step", step)
    monkeypatch.setattr(trainer, "_generator_step", step)
    specs = tf.TensorSpec([None, 32, 32, 1]), tf.TensorSpec([None], tf.int32)
    for update, argument in ((trainer._update_discriminator, 0), (trainer._update_generator, [])):
        function = functools.partial(lambda update, argument, *batch: update(*batch, argument), update, argument)
        tf.function(function, autograph=False).get_concrete_function(*specs)
    assert sizes == [(6, 6)] * 2
