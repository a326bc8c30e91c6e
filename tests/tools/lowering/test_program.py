"""Program of several training steps: what it reads, and agreement with the trainer."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

from sagan_tf.config import Config
from sagan_tf.training.state import TrainState, create_state
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from tests.training.tiny import ADAPTIVE, PLAIN_NETWORKS, one_device, read_all_values, tiny_config
from tools.lowering.program import Program, create_trainer, create_training_function, lower_training_steps
from tools.lowering.variables import list_variables

EVERY_VARIABLE = {
    "conditioning": "none",
    "num_classes": 0,
    "lecam_weight": 0.1,
    "precision": "mixed_float16",
} | {**ADAPTIVE, "augment": ("color", "translation", "cutout", "flip")}

NUM_IMAGES = 12


def check_module(program: Program, config: Config, state: TrainState, num_images: int) -> None:
    """Check the parameters and operations of a module.

    It reads only the four inputs and variables, and XLA can run it without the host.
    """
    module = hlo_pb2.HloModuleProto.FromString(program.module)
    size, variables = config.model.resolution, list_variables(state)
    expected = [(num_images, size, size, config.model.image_channels), (num_images,), *[program.rows_shape] * 2]
    expected += [tuple(variables[index].shape) for index in program.inputs]
    assert [tuple(shape.dimensions) for shape in module.host_program_shape.parameters] == expected
    assert len(set(program.inputs)) == len(program.inputs)
    instructions = [instruction for computation in module.computations for instruction in computation.instructions]
    assert not any(any(instruction.shape.is_dynamic_dimension) for instruction in instructions)
    outside = {"custom-call", "infeed", "outfeed", "send", "recv", "get-dimension-size", "set-dimension-size"}
    assert not outside & {instruction.opcode for instruction in instructions}
    # Initial values of weights would be constants: the module holds none as large as a kernel.
    assert max(instruction.ByteSize() for instruction in instructions) < 2**16


@pytest.mark.slow  # tests/tools/test_lower_training.py has shorter tests
def test_a_program_reads_images_and_variables_only(tmp_path: pathlib.Path) -> None:
    config = tiny_config(**PLAIN_NETWORKS, **EVERY_VARIABLE)
    state = create_state(config)
    program = lower_training_steps(config, state, NUM_IMAGES, 2)
    check_module(program, config, state, NUM_IMAGES)
    changed = {id(state.step), id(state.data_position)}
    changed |= {id(variable.value) for variable in state.generator.trainable_variables}
    assert changed <= {id(list_variables(state)[index]) for index in program.inputs}
    stored = tf.train.list_variables(tf.train.Checkpoint(state=state).write(str(tmp_path / "state")))
    shapes = sorted(tuple(shape) for name, shape in stored if name.startswith("state/"))
    assert sorted(tuple(variable.shape) for variable in list_variables(state)) == shapes


def draw_inputs(num_steps: int, config: Config) -> tuple[np.ndarray, ...]:
    """Return images, labels, rows and flips."""
    generator, size = np.random.default_rng(0), config.model.resolution
    shape = num_steps, config.training.discriminator_steps_per_step, config.training.global_batch_size
    return (
        generator.integers(0, 256, (NUM_IMAGES, size, size, config.model.image_channels), np.uint8),
        generator.integers(0, 3, NUM_IMAGES, np.int32),
        generator.integers(0, NUM_IMAGES, shape, np.int32),
        generator.random(shape) < 0.5,
    )


def generate_batches(images: np.ndarray, labels: np.ndarray, rows: np.ndarray, flips: np.ndarray) -> Iterator[Any]:
    """Yield the batches of a trainer."""
    for start, (chosen, flipped) in enumerate(zip(rows.reshape(-1, 4), flips.reshape(-1, 4), strict=True)):
        scaled = images[chosen].astype(np.float32) / 127.5 - 1
        scaled[flipped] = scaled[flipped, :, ::-1]
        yield {"images": scaled, "labels": labels[chosen], "positions": np.arange(4 * start, 4 * start + 4)}


@pytest.mark.slow
def test_steps_agree_with_the_trainer() -> None:
    config = tiny_config(**PLAIN_NETWORKS, discriminator_steps_per_step=2, ema_decay=0.5, adam_epsilon=0.01)
    compiled = dataclasses.replace(config, training=dataclasses.replace(config.training, jit_compile=True))
    given, state, expected_state = draw_inputs(2, config), create_state(config), create_state(compiled)
    signature = {"images": tf.TensorSpec([4, 32, 32, 1]), "labels": tf.TensorSpec([4], tf.int32)}
    signature["positions"] = tf.TensorSpec([4], tf.int64)
    dataset = tf.data.Dataset.from_generator(lambda: generate_batches(*given), output_signature=signature)
    strategy = one_device()
    trainer = Trainer(create_updates(compiled, expected_state), strategy, iter(dataset), compiled.training)
    expected = list(trainer.train(2).values())
    np.testing.assert_allclose(
        create_training_function(create_trainer(config, state))(*given), expected, rtol=1e-3, atol=1e-3
    )
    for name, value in read_all_values(state).items():
        np.testing.assert_allclose(value, read_all_values(expected_state)[name], rtol=1e-3, atol=1e-3, err_msg=name)
    assert int(state.step.numpy()) == 2 and int(state.data_position.numpy()) == 16
