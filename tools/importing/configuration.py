"""Configuration of a run that continues an imported checkpoint, from the names and shapes of its variables."""

from __future__ import annotations

import dataclasses
from typing import Any

from sagan_tf.config import Config, DataConfig, EvaluationConfig, ModelConfig, Resolutions, TrainingConfig
from sagan_tf.errors import UserError
from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.networks.architectures import ARCHITECTURES, INITIAL_RESOLUTION, Stages
from tools.importing.tf1_checkpoint import AVERAGE_SUFFIX
from tools.importing.tfgan_names import DISCRIMINATOR, GENERATOR, Naming, find_networks

Shapes = dict[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class CheckpointDescription:
    """Description of a checkpoint, from the names and shapes of its variables.

    Attributes:
        naming: The names of the code that wrote the checkpoint.
        scopes: The scope above each network, by network; a missing discriminator has no entry.
        has_averages: Whether there is a moving average of the generator.
        model: The hyperparameters of `ModelConfig` that the shapes determine.
        ambiguity: What the shapes do not determine, and the choice that was made; empty: nothing.
    """

    naming: Naming
    scopes: dict[str, str]
    has_averages: bool
    model: dict[str, Any]
    ambiguity: str = ""

    def translate(self, network: str, path: str) -> str:
        """Return the name in the checkpoint of a variable of this project."""
        return self.naming.translate(network, path, self.scopes[network])


def describe_checkpoint(shapes: Shapes, generator_only: bool = False) -> CheckpointDescription:
    """Describe a checkpoint.

    Args:
        shapes: The shapes of its variables, by name.
        generator_only: Whether the discriminator is ignored.

    Raises:
        UserError: The checkpoint is not one of a SAGAN, has no discriminator although one is needed, or has networks
            that this project cannot build.
    """
    naming, scope, discriminator_scope = find_networks(shapes)
    scopes = {GENERATOR: scope}
    if not generator_only:
        if discriminator_scope is None:
            raise UserError(
                "checkpoint: expected a generator and a discriminator, received no discriminator; --generator_only "
                "imports the generator alone, beside a new, untrained discriminator"
            )
        scopes[DISCRIMINATOR] = discriminator_scope
    has_averages = naming.translate(GENERATOR, "dense/dense/kernel", scope) + AVERAGE_SUFFIX in shapes
    found = CheckpointDescription(naming, scopes, has_averages, {})
    model, ambiguity = _find_model(found, shapes)
    return dataclasses.replace(found, model=model, ambiguity=ambiguity)


def _find_model(found: CheckpointDescription, shapes: Shapes) -> tuple[dict[str, Any], str]:
    """Find `model` and `ambiguity` of a `CheckpointDescription` that lacks them."""
    stages, resolution = _find_generator_stages(found, shapes)
    last_kernel = _get_last_kernel_path(len(stages.generator))
    base_channels = _find_shape(found, shapes, GENERATOR, last_kernel)[-1] // stages.generator[-1]
    model: dict[str, Any] = {
        "resolution": resolution,
        "image_channels": _find_shape(found, shapes, GENERATOR, "image/image/kernel")[-1],
        "num_classes": _find_shape(found, shapes, GENERATOR, "block_1/normalization_1/gain")[0],
        "base_channels": base_channels,
        "latent_dim": _find_shape(found, shapes, GENERATOR, "dense/dense/kernel")[0],
    }
    widths = dict(zip(stages.compute_generator_resolutions(), stages.generator, strict=True))
    generator_sizes, form = _find_attention(found, shapes, GENERATOR, widths, base_channels)
    discriminator_sizes = generator_sizes
    if DISCRIMINATOR in found.scopes:
        channels = _find_shape(found, shapes, DISCRIMINATOR, _get_last_kernel_path(1))[-1] // stages.discriminator[0]
        if channels != base_channels:
            model["discriminator_base_channels"] = channels
        widths = dict(zip(stages.compute_discriminator_resolutions(resolution), stages.discriminator, strict=True))
        discriminator_sizes, form = _find_attention(found, shapes, DISCRIMINATOR, widths, channels, form)
    if form:
        model["attention_form"] = form
    attention, ambiguity = _choose_attention_resolutions(generator_sizes, discriminator_sizes)
    return model | attention, ambiguity


def create_config(found: CheckpointDescription, run_dir: str) -> Config:
    """Create the configuration of a run that continues a checkpoint.

    Options that the checkpoint does not determine have the defaults of the code that wrote it.

    Args:
        found: The description of the checkpoint.
        run_dir: The directory of the run.
    """
    options = found.model | dict(found.naming.options) | {"run_dir": run_dir, "ema_start_step": 0}
    if not found.has_averages:
        options["ema_decay"] = 0.0
    kinds = {"model": ModelConfig, "data": DataConfig, "training": TrainingConfig, "evaluation": EvaluationConfig}
    parts = {}
    for part, kind in kinds.items():
        names = [field.name for field in dataclasses.fields(kind)]
        parts[part] = kind(**{name: options[name] for name in names if name in options})
    return Config(**parts)


def _find_generator_stages(found: CheckpointDescription, shapes: Shapes) -> tuple[Stages, int]:
    """Find the stages and the image size of the generator.

    Raises:
        UserError: The number of blocks or their widths are not those of this project's generators.
    """
    blocks = 0
    while found.translate(GENERATOR, _get_last_kernel_path(blocks + 1)) in shapes:
        blocks += 1
    resolution = INITIAL_RESOLUTION * 2**blocks
    sizes = ARCHITECTURES["sagan"].stages
    if resolution not in sizes:
        expected = ", ".join(str(len(stages.generator)) for stages in sizes.values())
        raise UserError(f"checkpoint: expected a generator of {expected} blocks, received {blocks}")
    stages = sizes[resolution]
    widths = [_find_shape(found, shapes, GENERATOR, _get_last_kernel_path(index + 1))[-1] for index in range(blocks)]
    if any(
        width * stages.generator[-1] != widths[-1] * multiple
        for width, multiple in zip(widths, stages.generator, strict=True)
    ):
        expected, received = (", ".join(map(str, numbers)) for numbers in (stages.generator, widths))
        raise UserError(
            f"checkpoint: expected a generator of {resolution} px with blocks of widths {expected} times a number, "
            f"received {received}"
        )
    return stages, resolution


def _find_attention(
    found: CheckpointDescription,
    shapes: Shapes,
    network: str,
    widths: dict[int, int],
    base_channels: int,
    form: str = "",
) -> tuple[Resolutions, str]:
    """Find the possible resolutions of a network's attention, and its form.

    These are the resolutions at which the feature map has as many channels as the attention layer.

    Args:
        found: The description of the checkpoint.
        shapes: The shapes of all variables.
        network: `generator` or `discriminator`.
        widths: Multiples of `base_channels`, by resolution of the feature map.
        base_channels: `base_channels` of this network.
        form: The form in the other network, which must be the same; empty: it has no attention.
    """
    query = found.translate(
        network, "attention_0/query/query/kernel"
    )  # Names of the codes do not include the resolution.
    if query not in shapes:
        return (), form
    channels = _find_shape(found, shapes, network, "attention_0/query/query/kernel")[-2]
    sizes = [size for size, width in widths.items() if width * base_channels == channels]
    if not sizes:
        raise UserError(f"checkpoint: expected attention over as many channels as a block has, received {channels}")
    values = _find_shape(found, shapes, network, "attention_0/value/value/kernel")[-1]
    has_output = found.translate(network, "attention_0/output/output/kernel") in shapes
    forms = {name: (known.count_value_channels(channels), known.has_output) for name, known in ATTENTION_FORMS.items()}
    matching = next((name for name, width in forms.items() if width == (values, has_output)), None)
    if matching is None or form not in ("", matching):
        outputs = {True: "", False: ", without an output convolution"}
        expected = ", ".join(f"{width} ({name}{outputs[output]})" for name, (width, output) in forms.items())
        raise UserError(
            f"checkpoint: expected attention whose values have {expected} channels, the same in both "
            f"networks, received {values} in the {network}"
        )
    return tuple(sizes), matching


def _choose_attention_resolutions(
    generator: Resolutions, discriminator: Resolutions
) -> tuple[dict[str, Resolutions], str]:
    """Choose the attention resolutions, the same in both networks if possible.

    Args:
        generator: The possible resolutions in the generator.
        discriminator: The possible resolutions in the discriminator.

    Returns:
        The options of `ModelConfig`, and the ambiguity (see `CheckpointDescription`).
    """
    common = tuple(size for size in generator if size in discriminator)
    options = {"attention_resolutions": (common or generator)[:1]}
    if not common and generator != discriminator:
        options["discriminator_attention_resolutions"] = discriminator[:1]
    sizes = common or (generator if len(generator) > 1 else discriminator)
    if len(sizes) < 2:
        return options, ""
    possible = ", ".join(map(str, sizes))
    return options, f"attention may be at {possible}, of equal widths: took the first; set --attention_resolutions"


def _get_last_kernel_path(block: int) -> str:
    return f"block_{block}/convolution_2/convolution_2/kernel"


def _find_shape(found: CheckpointDescription, shapes: Shapes, network: str, path: str) -> tuple[int, ...]:
    name = found.translate(network, path)
    shape = shapes.get(name)
    if shape is None or len(shape) < 2:
        received = "no such variable" if shape is None else f"shape {list(shape)}"
        raise UserError(f"checkpoint: expected the kernel or table {name} of {found.naming.title}, received {received}")
    return shape
