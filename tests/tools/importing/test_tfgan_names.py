"""Tests of the variable names of both codes, against written-out examples."""

from __future__ import annotations

import pytest

from sagan_tf.config import ModelConfig
from sagan_tf.errors import UserError
from sagan_tf.networks import build_discriminator, build_generator
from tools.importing.tfgan_names import NAMINGS, Naming, find_kernel_path, find_networks, split_path

TFGAN, OFFICIAL = NAMINGS
CONFIG = ModelConfig(resolution=32, num_classes=3, base_channels=2, attention_resolutions=(16,))
U = "spectral_normalize/spectral_norm/spectral_norm_u"

# tf.train.list_variables printed these names of a checkpoint that TF-GAN's example wrote.
GENERATOR_OF_TFGAN = {
    "dense/dense/kernel": "Generator/generator/g_snh0/dense/kernel",
    "dense/u": f"Generator/generator/g_snh0/dense/Generator/generator/g_snh0/dense/kernel/{U}",
    "block_2/normalization_1/gain": "Generator/generator/g_block2/cbn_0/gamma",
    "block_2/normalization_2/moving_variance": "Generator/generator/g_block2/cbn_1/moving_variance",
    "block_2/convolution_1/convolution_1/kernel": "Generator/generator/g_block2/snconv1/snconv1/kernel",
    "block_2/shortcut/shortcut/bias": "Generator/generator/g_block2/snconv3/snconv3/bias",
    "block_2/convolution_2/u": "Generator/generator/g_block2/snconv2/snconv2/Generator/generator/g_block2/snconv2/"
    f"snconv2/kernel/{U}",
    "attention_32/query/query/kernel": "Generator/generator/g_ops/sn_conv_theta/weights",
    "attention_32/query/u": "Generator/generator/g_ops/sn_conv_theta/Generator/generator/g_ops/sn_conv_theta/weights/"
    f"{U}",
    "attention_32/gamma": "Generator/generator/g_ops/sigma_ratio",
    "normalization/bias": "Generator/generator/g_bn/beta",
    "image/image/kernel": "Generator/generator/g_snconv_last/g_snconv_last/kernel",
}
DISCRIMINATOR_OF_TFGAN = {
    "block_1/convolution_1/convolution_1/bias": "discriminator/d_optimized_block1/sn_conv1/sn_conv1/bias",
    "block_6/convolution_2/convolution_2/kernel": "discriminator/d_block6/sn_conv2/sn_conv2/kernel",
    "logits/logits/kernel": "discriminator/d_sn_linear/dense/kernel",
    "label_embedding/label_embedding/embeddings": "discriminator/d_embedding/embedding_map",
    "label_embedding/u": f"discriminator/d_embedding/{U}",
    "attention_32/output/output/kernel": "discriminator/d_ops/sn_conv_attn/weights",
}
OF_OFFICIAL_CODE = {
    "dense/dense/kernel": "model/g_snh0/Matrix",
    "dense/dense/bias": "model/g_snh0/bias",
    "dense/u": "model/g_snh0/u",
    "block_2/normalization_1/bias": "model/g_block2/cbn_0/beta",
    "block_2/normalization_1/moving_mean": "model/g_block2/cbn_0/mean",
    "block_2/normalization_2/moving_variance": "model/g_block2/cbn_1/var",
    "block_2/convolution_1/convolution_1/kernel": "model/g_block2/snconv1/w",
    "block_2/shortcut/shortcut/bias": "model/g_block2/snconv3/biases",
    "attention_32/value/value/kernel": "model/g_non_local/sn_conv_g/w",
    "attention_32/key/u": "model/g_non_local/sn_conv_phi/u",
    "attention_32/gamma": "model/g_non_local/sigma_ratio",
    "normalization/moving_mean": "model/g_bn/moving_mean",
}


@pytest.mark.parametrize(
    ("naming", "network", "scope", "names"),
    [
        (TFGAN, "generator", "Generator/generator/", GENERATOR_OF_TFGAN),
        (TFGAN, "discriminator", "discriminator/", DISCRIMINATOR_OF_TFGAN),
        (OFFICIAL, "generator", "model/", OF_OFFICIAL_CODE),
    ],
)
def test_names_match_written_out_examples(naming: Naming, network: str, scope: str, names: dict[str, str]) -> None:
    assert {path: naming.translate(network, path, scope) for path in names} == names


@pytest.mark.parametrize("naming", NAMINGS, ids=lambda naming: naming.title)
def test_every_variable_has_a_unique_name(naming: Naming) -> None:
    networks = {"generator": build_generator(CONFIG), "discriminator": build_discriminator(CONFIG)}
    paths = [(network, variable.path) for network, model in networks.items() for variable in model.variables]
    assert len({naming.translate(network, path) for network, path in paths}) == len(paths) > 100


def test_paths_are_split_into_layers() -> None:
    assert split_path("block_1/shortcut/shortcut/kernel") == (("block_1", "shortcut"), "kernel")
    assert split_path("attention_32/gamma") == (("attention_32",), "gamma")
    assert find_kernel_path("block_1/shortcut/u") == "block_1/shortcut/shortcut/kernel"
    assert find_kernel_path("label_embedding/u") == "label_embedding/label_embedding/embeddings"


def test_networks_are_found_under_any_scope() -> None:
    names = ["a/b/g_snh0/dense/kernel", "a/b/g_snh0/dense/kernel/Adam", "d_sn_linear/dense/kernel", "global_step"]
    assert find_networks(names) == (TFGAN, "a/b/", "")
    assert find_networks(["model/g_snh0/Matrix"]) == (OFFICIAL, "model/", None)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["conv/w", "step"], r"checkpoint: .* received 2 variables such as conv/w"),
        ([], "checkpoint: .* received no variables"),
        (["_CHECKPOINTABLE_OBJECT_GRAPH", "state/step"], "checkpoint: .* received .*TensorFlow 2"),
        (["a/g_snh0/Matrix", "b/g_snh0/Matrix"], "checkpoint: expected one generator, received 2, under a/, b/"),
        (["my_g_snh0/Matrix"], "checkpoint: .* such as my_g_snh0/Matrix"),
    ],
)
def test_unknown_names_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_networks(names)
