"""A whole run: which network is shown, evaluated and recorded, with which inputs, and what ends it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.summary.summary_iterator import summary_iterator

from sagan_tf.cli.flags import config_to_flagfile
from sagan_tf.config import Config, EvaluationConfig
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.errors import UserError
from sagan_tf.generation.attention_maps import AttentionReader, attended_pictures
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.runs.checkpoints import load_generator
from sagan_tf.training.train import train
from sagan_tf.visualization.attention_maps import attention_sheet
from sagan_tf.visualization.image_grid import image_grid
from tests.training.tiny import differences, tiny_config, values

SEED, COLUMNS = 3, 8
NAMES = load_arrays("train")[2]


class FakeResult:
    lower_is_better = True

    def record(self) -> dict[str, Any]:
        return {"fid": 1.0}

    scalars = record


class Run(NamedTuple):
    """What a run left: its folder, and the values of the networks that were evaluated."""

    folder: pathlib.Path
    config: Config
    evaluated: list[dict[str, np.ndarray]]

    def generator(self, *, averaged: bool) -> keras.Model:
        return load_generator(self.config, self.folder / "checkpoints", averaged=averaged)[0]


def run_config(run_dir: pathlib.Path, **options: Any) -> Config:
    often = dict.fromkeys(("log_every", "sample_every", "checkpoint_every", "steps_per_loop", "num_steps"), 2)
    rates = {"generator_learning_rate": 0.1, "discriminator_learning_rate": 0.02, "ema_decay": 0.75}
    given = {"dataset": "fashion_mnist_10k", "num_classes": 10, "seed": SEED, "strategy": "one_device"}
    config = tiny_config(**{**given, **often, **rates, "run_dir": str(run_dir), **options})
    return dataclasses.replace(config, evaluation=EvaluationConfig(evaluate_every=2))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two steps whose averaged generator is far from the one that is trained."""
    folder, evaluated = tmp_path_factory.mktemp("run"), []

    def evaluate(generator: keras.Model) -> FakeResult:
        evaluated.append(values(generator))
        return FakeResult()

    config = run_config(folder)
    train(config, config_to_flagfile, lambda config, source, strategy: evaluate)
    return Run(folder, config, evaluated)


def shown(folder: pathlib.Path, tag: str) -> np.ndarray:
    """The image of TensorBoard with this tag, at the last step that has one."""
    found = [
        tf.io.decode_png(tf.make_ndarray(value.tensor)[2]).numpy()
        for path in sorted((folder / "tensorboard").glob("events*"))
        for event in summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == tag
    ]
    return found[-1].astype(int)


def test_the_averaged_generator_is_evaluated(run: Run) -> None:
    averaged, live = (values(run.generator(averaged=averaged)) for averaged in (True, False))
    (evaluated,) = run.evaluated
    assert differences(evaluated, averaged) == set() and differences(evaluated, live) != set()
    line = json.loads((run.folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert (line["kind"], line["step"], line["generator_weights"]) == ("evaluation", 2, "ema")


def test_the_averaged_generator_is_shown(run: Run) -> None:
    """A row a class, with its name, of the seeds from the run's own on; and where it looks."""
    latents = tf.tile(latents_of_seeds(SEED + np.arange(COLUMNS), run.config.model.latent_dim), [len(NAMES), 1])
    labels = tf.repeat(tf.range(len(NAMES)), COLUMNS)
    grids, maps = [], []
    for averaged in (True, False):
        network = run.generator(averaged=averaged)
        images = network([latents, labels], training=False)
        grids.append(np.asarray(image_grid(images.numpy(), COLUMNS, NAMES)).astype(int))
        first = [one[::COLUMNS][:3] for one in (latents, labels)]
        looks = attended_pictures(
            AttentionReader(network), first, to_uint8(images[::COLUMNS][:3]).numpy(), list(NAMES), 16
        )
        maps.append(np.asarray(attention_sheet(looks)).astype(int))
    with Image.open(run.folder / "samples" / "step_00000002.png") as picture:
        saved = np.asarray(picture).astype(int)
    for found, (expected, of_live) in ((saved, grids), (shown(run.folder, "samples"), grids)):
        assert np.abs(found - expected).max() <= 1 and np.abs(of_live - expected).max() > 20
    found = shown(run.folder, "attention_maps")
    assert np.abs(found - maps[0]).mean() < 0.1 < 1.0 < np.abs(found - maps[1]).mean()


def test_the_networks_that_train_are_recorded(run: Run) -> None:
    line = json.loads((run.folder / "metrics.jsonl").read_text().splitlines()[0])
    assert (line["kind"], line["generator_learning_rate"], line["discriminator_learning_rate"]) == ("train", 0.1, 0.02)
    gammas = [run.generator(averaged=averaged).get_layer("attention_16").gamma.numpy() for averaged in (False, True)]
    assert line["gamma/generator/attention_16"] == pytest.approx(float(gammas[0]))
    assert gammas[0] != pytest.approx(gammas[1])


def test_weights_that_the_last_update_has_spoilt_are_neither_shown_nor_kept(tmp_path: pathlib.Path) -> None:
    """Losses and gradients are of the weights before an update, and so are finite here."""
    config = run_config(tmp_path, generator_learning_rate=1e39, num_steps=1)
    with pytest.raises(UserError, match="weights"):
        train(config, config_to_flagfile)
    assert not list(tmp_path.rglob("*.png")) and not list(tmp_path.rglob("*.index"))
