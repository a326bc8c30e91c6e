"""Tests of Adam against the Adam of Keras."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.training.adam import Adam
from tests.layers.replicas import REPLICAS, run_on_replicas, two_replicas, values_on_replicas

SHAPES = ((4, 3), (5,), ())
STEPS = 5

every_beta_1 = pytest.mark.parametrize("beta_1", [0.0, 0.5])


def make_gradients(step: int, seed: int = 1) -> list[np.ndarray]:
    """Create gradients of very different sizes, some of them 0."""
    generator = np.random.default_rng([seed, step])
    values = [10.0 ** generator.integers(-6, 3, shape) * generator.normal(size=shape) for shape in SHAPES]
    values[0][0] = 0.0
    return [np.float32(value) for value in values]


def make_variables() -> list[keras.Variable]:
    return [keras.Variable(np.ones(shape, np.float32)) for shape in SHAPES]


def train(
    create: Callable[..., keras.optimizers.Optimizer],
    steps: Sequence[int] = range(STEPS),
    compilation: str = "graph",
    **options: Any,
) -> list[np.ndarray]:
    variables, optimizer = make_variables(), create(**options)

    def update(*parts: tf.Tensor) -> None:
        optimizer.apply(list(parts), variables)

    if compilation != "eager":  # the first eager update builds the optimizer
        optimizer.build(variables)
        update = tf.function(update, jit_compile=compilation == "xla", autograph=False)
    for step in steps:
        update(*map(tf.constant, make_gradients(step)))
    return [variable.numpy() for variable in variables]


def assert_same_moves(ours: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Compare the changes from 1 to 1e-4, and to the precision of float32 near 1."""
    for received, wanted in zip(ours, expected, strict=True):
        assert np.all(np.isfinite(wanted))
        np.testing.assert_allclose(received - 1.0, wanted - 1.0, rtol=1e-4, atol=5e-7)


@every_beta_1
@pytest.mark.parametrize(
    ("compilation", "beta_2", "epsilon"),
    [
        ("graph", 0.5, 1e-3),
        ("graph", 0.9, 1e-8),
        ("graph", 0.999, 1e-8),
        ("graph", 0.999, 1e-3),
        ("eager", 0.999, 1e-8),
        ("xla", 0.999, 1e-8),
    ],
)
def test_updates_equal_those_of_keras(beta_1, compilation, beta_2, epsilon):
    options = {"learning_rate": 0.1, "beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    ours, expected = train(Adam, compilation=compilation, **options), train(keras.optimizers.Adam, **options)
    assert_same_moves(ours, expected)
    assert np.abs(expected[1] - 1.0).max() > 0.1


@pytest.mark.parametrize("beta_2", [0.0, 0.5, 0.999])
def test_updates_without_a_first_moment_equal_those_of_the_paper(beta_2):
    """In float64, because v + (1 - beta_2) (g^2 - v) in Keras loses small gradients."""
    expected = [np.ones(shape) for shape in SHAPES]
    mean_squares = [np.zeros(shape) for shape in SHAPES]
    for step in range(STEPS):
        for index, gradient in enumerate(np.float64(value) for value in make_gradients(step)):
            mean_squares[index] = beta_2 * mean_squares[index] + (1.0 - beta_2) * gradient**2
            root = np.sqrt(mean_squares[index] / (1.0 - beta_2 ** (step + 1)))
            # The paper adds epsilon to the corrected root. Keras adds it to the root before the correction.
            expected[index] -= 0.1 * gradient / (root + 1e-8 / np.sqrt(1.0 - beta_2 ** (step + 1)))
    assert_same_moves(train(Adam, learning_rate=0.1, beta_1=0.0, beta_2=beta_2, epsilon=1e-8), expected)


@every_beta_1
@pytest.mark.parametrize(
    "options",
    [
        {"clipnorm": 0.5},
        {"global_clipnorm": 0.5},
        {"clipvalue": 0.1},
        {"weight_decay": 0.1},
        {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
        {"gradient_accumulation_steps": 2},
        {"loss_scale_factor": 8.0},
        {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_keras_optimizers(beta_1, options):
    options = {"learning_rate": 0.1, "beta_1": beta_1} | options
    assert_same_moves(train(Adam, **options), train(keras.optimizers.Adam, **options))


@every_beta_1
def test_two_replicas_sum_their_gradients(beta_1):
    with two_replicas().scope():
        variables, optimizer = make_variables(), Adam(0.1, beta_1)
        optimizer.build(variables)

    def update(*parts: tf.Tensor) -> tf.Tensor:
        optimizer.apply(list(parts), variables)
        return tf.constant(0)

    single, expected = keras.optimizers.Adam(0.1, beta_1), make_variables()
    for step in range(STEPS):
        parts = [make_gradients(step, seed) for seed in range(REPLICAS)]
        run_on_replicas(update, *zip(*parts, strict=True))
        single.apply([tf.constant(sum(gradients)) for gradients in zip(*parts, strict=True)], expected)
    for variable in [*variables, *optimizer.variables]:
        first, second = values_on_replicas(variable)
        assert first.tobytes() == second.tobytes(), variable.path
    assert_same_moves([variable.numpy() for variable in variables], [variable.numpy() for variable in expected])


@every_beta_1
def test_loss_scaling_skips_updates_that_overflow(beta_1):
    optimizer = keras.optimizers.LossScaleOptimizer(Adam(0.1, beta_1), initial_scale=8.0)
    variables = make_variables()
    optimizer.build(variables)
    for step in range(STEPS):
        factor = np.float32(np.inf) if step == 2 else optimizer.dynamic_scale.numpy()
        before = [variable.numpy() for variable in (*variables, *optimizer.inner_optimizer.variables)]
        with np.errstate(invalid="ignore"):
            optimizer.apply([tf.constant(factor * gradient) for gradient in make_gradients(step)], variables)
        after = [variable.numpy() for variable in (*variables, *optimizer.inner_optimizer.variables)]
        unchanged = all(old.tobytes() == new.tobytes() for old, new in zip(before, after, strict=True))
        assert unchanged == (step == 2)
    expected = train(keras.optimizers.Adam, (0, 1, 3, 4), learning_rate=0.1, beta_1=beta_1)
    assert_same_moves([variable.numpy() for variable in variables], expected)


@every_beta_1
def test_checkpoint_round_trip(beta_1, tmp_path):
    def move(variables: list[keras.Variable], optimizer: Adam, steps: Sequence[int]) -> None:
        for step in steps:
            optimizer.apply(list(map(tf.constant, make_gradients(step))), variables)

    runs = [(make_variables(), Adam(0.1, beta_1, name="adam")) for _ in range(2)]
    for variables, optimizer in runs:
        optimizer.build(variables)
    checkpoints = [
        tf.train.Checkpoint(optimizer=optimizer, variables=[variable.value for variable in variables])
        for variables, optimizer in runs
    ]
    move(*runs[0], range(3))
    prefix = checkpoints[0].write(str(tmp_path / "checkpoint"))
    checkpoints[1].read(prefix).assert_consumed()
    for run in runs:
        move(*run, range(3, STEPS))
    expected, received = ([*variables, *optimizer.variables] for variables, optimizer in runs)
    for restored, whole in zip(received, expected, strict=True):
        assert restored.numpy().tobytes() == whole.numpy().tobytes(), restored.path


@every_beta_1
def test_sparse_gradients_of_a_table(beta_1):
    """Moments of unused rows decay, and repeated rows are summed."""
    table: np.ndarray = np.ones((4, 3), np.float32)
    rows, values = [2, 0, 2], np.float32([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [-0.5, 1.0, 7.0]])
    found = []
    for is_sparse in (True, False):
        variable, optimizer = keras.Variable(table), Adam(0.1, beta_1)
        optimizer.build([variable])
        for step in range(3):
            gradient = tf.IndexedSlices(tf.constant((step + 1) * values), tf.constant(rows), tf.constant([4, 3]))
            optimizer.apply([gradient if is_sparse else tf.convert_to_tensor(gradient)], [variable])
        found.append([value.numpy() for value in (variable, *optimizer.variables)])
    for sparse, dense in zip(*found, strict=True):
        np.testing.assert_array_equal(sparse, dense)


def test_config_round_trip():
    optimizer = Adam(0.25, 0.5, 0.75, 1e-3, name="custom", clipnorm=2.0)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is Adam and copy.get_config() == optimizer.get_config()
    assert (float(copy.learning_rate.numpy()), copy.beta_1, copy.beta_2, copy.epsilon) == (0.25, 0.5, 0.75, 1e-3)
    assert (copy.name, copy.clipnorm) == ("custom", 2.0)
    with pytest.raises(ValueError, match="amsgrad.*True"):
        Adam(0.1, amsgrad=True)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_variables_of_other_dtypes(dtype):
    moves = []
    for create in (Adam, keras.optimizers.Adam):
        variable, optimizer = keras.Variable(np.ones(3), dtype=dtype), create(0.1, 0.0)
        for step in range(3):
            optimizer.apply([tf.constant([1.0, -2.0, 3.0 + step])], [variable])
        moves.append(tf.cast(variable.value, "float64").numpy())
    np.testing.assert_allclose(moves[0], moves[1], rtol=1e-4 if dtype == "float64" else 2e-2)
