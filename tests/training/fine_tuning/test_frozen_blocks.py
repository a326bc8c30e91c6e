"""Tests of the blocks of the discriminator that are not trained."""

import json
import shutil
from typing import Any

import pytest
import tensorflow as tf

import sagan_tf
from sagan_tf.training.fine_tuning.frozen_blocks import list_frozen_variables
from tests.training.fine_tuning.trained_run import write_run
from tests.training.tiny import (
    PLAIN_NETWORKS,
    find_differences,
    make_real_batch,
    make_updates,
    read_values,
    restore_values,
    run_config,
    run_in_replica,
    tiny_config,
)

SAGAN = {"architecture": "sagan", "attention_resolutions": (16,)}


@pytest.mark.parametrize(
    ("networks", "frozen", "layers"),
    [
        (PLAIN_NETWORKS, 1, {"block_1"}),
        pytest.param(SAGAN, 2, {"block_1", "attention_16", "block_2"}, marks=pytest.mark.slow),
        pytest.param(SAGAN | {"r1_weight": 1.0}, 1, {"block_1"}, marks=pytest.mark.slow),
    ],
)
def test_an_update_changes_every_variable_but_the_frozen_ones(networks, frozen, layers):
    # With the hinge loss, the gradient of the last bias is exactly 0 while no logit has reached 1.
    config = tiny_config(freeze_discriminator=frozen, loss="non_saturating", **networks)
    updates = make_updates(config)
    discriminator = updates.state.discriminator
    before = read_values(discriminator)
    run_in_replica(updates.discriminator_step, *make_real_batch(config), tf.constant(0, tf.int64))
    changed = {name.split()[1] for name in find_differences(before, read_values(discriminator))}
    unchanged = {name.split()[1] for name in before} - changed
    assert {name.split("/")[0] for name in unchanged} == layers
    assert {name.split("/")[0] for name in changed}.isdisjoint(layers)
    assert unchanged == set(list_frozen_variables(discriminator))
    slots = [variable.path for variable in updates.state.discriminator_optimizer.variables]
    assert not any("block_1" in slot for slot in slots) and any("block_3" in slot for slot in slots)


def count_kernel_gradients(frozen: int) -> int:
    config = tiny_config(freeze_discriminator=frozen, **PLAIN_NETWORKS)
    updates = make_updates(config)
    step = tf.function(updates.discriminator_step, autograph=False)
    graph = step.get_concrete_function(*make_real_batch(config), tf.constant(0, tf.int64)).graph
    return sum(operation.type == "Conv2DBackpropFilter" for operation in graph.get_operations())


def test_no_gradient_of_a_frozen_kernel_is_computed():
    assert [count_kernel_gradients(frozen) for frozen in (0, 1, 3)] == [3, 2, 0]


@pytest.mark.slow
@pytest.mark.parametrize("networks", [PLAIN_NETWORKS, SAGAN], ids=["dcgan", "sagan"])
def test_a_run_is_fine_tuned_and_resumed_without_its_source(networks, tmp_path):
    options: dict[str, Any] = {"image_channels": 1, "num_classes": 10, **networks}
    names = tuple(str(number) for number in range(10))
    source = read_values(write_run(tmp_path / "source", names, **options).discriminator)
    run = {"init_from": str(tmp_path / "source"), "freeze_discriminator": 2, "checkpoint_every": 2, **networks}
    run_dir = sagan_tf.train(run_config(tmp_path / "parts", 2, **run))
    record = json.loads((run_dir / "initialization.json").read_text())
    assert {row["method"] for row in record["classes"].values()} == {"same number"} and record["step"] == 4
    written = (run_dir / "initialization.json").stat().st_mtime_ns
    whole = sagan_tf.train(run_config(tmp_path / "whole", 5, **run))
    shutil.rmtree(tmp_path / "source")
    run_dir = run_dir.rename(tmp_path / "source")  # a run may be moved, even to the place of its source
    sagan_tf.train(run_config(run_dir, 5, **run))
    assert (run_dir / "initialization.json").stat().st_mtime_ns == written
    values = restore_values(run_config(run_dir, 5, **run))
    assert find_differences(values, restore_values(run_config(whole, 5, **run))) == set()
    frozen = {name: value for name, value in source.items() if name.split()[1] in record["frozen"]}
    assert {name.split()[1].split("/")[0] for name in frozen} >= {"block_1", "block_2"}
    trained = {name: values[f"discriminator {name}"] for name in frozen}
    assert find_differences(frozen, trained) == set() and values["step"] == 5
    # Other commands build the networks without frozen layers.
    assert sagan_tf.sample(run_dir, tmp_path / "grid.png", columns=2).is_file()
    protocol = {"extractor": "fashion_mnist", "num_samples": 40, "reference_dir": str(tmp_path)}
    assert sagan_tf.evaluate(run_dir, ["fcd"], **protocol)["fcd"] > 0
