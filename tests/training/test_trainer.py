import dataclasses
import functools
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.generation.latents import LatentSampler
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from tests.graphs import loop_body, waits_for
from tests.training.step_oracle import StepOracle
from tests.training.tiny import (
    ADAPTIVE,
    NETWORK_OPTIONS,
    PLAIN_NETWORKS,
    PLAINEST_NETWORKS,
    all_values,
    differences,
    make_iterator,
    make_state,
    make_trainer,
    one_device,
    tiny_config,
    two_replicas,
    values,
)

AUXILIARY_CLASSIFIER = {"conditioning": "auxiliary_classifier", "loss": "non_saturating", "adam_beta1": 0.5}


@pytest.mark.parametrize(
    ("steps", "replicas", "options"),
    [
        (3, 1, {"discriminator_steps_per_step": 2, "ema_start_step": 2}),
        (2, 1, AUXILIARY_CLASSIFIER | PLAIN_NETWORKS),
        (2, 2, {"loss": "least_squares", **PLAIN_NETWORKS}),
        (2, 2, {"augment": ("color", "translation", "flip", "cutout"), **PLAINEST_NETWORKS}),
    ],
    ids=["projection", "auxiliary_classifier", "two_replicas", "augmented"],
)
def test_steps_equal_those_written_out_anew(steps: int, replicas: int, options: dict[str, Any]):
    # A large epsilon: Adam would make updates of the rounding errors of gradients that are 0.
    adam = {"generator_learning_rate": 0.02, "discriminator_learning_rate": 0.004, "adam_beta2": 0.9}
    config = tiny_config(seed=3, ema_decay=0.75, adam_epsilon=0.01, **adam, **options)
    oracle = StepOracle(config, replicas)
    trainer = make_trainer(config, one_device() if replicas == 1 else two_replicas())
    began = values(trainer.state.generator)
    assert trainer.train(steps) == pytest.approx(oracle.train(steps), rel=1e-3, abs=1e-3)
    for part in ("generator", "discriminator", "generator_ema"):
        received = values(getattr(trainer.state, part))
        for name, value in values(getattr(oracle, part)).items():
            np.testing.assert_allclose(received[name], value, rtol=1e-3, atol=5e-4, err_msg=f"{part} {name}")
    moved = values(trainer.state.generator)
    assert max(np.abs(moved[name] - began[name]).max() for name in began if "kernel" in name) > 1e-2


def test_a_step_is_so_many_discriminator_updates_and_one_generator_update():
    trainer = make_trainer(tiny_config(discriminator_steps_per_step=3, **PLAINEST_NETWORKS), one_device())
    metrics = trainer.train(2)
    assert trainer.step == 2
    assert int(trainer.state.discriminator_optimizer.iterations.numpy()) == 6
    assert int(trainer.state.generator_optimizer.iterations.numpy()) == 2
    assert int(trainer.state.data_position.numpy()) == 6 * 4
    assert set(metrics) == {
        "discriminator_loss",
        "generator_loss",
        "real_logits",
        "fake_logits",
        "logit_range",
        "discriminator_gradient_norm",
        "generator_gradient_norm",
    }


def test_metrics_are_means_over_the_steps():
    one_by_one, at_once = (make_trainer(tiny_config(**PLAINEST_NETWORKS), one_device()) for _ in range(2))
    singles = [one_by_one.train(1) for _ in range(3)]
    means = {name: float(np.mean([single[name] for single in singles])) for name in singles[0]}
    assert at_once.train(3) == pytest.approx(means, rel=1e-4, abs=1e-5)


def test_average_is_a_copy_until_its_start_and_an_average_from_there():
    trainer = make_trainer(tiny_config(ema_start_step=2, ema_decay=0.75, **PLAIN_NETWORKS), one_device())
    state = trainer.state
    trainer.train(1)
    copied = values(state.generator)
    assert all((values(state.generator_ema)[name] == copied[name]).all() for name in copied)
    trainer.train(1)
    for (name, live), average in zip(
        values(state.generator).items(), values(state.generator_ema).values(), strict=True
    ):
        np.testing.assert_allclose(average, 0.75 * copied[name] + 0.25 * live, atol=1e-6, err_msg=name)


def test_the_generators_update_waits_for_the_discriminators(monkeypatch: pytest.MonkeyPatch):
    """Or the activations of both would be in memory at once: no latents of the one before the metrics of the other."""
    updates = 2
    trainer = make_trainer(tiny_config(discriminator_steps_per_step=updates, **PLAINEST_NETWORKS), one_device())
    judge, generate = trainer._discriminator_step, trainer._generator_step
    monkeypatch.setattr(trainer, "_discriminator_step", lambda *parts: tf.identity(judge(*parts), name="judged"))
    monkeypatch.setattr(
        trainer,
        "_generator_step",
        lambda images, labels, draw: generate(images, labels, tf.identity(draw, name="generator_draw")),
    )
    operations = {one.name: one for one in loop_body(trainer.loop_graph()).get_operations()}
    judged = {name for name in operations if name.startswith("while/judged")}
    assert len(judged) == updates
    assert judged <= waits_for(operations["while/generator_draw"])
    latents = [one for one in operations.values() if one.type.startswith("StatelessRandomNormal")]
    assert sorted("while/generator_draw" in waits_for(one) for one in latents) == [False] * updates + [True]


def test_the_generators_update_does_not_wait_for_the_metrics_of_other_replicas():
    """The means over replicas are made on the host, which would wait for all devices in the middle of a step."""
    trainer = make_trainer(tiny_config(**PLAINEST_NETWORKS), two_replicas())
    operations = {one.name: one for one in loop_body(trainer.loop_graph()).get_operations()}
    shape = (sum(not name.startswith("generator_") for name in trainer.metrics),)
    metrics = [one for one in operations.values() if one.type == "Pack" and one.outputs[0].shape == shape]
    means = {output.name for one in metrics for tensor in one.outputs for output in tensor.consumers()} & {
        one.name for one in operations.values() if one.type == "AddN"
    }
    assert len(metrics) == 2 and len(means) == 1
    latents = [one for one in operations.values() if one.type.startswith("StatelessRandomNormal")]
    waited_for = [waits_for(one) for one in latents]
    assert not any(means & names for names in waited_for)
    for one in metrics:  # each is waited for by the latents of its own replica's generator update, and by no others
        waiting = [latent for latent, names in zip(latents, waited_for, strict=True) if one.name in names]
        assert [latent.device for latent in waiting] == [one.device]


def test_other_batches_and_numbers_of_steps_need_no_new_compilation():
    config = tiny_config(**PLAINEST_NETWORKS)
    trainer = make_trainer(config, one_device())
    for steps in (1, 2):
        trainer.train(steps)
    trainer.restart(make_iterator(config, trainer.strategy, position=400))
    trainer.train(1)
    assert trainer._compiled_loop.experimental_get_tracing_count() == 1
    assert trainer.state.data_position.numpy() == 404


class WrittenOutSampler(LatentSampler):
    """Draws that are constants of the graph: XLA makes other normal numbers of the same random bits."""

    def draw(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.init_scope():
            drawn = [super(WrittenOutSampler, self).draw(tf.constant(index, tf.int64)) for index in range(4)]
        return tuple(tf.gather(tf.stack(parts), number) for parts in zip(*drawn, strict=True))


@pytest.mark.slow
def test_compiled_by_xla_gives_the_same_steps():
    results = []
    for jit_compile in (False, True):
        config, strategy = tiny_config(jit_compile=jit_compile), one_device()
        updates = create_updates(config, make_state(config, strategy, lambda: keras.optimizers.SGD(0.01)))
        updates = dataclasses.replace(updates, sampler=WrittenOutSampler(**dataclasses.asdict(updates.sampler)))
        trainer = Trainer(updates, strategy, make_iterator(config, strategy), config.training)
        results.append((trainer.train(2), trainer.state))
    (expected, plain), (received, compiled) = results
    assert received == pytest.approx(expected, rel=1e-3, abs=1e-3)
    for part in ("generator", "discriminator", "generator_ema"):
        found = values(getattr(compiled, part))
        for name, value in values(getattr(plain, part)).items():
            np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4, err_msg=f"{part} {name}")


@pytest.mark.parametrize(
    ("updates", "options"),
    [(1, {}), (2, ADAPTIVE | PLAIN_NETWORKS), (2, NETWORK_OPTIONS)],
    ids=["defaults", "adaptive_augmentation", "network_options"],
)
def test_two_replicas_equal_one_on_the_same_global_batch(updates: int, options: dict[str, Any]):
    # SGD: Adam with beta1 = 0 would hide a wrong factor in the gradients.
    options = {"discriminator_steps_per_step": updates, "ema_decay": 0.5, **options}
    config = tiny_config(synchronized_batch_norm=True, **options)
    trainers = [make_trainer(config, make(), lambda: keras.optimizers.SGD(0.02)) for make in (one_device, two_replicas)]
    steps = 5 if "ada_target" in options else 3
    metrics = [trainer.train(steps) for trainer in trainers]
    for part in ("generator", "discriminator", "generator_ema"):
        one, two = (values(getattr(trainer.state, part)) for trainer in trainers)
        for name, value in one.items():
            np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=f"{part} {name}")
    for name in ("discriminator_loss", "generator_loss", "real_logits", "fake_logits"):
        assert metrics[1][name] == pytest.approx(metrics[0][name], abs=1e-4)
    assert trainers[0].state.data_position.numpy() == trainers[1].state.data_position.numpy() == steps * updates * 4
    if "ada_target" in options:
        one, two = (trainer.state.augment_probability for trainer in trainers)
        assert one.probability.numpy() > 0 and one.num_updates.numpy() == 2
        for variable, others in zip(one.variables, two.variables, strict=True):
            np.testing.assert_allclose([value.numpy() for value in others.values], variable.numpy(), atol=1e-6)


@pytest.mark.slow
def test_network_options_in_parts_in_half_precision_go_on_in_the_same_bits(tmp_path: pathlib.Path):
    options = {"gradient_accumulation_steps": 2, "precision": "mixed_bfloat16", "r1_weight": 0.1, **NETWORK_OPTIONS}
    whole, first, second = (make_trainer(tiny_config(**options), one_device(), position=4 * n) for n in (0, 0, 1))
    assert np.isfinite(list(whole.train(2).values())).all()
    first.train(1)
    path = tf.train.Checkpoint(state=first.state).write(str(tmp_path / "state"))
    tf.train.Checkpoint(state=second.state).read(path).assert_consumed()
    second.train(1)
    assert differences(all_values(whole.state), all_values(second.state)) == set()


@pytest.mark.parametrize("precision", ["float32", pytest.param("mixed_float16", marks=pytest.mark.slow)])
def test_replicas_stay_equal_with_their_own_batch_statistics(precision: str):
    config = tiny_config(precision=precision, gradient_accumulation_steps=2, **PLAIN_NETWORKS)
    trainer = make_trainer(config, two_replicas())
    trainer.train(2)
    state = trainer.state
    for network in (state.generator, state.discriminator, state.generator_ema):
        for variable in network.variables:
            first, second = (copy.numpy() for copy in variable.value.values)
            np.testing.assert_array_equal(first, second, err_msg=variable.path)


def test_checkpoints_of_two_replicas_and_of_one_are_interchangeable(tmp_path: pathlib.Path):
    """The same names, and a restored u or moving statistic is the same on both replicas."""
    config = tiny_config(**PLAIN_NETWORKS)
    states = [make_trainer(config, strategy()).state for strategy in (one_device, two_replicas)]
    paths = [tf.train.Checkpoint(state=state).write(str(tmp_path / str(n))) for n, state in enumerate(states)]
    assert tf.train.list_variables(paths[0]) == tf.train.list_variables(paths[1])
    one, two = (
        state.generator.non_trainable_variables + state.discriminator.non_trainable_variables for state in states
    )
    for variable in one:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    path = tf.train.Checkpoint(state=states[0]).write(str(tmp_path / "moved"))
    tf.train.Checkpoint(state=states[1]).read(path).assert_consumed()
    assert {variable.name for variable in two} == {"u", "moving_mean", "moving_variance"}
    for ours, expected in zip(two, one, strict=True):
        for copy in ours.value.values:
            np.testing.assert_array_equal(copy.numpy(), expected.numpy(), err_msg=ours.path)


def test_replicas_draw_different_latents_that_together_are_the_global_draw():
    config = tiny_config(**PLAIN_NETWORKS)
    trainer = make_trainer(config, two_replicas())
    sampler = create_updates(config, trainer.state).sampler
    strategy = trainer.strategy
    drawn = strategy.run(tf.function(sampler.draw_for_replica), (tf.constant(5, tf.int64),))
    latents = [part.numpy() for part in strategy.experimental_local_results(drawn[0])]
    assert not np.isclose(latents[0], latents[1]).any()
    whole = sampler.draw(tf.constant(5, tf.int64))
    np.testing.assert_array_equal(np.concatenate(latents), whole[0].numpy())
    labels = [part.numpy() for part in strategy.experimental_local_results(drawn[1])]
    np.testing.assert_array_equal(np.concatenate(labels), whole[1].numpy())


def test_layers_know_the_size_of_a_batch_that_several_workers_lose(monkeypatch: pytest.MonkeyPatch):
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
