"""The configuration of a run that continues a checkpoint of TF-GAN's example or the official code: from its shapes."""

from __future__ import annotations

import dataclasses
from typing import Any

from sagan_tf.config import Config, DataConfig, EvaluationConfig, ModelConfig, Resolutions, TrainingConfig
from sagan_tf.errors import UserError
from sagan_tf.networks.architectures import ARCHITECTURES, INITIAL_RESOLUTION, Stages
from tools.importing.tf1_checkpoint import AVERAGE
from tools.importing.tfgan_names import DISCRIMINATOR, GENERATOR, Naming, find_networks

Shapes = dict[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Found:
    """What the names and shapes of a checkpoint say.

    Attributes:
        naming: whose names they are.
        scopes: what lies above the networks, by network; a discriminator that is not there has none.
        averaged: whether there is a moving average of the generator.
        model: hyper-parameters of `ModelConfig` that its shapes decide.
        doubt: what they leave open, and how it was taken; empty: nothing.
    """

    naming: Naming
    scopes: dict[str, str]
    averaged: bool
    model: dict[str, Any]
    doubt: str = ""

    def name(self, network: str, path: str) -> str:
        """Their name of our variable."""
        return self.naming.name(network, path, self.scopes[network])


def read_shapes(shapes: Shapes, generator_only: bool = False) -> Found:
    """Return what a checkpoint with variables of these shapes is.

    Args:
        shapes: by name.
        generator_only: whether a discriminator is to be left out.

    Raises:
        UserError: it is none of a SAGAN, has no discriminator where one is wanted, or networks that ours cannot be.
    """
    naming, scope, discriminator_scope = find_networks(shapes)
    scopes = {GENERATOR: scope}
    if not generator_only:
        if discriminator_scope is None:
            raise UserError(
                "checkpoint: expected a generator and a discriminator, received no discriminator; --generator_only "
                "imports the generator alone, beside a discriminator that has learned nothing"
            )
        scopes[DISCRIMINATOR] = discriminator_scope
    averaged = naming.name(GENERATOR, "dense/dense/kernel", scope) + AVERAGE in shapes
    found = Found(naming, scopes, averaged, {})
    stages, resolution = _check_generator(found, shapes)
    base_channels = _shape(found, shapes, GENERATOR, _last_kernel(len(stages.generator)))[-1] // stages.generator[-1]
    model: dict[str, Any] = {
        "resolution": resolution,
        "image_channels": _shape(found, shapes, GENERATOR, "image/image/kernel")[-1],
        "num_classes": _shape(found, shapes, GENERATOR, "block_1/normalization_1/gain")[0],
        "base_channels": base_channels,
        "latent_dim": _shape(found, shapes, GENERATOR, "dense/dense/kernel")[0],
    }
    widths = dict(zip(stages.generator_resolutions(), stages.generator, strict=True))
    of_generator, form = _attention(found, shapes, GENERATOR, widths, base_channels)
    of_discriminator = of_generator
    if not generator_only:
        channels = _shape(found, shapes, DISCRIMINATOR, _last_kernel(1))[-1] // stages.discriminator[0]
        if channels != base_channels:
            model["discriminator_base_channels"] = channels
        widths = dict(zip(stages.discriminator_resolutions(resolution), stages.discriminator, strict=True))
        of_discriminator, form = _attention(found, shapes, DISCRIMINATOR, widths, channels, form)
    if form:
        model["attention_form"] = form
    attention, doubt = _places_of_attention(of_generator, of_discriminator)
    return dataclasses.replace(found, model=model | attention, doubt=doubt)


def configure(found: Found, run_dir: str) -> Config:
    """Return the run's configuration: values that were found, and the defaults of the code and its example."""
    options = found.model | dict(found.naming.options) | {"run_dir": run_dir, "ema_start_step": 0}
    if not found.averaged:
        options["ema_decay"] = 0.0
    kinds = {"model": ModelConfig, "data": DataConfig, "training": TrainingConfig, "evaluation": EvaluationConfig}
    parts = {}
    for part, kind in kinds.items():
        names = [field.name for field in dataclasses.fields(kind)]
        parts[part] = kind(**{name: options[name] for name in names if name in options})
    return Config(**parts)


def _check_generator(found: Found, shapes: Shapes) -> tuple[Stages, int]:
    """Return the stages and image size of a generator with so many blocks; their widths must be ours."""
    blocks = 0
    while found.name(GENERATOR, _last_kernel(blocks + 1)) in shapes:
        blocks += 1
    resolution = INITIAL_RESOLUTION * 2**blocks
    sizes = ARCHITECTURES["sagan"].stages
    if resolution not in sizes:
        expected = ", ".join(str(len(stages.generator)) for stages in sizes.values())
        raise UserError(f"checkpoint: expected a generator of {expected} blocks, received {blocks}")
    stages = sizes[resolution]
    widths = [_shape(found, shapes, GENERATOR, _last_kernel(index + 1))[-1] for index in range(blocks)]
    if any(
        width * stages.generator[-1] != widths[-1] * one for width, one in zip(widths, stages.generator, strict=True)
    ):
        expected, received = (", ".join(map(str, numbers)) for numbers in (stages.generator, widths))
        raise UserError(
            f"checkpoint: expected a generator of {resolution} px with blocks of widths {expected}, all times one "
            f"number, received {received}"
        )
    return stages, resolution


def _attention(
    found: Found, shapes: Shapes, network: str, widths: dict[int, int], base_channels: int, form: str = ""
) -> tuple[Resolutions, str]:
    """Return the sizes at which a network may have its attention, and of which form that is.

    Args:
        found: whose names, and where.
        shapes: of all variables.
        network: which.
        widths: multiples of `base_channels`, by size of the feature map.
        base_channels: of this network.
        form: of the other network, which must be the same; empty: it has none.
    """
    query = found.name(network, "attention_0/query/query/kernel")  # the size is no part of their names
    if query not in shapes:
        return (), form
    channels = _shape(found, shapes, network, "attention_0/query/query/kernel")[-2]
    sizes = [size for size, width in widths.items() if width * base_channels == channels]
    if not sizes:
        raise UserError(f"checkpoint: expected attention over as many channels as a block has, received {channels}")
    values = _shape(found, shapes, network, "attention_0/value/value/kernel")[-1]
    has_output = found.name(network, "attention_0/output/output/kernel") in shapes
    forms = {max(channels // 8, 1): "paper", max(channels // 2, 1): "pooled"} if has_output else {channels: "full"}
    if values not in forms or form not in ("", forms[values]):
        raise UserError(
            f"checkpoint: expected attention whose values have {channels // 2} channels (pooled), {channels // 8} "
            f"(paper) or, without output convolution, {channels} (full), the same in both networks, "
            f"received {values} in the {network}"
        )
    return tuple(sizes), forms[values]


def _places_of_attention(generator: Resolutions, discriminator: Resolutions) -> tuple[dict[str, Resolutions], str]:
    """Where attention is, of the sizes at which it may be, and what is in doubt: one place for both if it may be."""
    common = tuple(size for size in generator if size in discriminator)
    places = {"attention_resolutions": (common or generator)[:1]}
    if not common and generator != discriminator:
        places["discriminator_attention_resolutions"] = discriminator[:1]
    sizes = common or (generator if len(generator) > 1 else discriminator)
    if len(sizes) < 2:
        return places, ""
    fitting = ", ".join(map(str, sizes))
    return places, f"attention may be at {fitting}, of equal widths: took the first; --attention_resolutions says which"


def _last_kernel(block: int) -> str:
    return f"block_{block}/convolution_2/convolution_2/kernel"


def _shape(found: Found, shapes: Shapes, network: str, path: str) -> tuple[int, ...]:
    name = found.name(network, path)
    shape = shapes.get(name)
    if shape is None or len(shape) < 2:
        received = "none" if shape is None else f"one of shape {list(shape)}"
        raise UserError(
            f"checkpoint: expected a kernel or table {name}, as {found.naming.title} has, received {received}"
        )
    return shape
