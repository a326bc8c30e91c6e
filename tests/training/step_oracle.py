"""Training steps in eager mode, without `sagan_tf.training.steps`.

The networks and losses are the public ones. Nothing of the compiled loop is used: gradients come from a plain tape,
Adam and the moving average are NumPy, and a network that must not change gets its old values back.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS
from sagan_tf.config import Config, TrainingConfig
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.losses import LOSSES
from sagan_tf.random_numbers import RandomNumbers
from tests.training.tiny import make_iterator, make_state, one_device

Metrics = dict[str, Any]


class PlainAdam:
    """Adam in float64, with epsilon outside the bias correction as in Keras."""

    def __init__(self, config: TrainingConfig, learning_rate: float) -> None:
        self._config, self._learning_rate, self._updates = config, learning_rate, 0
        self._moments: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def apply(self, variables: list[keras.Variable], gradients: list[np.ndarray]) -> None:
        self._updates += 1
        beta1, beta2 = self._config.adam_beta1, self._config.adam_beta2
        rate = self._learning_rate * np.sqrt(1 - beta2**self._updates) / (1 - beta1**self._updates)
        for index, (variable, gradient) in enumerate(zip(variables, gradients, strict=True)):
            first, second = self._moments.get(index, (np.zeros(gradient.shape), np.zeros(gradient.shape)))
            first, second = beta1 * first + (1 - beta1) * gradient, beta2 * second + (1 - beta2) * gradient**2
            self._moments[index] = first, second
            variable.assign(variable.numpy() - rate * first / (np.sqrt(second) + self._config.adam_epsilon))


class StepOracle:
    """Training of `make_state(config)` on the batches of `make_iterator(config)`.

    Every batch has as many parts as there are replicas, with batch statistics of their own. The gradients, statistics
    and metrics of the parts are averaged.
    """

    def __init__(self, config: Config, replicas: int = 1) -> None:
        state, training = make_state(config, one_device()), config.training
        self.generator, self.discriminator, self.generator_ema = (
            state.generator,
            state.discriminator,
            state.generator_ema,
        )
        self._config, self._replicas, self._step = config, replicas, 0
        self._loss = LOSSES[training.loss]
        self._augmentations = [AUGMENTATIONS[name] for name in training.augment]
        self._batches = make_iterator(config, one_device())
        model = config.model
        self._sampler = LatentSampler(training.seed, model.latent_dim, model.num_classes, training.global_batch_size)
        self._generator_adam = PlainAdam(training, training.generator_learning_rate)
        self._discriminator_adam = PlainAdam(training, training.discriminator_learning_rate)

    def train(self, steps: int) -> dict[str, float]:
        """Train some steps and return the means of their metrics."""
        return _compute_means([self._train_step() for _ in range(steps)])

    def _train_step(self) -> Metrics:
        training = self._config.training
        repeats = training.discriminator_steps_per_step
        draws = [self._draw(self._step * (repeats + 1) + index) for index in range(repeats + 1)]
        metrics = []
        for draw in draws[:-1]:
            batch = next(self._batches)
            inputs = [batch["images"].numpy(), batch["labels"].numpy(), *draw]
            inputs = [*inputs[:4], inputs[4][: len(inputs[0])], inputs[4][len(inputs[0]) :]]
            metrics.append(
                self._update(self.discriminator, self._discriminator_adam, self._compute_discriminator_loss, inputs)
            )
        latents, labels, numbers = draws[-1]
        inputs = [latents, labels, numbers[len(latents) :]]
        generator_metrics = self._update(self.generator, self._generator_adam, self._compute_generator_loss, inputs)
        self._step += 1
        decay = 0.0 if self._step < training.ema_start_step else training.ema_decay
        for average, live in zip(self.generator_ema.variables, self.generator.variables, strict=True):
            average.assign(decay * average.numpy() + (1 - decay) * live.numpy())
        return _compute_means(metrics) | generator_metrics

    def _draw(self, number: int) -> list[np.ndarray]:
        """Return latents, labels and random numbers of the real, then the fake images."""
        number = tf.constant(number, tf.int64)
        rows = 2 * self._config.training.global_batch_size
        numbers: list[np.ndarray] = [np.zeros([rows, 0], np.float32)]
        for index, augmentation in enumerate(self._augmentations):
            whole = RandomNumbers(self._sampler.get_image_seed(number), tf.range(rows), rows).stream(index).stream(0)
            numbers.append(whole.uniform([augmentation.num_draws]).numpy())
        return [*(drawn.numpy() for drawn in self._sampler.draw(number)), np.concatenate(numbers, axis=1)]

    def _augment(self, images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        for augmentation in self._augmentations:
            images = augmentation.augment(images, numbers[:, : augmentation.num_draws])
            numbers = numbers[:, augmentation.num_draws :]
        return images

    def _compute_discriminator_loss(
        self, images: Any, labels: Any, latents: Any, fake_labels: Any, *numbers: Any
    ) -> Any:
        with _restored(self.generator):
            fakes = self.generator([latents, fake_labels], training=True)
        with _restored(
            self.discriminator
        ):  # the calls for real and fake images start from the same `u`, and `u` is updated once
            real, real_class_loss = self._call_discriminator(self._augment(images, numbers[0]), labels)
        fake, fake_class_loss = self._call_discriminator(self._augment(fakes, numbers[1]), fake_labels)
        loss = self._loss.discriminator(real, fake) + real_class_loss + fake_class_loss
        return loss, {
            "discriminator_loss": loss,
            "real_logits": tf.reduce_mean(real),
            "fake_logits": tf.reduce_mean(fake),
            "logit_range": tf.maximum(tf.reduce_max(real), tf.reduce_max(fake))
            - tf.minimum(tf.reduce_min(real), tf.reduce_min(fake)),
        }

    def _compute_generator_loss(self, latents: Any, labels: Any, numbers: Any) -> tuple[tf.Tensor, Metrics]:
        fakes = self.generator([latents, labels], training=True)
        with _restored(self.discriminator):
            logits, class_loss = self._call_discriminator(self._augment(fakes, numbers), labels)
        loss = self._loss.generator(logits) + class_loss
        return loss, {"generator_loss": loss}

    def _call_discriminator(self, images: Any, labels: Any) -> tuple[tf.Tensor, Any]:
        """Return the logits, and the mean cross-entropy of the auxiliary classifier or 0."""
        outputs = self.discriminator([images, labels], training=True)
        if self._config.model.conditioning != "auxiliary_classifier":
            return outputs, 0.0
        logits, class_logits = outputs
        chosen = tf.gather(tf.nn.log_softmax(class_logits), labels, batch_dims=1)
        return logits, -tf.reduce_mean(chosen)

    def _update(
        self, network: keras.Model, adam: PlainAdam, compute_loss: Callable[..., Any], inputs: list[np.ndarray]
    ) -> Metrics:
        initial = [variable.numpy() for variable in network.non_trainable_variables]
        gradients, updated, metrics = [], [], []
        for part in zip(*(np.split(array, self._replicas) for array in inputs), strict=True):
            _assign(network.non_trainable_variables, initial)
            with tf.GradientTape() as tape:
                loss, part_metrics = compute_loss(*map(tf.constant, part))
            values = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
            gradients.append([tf.convert_to_tensor(value).numpy().astype(np.float64) for value in values])
            updated.append([variable.numpy() for variable in network.non_trainable_variables])
            norm = np.sqrt(sum(np.sum(value**2) for value in gradients[-1]))
            metrics.append(part_metrics | {f"{network.name}_gradient_norm": norm})
        _assign(network.non_trainable_variables, [np.mean(values, 0) for values in zip(*updated, strict=True)])
        adam.apply(network.trainable_variables, [np.mean(values, 0) for values in zip(*gradients, strict=True)])
        return _compute_means(metrics)


@contextlib.contextmanager
def _restored(network: keras.Model) -> Iterator[None]:
    """Restore the statistics and `u` of a network at the end of the context."""
    before = [variable.numpy() for variable in network.non_trainable_variables]
    yield
    _assign(network.non_trainable_variables, before)


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _compute_means(metrics: list[Metrics]) -> dict[str, float]:
    return {name: float(np.mean([float(step_metrics[name]) for step_metrics in metrics])) for name in metrics[0]}
