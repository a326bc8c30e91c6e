"""Names that TF-GAN's SAGAN example and the official SAGAN code give to the variables of this project's networks.

Both have the same layers in the same scopes, except attention's, and different names for the variables in them:

| this project                            | TF-GAN                                         | official code          |
|-----------------------------------------|------------------------------------------------|------------------------|
| dense/dense/kernel                      | g_snh0/dense/kernel                            | g_snh0/Matrix          |
| block_2/convolution_1/convolution_1/bias| g_block2/snconv1/snconv1/bias                  | g_block2/snconv1/biases|
| block_2/convolution_1/u                 | .../snconv1/<kernel>/spectral_normalize/...    | g_block2/snconv1/u     |
| block_2/normalization_1/moving_variance | g_block2/cbn_0/moving_variance                 | g_block2/cbn_0/var     |
| attention_32/query/query/kernel         | g_ops/sn_conv_theta/weights                    | g_non_local/...theta/w |

The scope above these differs from checkpoint to checkpoint (`Generator/generator/` from GANEstimator, `model/` from the
official code): see `find_networks`.

Reference: tensorflow_gan/examples/self_attention_estimator/{generator,discriminator,ops}.py and
tensorflow_gan/python/features/spectral_normalization.py of TF-GAN 2.1.0; {generator,discriminator,ops,non_local}.py of
brain-research/self-attention-gan, functions `generator_test`, `discriminator_test` and those with `_64`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from sagan_tf.errors import UserError

GENERATOR = "generator"
DISCRIMINATOR = "discriminator"

_OUTER_LAYERS = {
    GENERATOR: {"dense": "g_snh0", "normalization": "g_bn", "image": "g_snconv_last"},
    DISCRIMINATOR: {"logits": "d_sn_linear", "label_embedding": "d_embedding"},
}
"""Scopes of the layers outside the stages."""
_ATTENTION = {"query": "sn_conv_theta", "key": "sn_conv_phi", "value": "sn_conv_g", "output": "sn_conv_attn"}
_NORMALIZATION = {"gain": "gamma", "bias": "beta", "moving_mean": "moving_mean", "moving_variance": "moving_variance"}
_U_SUFFIX = "spectral_normalize/spectral_norm/spectral_norm_u"


@dataclasses.dataclass(frozen=True)
class Naming:
    """Names of the variables of one code, and its settings that a checkpoint does not show.

    Attributes:
        title: Name of the code.
        attention: Name of the attention layer after `g_` or `d_`.
        dense, convolution, pointwise: Names in a layer's scope, by this project's names `kernel` and `bias`.
            `pointwise` are the convolutions of attention. `{}` stands for the name of the layer.
        conditional: Names in a scope of conditional batch normalization.
        has_column_u: Whether `u` has an element for each output channel. In this project and in TF-GAN it has one for
            each row.
        options: Options of this project with which it computes what the code does.
    """

    title: str
    attention: str
    dense: Mapping[str, str]
    convolution: Mapping[str, str]
    pointwise: Mapping[str, str]
    conditional: Mapping[str, str]
    has_column_u: bool
    options: Mapping[str, Any]

    def translate(self, network: str, path: str, scope: str = "") -> str:
        """Return the name that this code gives to a variable of this project.

        Args:
            network: `generator` or `discriminator`.
            path: Keras path of the variable, such as `block_1/convolution_1/convolution_1/kernel`.
            scope: The scope above the network, with which the name begins.
        """
        layers, variable = split_path(path)
        names = [self._translate_layer(network, layers[0]), *(_name_layer(network, part) for part in layers[1:])]
        layer = scope + "/".join(names)
        if variable == "u":
            return self._translate_u(network, path, scope, layer)
        if layers[-1].startswith("attention"):
            return f"{layer}/sigma_ratio"  # The factor of attention's output, gamma in this project and in the paper.
        return f"{layer}/{self._translate_variable(layers[-1], variable).format(layer.rpartition('/')[2])}"

    def _translate_u(self, network: str, path: str, scope: str, layer: str) -> str:
        if self.has_column_u:
            return f"{layer}/u"
        if layer.endswith("d_embedding"):
            return f"{layer}/{_U_SUFFIX}"
        # TF-GAN creates u together with the kernel, below the scope of the layer and the whole name of the kernel.
        kernel = self.translate(network, find_kernel_path(path), scope)
        return f"{kernel.rpartition('/')[0]}/{kernel}/{_U_SUFFIX}"

    def _translate_layer(self, network: str, layer: str) -> str:
        if layer.startswith("attention"):
            return f"{network[0]}_{self.attention}"
        return _OUTER_LAYERS[network].get(layer) or _name_block(network, int(layer.removeprefix("block_")))

    def _translate_variable(self, layer: str, variable: str) -> str:
        if variable == "embeddings":
            return "embedding_map"
        if layer == "normalization":
            return _NORMALIZATION[variable]
        if layer.startswith("normalization"):
            return self.conditional[variable]
        if layer in ("dense", "logits"):
            return self.dense[variable]
        return (self.pointwise if layer in _ATTENTION else self.convolution)[variable]


NAMINGS = (
    Naming(
        title="TF-GAN's example",
        attention="ops",
        dense={"kernel": "dense/kernel", "bias": "dense/bias"},
        convolution={"kernel": "{}/kernel", "bias": "{}/bias"},
        pointwise={"kernel": "weights"},
        conditional=_NORMALIZATION,
        has_column_u=False,
        options={
            "spectral_norm_constraint": "at_most",
            "spectral_norm_epsilon": 1e-6,  # tf.nn.l2_normalize uses the root of its epsilon, 1e-12.
            "batch_norm_epsilon": 1e-3,
            "batch_norm_momentum": 0.999,
            "global_batch_size": 32,
        },
    ),
    Naming(
        title="the official code",
        attention="non_local",
        dense={"kernel": "Matrix", "bias": "bias"},
        convolution={"kernel": "w", "bias": "biases"},
        pointwise={"kernel": "w"},
        conditional={"gain": "gamma", "bias": "beta", "moving_mean": "mean", "moving_variance": "var"},
        has_column_u=True,
        options={
            "spectral_norm_constraint": "equal",
            "spectral_norm_epsilon": 1e-12,
            "batch_norm_epsilon": 1e-5,
            "batch_norm_momentum": 0.999,  # It is 0.9999 in the last layer, which affects only training.
            "global_batch_size": 256,
        },
    ),
)


def split_path(path: str) -> tuple[tuple[str, ...], str]:
    """Split the path of a variable into the names of its layers and its own name.

    The layers are ordered from the outermost. Spectral normalization wraps a layer of the same name, which is listed
    once.
    """
    *layers, variable = path.split("/")
    return tuple(layer for layer, above in zip(layers, ["", *layers], strict=False) if layer != above), variable


def find_kernel_path(path: str) -> str:
    """Return the path of the kernel to which the `u` at `path` belongs."""
    layers, _ = split_path(path)
    return "/".join([*layers, layers[-1], "embeddings" if layers[0] == "label_embedding" else "kernel"])


def find_networks(names: Iterable[str]) -> tuple[Naming, str, str | None]:
    """Find the networks in a checkpoint.

    Args:
        names: The names of the checkpoint's variables.

    Returns:
        The `Naming` of the code that wrote the checkpoint, and the scopes above generator and discriminator; None for a
        missing discriminator.

    Raises:
        UserError: The names are not those of a SAGAN of either code, or there are several networks of a kind.
    """
    names = list(names)
    for naming in NAMINGS:
        generators = _find_scopes(names, naming.translate(GENERATOR, "dense/dense/kernel"))
        discriminators = _find_scopes(names, naming.translate(DISCRIMINATOR, "logits/logits/kernel"))
        for network, scopes in ((GENERATOR, generators), (DISCRIMINATOR, discriminators)):
            if len(scopes) > 1:
                found = ", ".join(scope or "(no scope)" for scope in scopes)
                raise UserError(f"checkpoint: expected one {network}, received {len(scopes)}, under {found}")
        if generators:
            return naming, generators[0], discriminators[0] if discriminators else None
    kernels = {naming.title: naming.translate(GENERATOR, "dense/dense/kernel") for naming in NAMINGS}
    expected = " or ".join(f"{name} ({title})" for title, name in kernels.items())
    if any(name.startswith("_CHECKPOINTABLE_OBJECT_GRAPH") for name in names):
        received = "a checkpoint of TensorFlow 2; runs of this project need no import"
    else:
        received = f"{len(names)} variables such as {names[0]}" if names else "no variables"
    raise UserError(
        "checkpoint: expected a SAGAN with spectral normalization in the generator, with a variable "
        f"{expected}, received {received}"
    )


def _find_scopes(names: list[str], ending: str) -> list[str]:
    return [name.removesuffix(ending) for name in names if f"/{name}".endswith(f"/{ending}")]


def _name_block(network: str, index: int) -> str:
    """Return the scope of stage `index`, counted from 1."""
    if network == GENERATOR:
        return f"g_block{index}"
    return "d_optimized_block1" if index == 1 else f"d_block{index}"


def _name_layer(network: str, layer: str) -> str:
    """Return the scope of a layer in a stage."""
    if layer in _ATTENTION:
        return _ATTENTION[layer]
    convolution = "snconv" if network == GENERATOR else "sn_conv"
    if layer == "shortcut":
        return f"{convolution}3"
    kind, _, index = layer.rpartition("_")
    return f"cbn_{int(index) - 1}" if kind == "normalization" else f"{convolution}{index}"
