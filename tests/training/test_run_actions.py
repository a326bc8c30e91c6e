"""Tests of the networks that a run samples, evaluates and records."""

import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.config import Config, EvaluationConfig
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.generation.attention_maps import AttentionReader, compute_image_attention
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.runs.load_networks import load_generator
from sagan_tf.training.train import train
from sagan_tf.visualization.attention_maps import draw_attention_sheet
from sagan_tf.visualization.image_grid import draw_image_grid
from tests.training.actions.reports import read_summaries
from tests.training.tiny import find_differences, read_values, run_config

SEED, COLUMNS = 3, 8
NAMES = load_arrays("train")[2]


class FakeResult:
    lower_is_better = True

    def to_record(self) -> dict[str, Any]:
        return {"fid": 1.0}

    to_scalars = to_record


class Run(NamedTuple):
    """A finished run, with the variables of the networks that were evaluated."""

    directory: pathlib.Path
    config: Config
    evaluated: list[dict[str, np.ndarray]]

    def generator(self, *, averaged: bool) -> keras.Model:
        return load_generator(self.config, self.directory / "checkpoints", use_ema=averaged)[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Train two steps with an EMA generator that differs much from the trained one."""
    directory, evaluated = tmp_path_factory.mktemp("run"), []

    def evaluate(generator: keras.Model) -> FakeResult:
        evaluated.append(read_values(generator))
        return FakeResult()

    often = dict.fromkeys(("log_every", "sample_every", "checkpoint_every", "steps_per_loop"), 2)
    rates = {"generator_learning_rate": 0.1, "discriminator_learning_rate": 0.02, "ema_decay": 0.75}
    config = run_config(directory, 2, seed=SEED, architecture="dcgan", **often, **rates)
    config = dataclasses.replace(config, evaluation=EvaluationConfig(evaluate_every=2))
    train(config, lambda config, source, strategy: evaluate)
    return Run(directory, config, evaluated)


def read_tensorboard_image(directory: pathlib.Path, tag: str) -> np.ndarray:
    """Return the image of step 2 with this tag in TensorBoard."""
    value = read_summaries(directory / "tensorboard")[tag][2]
    return tf.io.decode_png(tf.make_ndarray(value.tensor)[2]).numpy().astype(int)


def test_the_ema_generator_is_evaluated(run):
    averaged, live = (read_values(run.generator(averaged=averaged)) for averaged in (True, False))
    (evaluated,) = run.evaluated
    assert find_differences(evaluated, averaged) == set() and find_differences(evaluated, live) != set()
    line = json.loads((run.directory / "metrics.jsonl").read_text().splitlines()[-1])
    assert (line["kind"], line["step"], line["generator_weights"]) == ("evaluation", 2, "ema")


def test_the_ema_generator_is_sampled(run):
    """The grid has a row for each class; attention maps are of the first images."""
    latents = tf.tile(draw_latents_from_seeds(SEED + np.arange(COLUMNS), run.config.model.latent_dim), [len(NAMES), 1])
    labels = tf.repeat(tf.range(len(NAMES)), COLUMNS)
    grids, maps = [], []
    for averaged in (True, False):
        network = run.generator(averaged=averaged)
        images = network([latents, labels], training=False)
        grids.append(np.asarray(draw_image_grid(images.numpy(), COLUMNS, NAMES)).astype(int))
        first = [tensor[::COLUMNS][:3] for tensor in (latents, labels)]
        attention = compute_image_attention(
            AttentionReader(network), first, to_uint8(images[::COLUMNS][:3]).numpy(), list(NAMES), 16
        )
        maps.append(np.asarray(draw_attention_sheet(attention)).astype(int))
    with Image.open(run.directory / "samples" / "step_00000002.png") as image:
        saved = np.asarray(image).astype(int)
    for found, (expected, live) in ((saved, grids), (read_tensorboard_image(run.directory, "samples"), grids)):
        assert np.abs(found - expected).max() <= 1 and np.abs(live - expected).max() > 20
    found = read_tensorboard_image(run.directory, "attention_maps")
    assert np.abs(found - maps[0]).mean() < 0.1 < 1.0 < np.abs(found - maps[1]).mean()


def test_scalars_are_of_the_trained_networks(run):
    line = json.loads((run.directory / "metrics.jsonl").read_text().splitlines()[0])
    assert (line["kind"], line["generator_learning_rate"], line["discriminator_learning_rate"]) == ("train", 0.1, 0.02)
    gammas = [run.generator(averaged=averaged).get_layer("attention_16").gamma.numpy() for averaged in (False, True)]
    assert line["gamma/generator/attention_16"] == pytest.approx(float(gammas[0]))
    assert gammas[0] != pytest.approx(gammas[1])
