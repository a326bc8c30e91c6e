"""What TF-GAN's SAGAN example and the official SAGAN code call the variables of our networks.

Both have the same layers in the same scopes, but for attention's, and other names for the variables in them:

| ours                                    | TF-GAN                                         | official code          |
|-----------------------------------------|------------------------------------------------|------------------------|
| dense/dense/kernel                      | g_snh0/dense/kernel                            | g_snh0/Matrix          |
| block_2/convolution_1/convolution_1/bias| g_block2/snconv1/snconv1/bias                  | g_block2/snconv1/biases|
| block_2/convolution_1/u                 | .../snconv1/<kernel>/spectral_normalize/...    | g_block2/snconv1/u     |
| block_2/normalization_1/moving_variance | g_block2/cbn_0/moving_variance                 | g_block2/cbn_0/var     |
| attention_32/query/query/kernel         | g_ops/sn_conv_theta/weights                    | g_non_local/...theta/w |

Above these lies a scope that differs from checkpoint to checkpoint (`Generator/generator/` where GANEstimator made it,
`model/` in the official code): see `find_networks`.

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

_ENDS = {
    GENERATOR: {"dense": "g_snh0", "normalization": "g_bn", "image": "g_snconv_last"},
    DISCRIMINATOR: {"logits": "d_sn_linear", "label_embedding": "d_embedding"},
}
"""The layers outside the stages."""
_ATTENTION = {"query": "sn_conv_theta", "key": "sn_conv_phi", "value": "sn_conv_g", "output": "sn_conv_attn"}
_NORMALIZATION = {"gain": "gamma", "bias": "beta", "moving_mean": "moving_mean", "moving_variance": "moving_variance"}
_ESTIMATE = "spectral_normalize/spectral_norm/spectral_norm_u"


@dataclasses.dataclass(frozen=True)
class Naming:
    """How one code names variables, and what of its settings a checkpoint does not show.

    Attributes:
        title: what to call the code.
        attention: what follows `g_` or `d_` in the name of the attention layer.
        dense, convolution, pointwise: names in a scope of what we call `kernel` and `bias`; `pointwise` are attention's
            convolutions. `{}` stands for the layer's own name.
        conditional: names in a scope of conditional batch normalisation.
        u_of_columns: whether `u` lives on the output channels: ours, and TF-GAN's, lives on the rows.
        options: hyper-parameters of ours that stand for what the code does.
    """

    title: str
    attention: str
    dense: Mapping[str, str]
    convolution: Mapping[str, str]
    pointwise: Mapping[str, str]
    conditional: Mapping[str, str]
    u_of_columns: bool
    options: Mapping[str, Any]

    def name(self, network: str, path: str, scope: str = "") -> str:
        """Their name of our variable.

        Args:
            network: `generator` or `discriminator`.
            path: of the variable, as Keras gives it: `block_1/convolution_1/convolution_1/kernel`.
            scope: what lies above the network; part of the name.
        """
        layers, variable = layers_of(path)
        layer = scope + "/".join([self._layer(network, layers[0]), *(_part(network, part) for part in layers[1:])])
        if variable == "u":
            return self._name_of_u(network, path, scope, layer)
        if layers[-1].startswith("attention"):
            return f"{layer}/sigma_ratio"  # what attention is multiplied by: gamma, here and in the paper
        return f"{layer}/{self._variable(layers[-1], variable).format(layer.rpartition('/')[2])}"

    def _name_of_u(self, network: str, path: str, scope: str, layer: str) -> str:
        if self.u_of_columns:
            return f"{layer}/u"
        if layer.endswith("d_embedding"):
            return f"{layer}/{_ESTIMATE}"
        # Made while the kernel is: below the scope at that moment, and with the kernel's whole name once more.
        kernel = self.name(network, kernel_of(path), scope)
        return f"{kernel.rpartition('/')[0]}/{kernel}/{_ESTIMATE}"

    def _layer(self, network: str, layer: str) -> str:
        if layer.startswith("attention"):
            return f"{network[0]}_{self.attention}"
        return _ENDS[network].get(layer) or _block(network, int(layer.removeprefix("block_")))

    def _variable(self, layer: str, variable: str) -> str:
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
        u_of_columns=False,
        options={
            "spectral_norm_constraint": "at_most",
            "spectral_norm_epsilon": 1e-6,  # tf.nn.l2_normalize takes the root of 1e-12
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
        u_of_columns=True,
        options={
            "spectral_norm_constraint": "equal",
            "spectral_norm_epsilon": 1e-12,
            "batch_norm_epsilon": 1e-5,
            "batch_norm_momentum": 0.999,  # 0.9999 in the last layer: matters to training alone
            "global_batch_size": 256,
        },
    ),
)


def layers_of(path: str) -> tuple[tuple[str, ...], str]:
    """Return the layers that a variable of ours lies in, from the outside in, and its own name.

    Spectral normalisation is a layer around a layer, and both have one name, which is given once.
    """
    *layers, variable = path.split("/")
    return tuple(layer for layer, above in zip(layers, ["", *layers], strict=False) if layer != above), variable


def kernel_of(path: str) -> str:
    """Path of the kernel that the `u` at `path` belongs to."""
    layers, _ = layers_of(path)
    return "/".join([*layers, layers[-1], "embeddings" if layers[0] == "label_embedding" else "kernel"])


def find_networks(names: Iterable[str]) -> tuple[Naming, str, str | None]:
    """Return what kind of checkpoint has variables of these names.

    Returns:
        Whose names they are, and the scopes above generator and discriminator; None if there is no discriminator.

    Raises:
        UserError: they are none of a SAGAN of either code, or of several.
    """
    names = list(names)
    for naming in NAMINGS:
        generators = _scopes(names, naming.name(GENERATOR, "dense/dense/kernel"))
        discriminators = _scopes(names, naming.name(DISCRIMINATOR, "logits/logits/kernel"))
        for network, scopes in ((GENERATOR, generators), (DISCRIMINATOR, discriminators)):
            if len(scopes) > 1:
                found = ", ".join(scope or "(no scope)" for scope in scopes)
                raise UserError(f"checkpoint: expected one {network}, received {len(scopes)}, under {found}")
        if generators:
            return naming, generators[0], discriminators[0] if discriminators else None
    expected = " or ".join(f"{naming.name(GENERATOR, 'dense/dense/kernel')} ({naming.title})" for naming in NAMINGS)
    if any(name.startswith("_CHECKPOINTABLE_OBJECT_GRAPH") for name in names):
        received = "one of TensorFlow 2's, such as runs of this project have: these need no import"
    else:
        received = f"one of {len(names)} variables such as {names[0]}" if names else "one without variables"
    raise UserError(
        f"checkpoint: expected one of a SAGAN with spectral normalisation in the generator, with a variable "
        f"{expected}, received {received}"
    )


def _scopes(names: list[str], ending: str) -> list[str]:
    return [name.removesuffix(ending) for name in names if f"/{name}".endswith(f"/{ending}")]


def _block(network: str, index: int) -> str:
    """Return the scope of stage `index`, counted from 1."""
    if network == GENERATOR:
        return f"g_block{index}"
    return "d_optimized_block1" if index == 1 else f"d_block{index}"


def _part(network: str, layer: str) -> str:
    """Return the scope of a layer in a stage."""
    if layer in _ATTENTION:
        return _ATTENTION[layer]
    convolution = "snconv" if network == GENERATOR else "sn_conv"
    if layer == "shortcut":
        return f"{convolution}3"
    kind, _, index = layer.rpartition("_")
    return f"cbn_{int(index) - 1}" if kind == "normalization" else f"{convolution}{index}"
