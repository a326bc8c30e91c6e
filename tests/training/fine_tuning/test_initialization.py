"""Tests of the weights that a run starts with."""

import json
import logging
import pathlib
import shutil
from typing import Any

import keras
import numpy as np
import pytest

from sagan_tf.distribution import worker_agreement
from sagan_tf.errors import UserError
from sagan_tf.runs.checkpoints import BEST_DIRECTORY, Checkpoints
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.fine_tuning import initialization
from sagan_tf.training.fine_tuning.initialization import initialize_state
from sagan_tf.training.fine_tuning.origin import record_origin
from sagan_tf.training.state import create_state
from sagan_tf.training.train import train
from tests import commands
from tests.training.fine_tuning.trained_run import CLASS_NAMES, fine_tune_config, randomize, write_run
from tests.training.tiny import (
    NETWORK_OPTIONS,
    PLAIN_FLAGS,
    PLAIN_NETWORKS,
    RUN_FLAGS,
    find_differences,
    make_state,
    one_device,
    read_all_values,
    run_config,
    two_replicas,
)

SAGAN = {"architecture": "sagan", "attention_resolutions": (16,)}
NETWORKS = ("generator", "generator_ema", "discriminator")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a run, `source`, its damaged copies and a SavedModel without a model card."""
    place = tmp_path_factory.mktemp("place")
    state = write_run(place / "source")
    for copy in ("damaged", "nan"):
        shutil.copytree(place / "source", place / copy)
    for path in (place / "damaged" / "checkpoints").glob("step-*.data*"):
        path.write_bytes(path.read_bytes()[:100])
    kernel = state.generator.variables[1]
    kernel.assign(np.full(kernel.shape, np.nan, np.float32))
    Checkpoints(place / "nan" / "checkpoints", state, keep=1).save()
    (place / "saved").mkdir()
    (place / "saved" / "saved_model.pb").touch()
    (place / "link").symlink_to("source")
    (place / "loop").symlink_to("loop")
    return place


def start(config, class_names=CLASS_NAMES, strategy=None):
    """Create the state of a new run; return it and the origin of its weights."""
    strategy = strategy or one_device()
    with strategy.scope():
        state = create_state(config)
    return state, initialize_state(config, class_names, state, strategy)


def select_networks(values):
    return {name: value for name, value in values.items() if name.split()[0] in NETWORKS}


@pytest.mark.parametrize("strategy", [one_device, pytest.param(two_replicas, marks=pytest.mark.slow)])
def test_every_variable_of_the_networks_and_nothing_else_comes_from_the_source(strategy, tmp_path):
    networks: dict[str, Any] = SAGAN | NETWORK_OPTIONS
    source = read_all_values(write_run(tmp_path, **networks))
    config = fine_tune_config(tmp_path, **networks)
    state, origin = start(config, strategy=strategy())
    values, fresh = read_all_values(state), read_all_values(make_state(config, one_device()))
    assert find_differences(select_networks(values), select_networks(source)) == set()
    others = [name for name in fresh if name not in select_networks(fresh)]
    assert find_differences({name: values[name] for name in others}, {name: fresh[name] for name in others}) == set()
    assert values["step"] == 0 and not any(transfer.initialized for transfer in origin.transfers.values())


@pytest.mark.parametrize(
    "networks", [SAGAN, NETWORK_OPTIONS | {"conditioning": "auxiliary_classifier"}], ids=["projection", "classifier"]
)
def test_classes_are_mapped_in_every_table(networks, tmp_path):
    source = write_run(tmp_path, **networks)
    config = fine_tune_config(tmp_path, class_map=("cat:fox",), num_classes=4, **networks)
    state, _ = start(config, ("dog", "fox", "elk", "bird"))
    latents = np.random.default_rng(0).normal(size=(3, config.model.latent_dim)).astype(np.float32)
    images = state.generator_ema([latents, np.array([0, 1, 3])], training=False).numpy()
    expected = source.generator_ema([latents, np.array([2, 1, 0])], training=False).numpy()
    np.testing.assert_array_equal(images, expected)
    assert np.ptp(expected) > 0.01
    tables = 0
    for name in NETWORKS:
        new, old = getattr(state, name), getattr(source, name)
        for variable, before in zip(new.variables, old.variables, strict=True):
            table, rows = variable.numpy(), before.numpy()
            if table.shape == rows.shape:
                np.testing.assert_array_equal(table, rows)
                continue
            tables += 1
            axis = table.shape.index(4)
            table, rows = np.moveaxis(table, axis, 0), np.moveaxis(rows, axis, 0)
            np.testing.assert_array_equal(table[[0, 1, 3]], rows[[2, 1, 0]])
            np.testing.assert_allclose(table[2], rows.mean(0), rtol=1e-6, atol=1e-7)
    blocks = 3 * (2 if "architecture" in networks else 1)
    assert tables == 2 * 2 * blocks + (1 if "architecture" in networks else 2)


@pytest.mark.parametrize("latents_to_every_block", [False, True])
def test_networks_without_classes_exchange_weights_with_others(latents_to_every_block, tmp_path):
    networks = {"latents_to_every_block": latents_to_every_block, "latent_dim": 8}
    conditional = write_run(tmp_path / "conditional", **networks).generator
    plain = write_run(tmp_path / "plain", (), num_classes=0, conditioning="none", **networks).generator
    table = [variable.path for variable in conditional.variables].index("block_1/normalization_1/gain")
    without, _ = start(
        fine_tune_config(tmp_path / "conditional", num_classes=0, conditioning="none", **networks), ("a", "b")
    )
    expected = conditional.variables[table].numpy().mean(0)
    np.testing.assert_allclose(without.generator.variables[table].numpy().reshape(-1), expected, rtol=1e-6, atol=1e-7)
    with_classes, origin = start(fine_tune_config(tmp_path / "plain", **networks))
    expected = np.broadcast_to(plain.variables[table].numpy(), [3, expected.size])
    np.testing.assert_array_equal(with_classes.generator.variables[table].numpy(), expected)
    assert list(origin.transfers["discriminator"].initialized) == [
        "label_embedding/u",
        "label_embedding/label_embedding/embeddings",
    ]


@pytest.mark.parametrize(
    ("checkpoint", "step"),
    [("", 4), ("checkpoints/step-2", 2), ("checkpoints/best", 2), ("checkpoints/step-4.index", 4)],
)
def test_checkpoints_of_the_source(checkpoint, step, place):
    _, origin = start(fine_tune_config(place / "source" / checkpoint))
    assert origin.step == step


@pytest.mark.parametrize(("checkpoint", "is_best"), [("step-4", False), ("best", True), ("best/step-4", True)])
def test_all_networks_come_from_one_checkpoint(checkpoint, is_best, tmp_path):
    """The best checkpoint may have the step of another one."""
    state = write_run(tmp_path)
    last = select_networks(read_all_values(state))
    randomize(state, seed=9)
    Checkpoints(tmp_path / "checkpoints" / BEST_DIRECTORY, state, keep=1).save()
    best = select_networks(read_all_values(state))
    started, origin = start(fine_tune_config(tmp_path / "checkpoints" / checkpoint))
    assert find_differences(select_networks(read_all_values(started)), best if is_best else last) == set()
    assert pathlib.Path(origin.path).parent.name == (BEST_DIRECTORY if is_best else "checkpoints")


def test_the_origin_does_not_hold_the_weights_of_the_source(place):
    _, origin = start(fine_tune_config(place / "source"))
    visited, waiting = 0, [origin]
    while waiting:
        value = waiting.pop()
        visited += 1
        assert not isinstance(value, np.ndarray | keras.Model)
        members = vars(value) if hasattr(value, "__dict__") else value
        waiting += members.values() if isinstance(members, dict) else members if isinstance(members, tuple) else ()
    assert visited > 30


def test_what_does_not_fit_is_initialized_and_recorded(place, tmp_path, caplog):
    config = fine_tune_config(place / "source", discriminator_base_channels=3, ema_start_step=9, num_classes=2)
    caplog.set_level(logging.INFO, logger="sagan_tf")
    state, origin = start(config, ("cat", "fox"))
    warnings = [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and record.name == "sagan_tf"
    ]
    assert len(warnings) == 2 and "kernel" in warnings[0] and "--ema_start_step=0" in warnings[1]
    kernel, u = "block_1/convolution_1/convolution_1/kernel", "block_1/convolution_1/u"
    fresh = {v.path: v.numpy() for v in make_state(config, one_device()).discriminator.variables}
    values = {v.path: v.numpy() for v in state.discriminator.variables}
    for name in (kernel, u):  # u has the shape of the source's, but belongs to a kernel that was not taken
        np.testing.assert_array_equal(values[name], fresh[name])
    run_directory = RunDirectory(tmp_path / "run")
    run_directory.create()
    record_origin(origin, run_directory)
    record = json.loads(run_directory.initialization.read_text())
    initialized = record["networks"]["discriminator"]["initialized"]
    shape = list(fresh[kernel].shape)
    assert initialized[kernel]["shape"] == shape != initialized[kernel]["source_shape"]
    assert initialized[u]["shape"] == initialized[u]["source_shape"]
    assert not record["networks"]["generator"]["initialized"] and record["step"] == 4
    assert record["path"] == str(place / "source" / "checkpoints" / "step-4")
    assert {name: row["source"] for name, row in record["classes"].items()} == {"cat": "cat", "fox": None}
    assert all(text in caplog.text for text in (kernel, "fox", "step 4"))
    classes, new = (text for text in caplog.messages if text.startswith("class"))
    assert "generator_ema: cat" in classes and "discriminator" not in classes and "discriminator" in new


def test_workers_agree_on_the_weights(place, monkeypatch):
    compared: list[int] = []
    monkeypatch.setattr(initialization, "check_equal_weights", lambda strategy, state, step: compared.append(step))
    start(fine_tune_config(place / "source"))
    assert compared == [4]
    monkeypatch.setattr(worker_agreement, "is_true_on_all_workers", lambda strategy, value: False)
    for path, named in (("source", "another worker"), ("absent", "^init_from.*absent")):
        with pytest.raises(UserError, match=named):
            start(fine_tune_config(place / path))
    assert compared == [4]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"init_from": "absent"}, "init_from.*absent"),
        ({"init_from": "source/checkpoints/step-3"}, "init_from.*step 3"),
        ({"init_from": "source/checkpoints/best/step-4"}, "init_from: there.*step 4.*: 2$"),
        ({"init_from": "saved"}, "init_from.*model_card.json.*saved"),
        ({"init_from": "loop"}, "init_from.*loop"),
        ({"init_from": "~no_such_user/x"}, "init_from.*~no_such_user/x"),
        ({"init_from": "damaged"}, "init_from: [^:]*damaged"),
        ({"init_from": "nan"}, "init_from.*finite"),
        ({"base_channels": 3, "latent_dim": 4}, "init_from.*kernel"),
        ({"class_map": ("cat:Bagg",)}, "class_map.*Bagg.*Bag"),
        ({"class_map": ("cat:Bag",), "conditioning": "none", "num_classes": 0}, "class_map.*conditioning"),
        ({"init_from": "", "class_map": ("cat:Bag",)}, "class_map.*init_from"),
        ({"init_from": "", "freeze_discriminator": 1}, "freeze_discriminator.*init_from"),
        ({"freeze_discriminator": 4}, "freeze_discriminator.*3"),
        ({"freeze_discriminator": 1, "discriminator_base_channels": 3}, "freeze_discriminator.*block_1"),
    ],
)
def test_invalid_options_are_refused_and_nothing_is_written(options, named, place, monkeypatch):
    monkeypatch.chdir(place)
    config = run_config(pathlib.Path("new"), 1, **PLAIN_NETWORKS | {"init_from": "source"} | options)
    with pytest.raises(UserError, match=f"^{named}") as error:
        train(config)
    assert "\n" not in str(error.value) and not (place / "new").exists()


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--init_from=absent", "absent"),
        ("--init_from=~no_such_user/x", "no_such_user"),
        ("--class_map=cat", "'cat'"),
    ],
)
def test_the_command_ends_with_one_line(flag, named, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    flags = [*RUN_FLAGS, *PLAIN_FLAGS, "--latent_dim=5", "--num_steps=1", "--run_dir=new", "--init_from=source", flag]
    assert commands.train(flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line and not (place / "new").exists()


@pytest.mark.parametrize("path", ["source", "source/checkpoints/step-2", "link", "link/checkpoints/best"])
def test_a_run_cannot_start_with_its_own_weights(path, place):
    with pytest.raises(UserError, match=f"^init_from.*{path} is the run"):
        train(fine_tune_config(place / path, run_dir=str(place / "source")))
