"""Both updates as StableHLO that a TPU can run, with static shapes and without calls of the host."""

from __future__ import annotations

import collections
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.cli.flags import parse_config
from sagan_tf.layers.accelerators import assume_device
from sagan_tf.training.state import create_state
from tests.training.tiny import tiny_config
from tools import lower_training
from tools.lowering.updates import lower_updates

IMAGENET = pathlib.Path(__file__).parents[3] / "configs" / "imagenet.cfg"
FORBIDDEN = {"custom_call", "infeed", "outfeed", "send", "recv", "while", "get_dimension_size", "set_dimension_size"}
WITH_STATIC_SHAPES = {"dynamic_slice", "dynamic_update_slice"}


def find_forbidden_operations(module: str) -> set[str]:
    """Return loops, and what a TPU cannot run or what waits for the host."""
    names = set(re.findall(r"\b(?:stablehlo|mhlo|chlo)\.(\w+)", module))
    dynamic = {name for name in names if "dynamic" in name and name != "is_dynamic"} - WITH_STATIC_SHAPES
    return (names & FORBIDDEN) | dynamic | set(re.findall(r"tensor<[^>]*\?[^>]*>", module))


def has_large_values(module: str) -> bool:
    """Return whether a module has a constant as large as a kernel.

    Initial values of weights would be such constants. Attention appends a column of ones, padded with zeros, which has
    only two different values.
    """
    long_lines = [line for line in module.splitlines() if len(line) > 2**16]
    found = [re.search(r'dense<"0x([0-9A-F]+)">', line) for line in long_lines]
    return any(match is None or len(set(re.findall("........", match[1]))) > 2 for match in found)


def check_updates(modules: dict[str, str], precision: str) -> None:
    """Check the modules of `lower_updates`."""
    assert list(modules) == ["discriminator", "generator"]
    for module in modules.values():
        assert find_forbidden_operations(module) == set()
        convolutions = re.findall(r"stablehlo\.convolution.*tensor<[^>]*x(\w+)>", module)
        assert convolutions and set(convolutions) == {"bf16" if precision == "mixed_bfloat16" else "f32"}
        assert not has_large_values(module)


@pytest.mark.slow
def test_updates_are_static_and_never_call_the_host() -> None:
    config = tiny_config(precision="mixed_bfloat16")
    check_updates(lower_updates(config, create_state(config)), "mixed_bfloat16")


@pytest.mark.slow  # the test above lowers for the same device
def test_layers_have_their_forms_for_a_tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, wide convolutions and attention in float32 have other forms."""

    def count_operations(**options: Any) -> list[collections.Counter[str]]:
        config = tiny_config(base_channels=48, **options)
        modules = lower_updates(config, create_state(config)).values()
        return [collections.Counter(re.findall(r"\bstablehlo\.(\w+)", module)) for module in modules]

    tpu_counts = count_operations()
    monkeypatch.setattr("tools.lowering.updates.assume_device", lambda kind: assume_device("CPU"))
    for counts, strided in zip(tpu_counts, count_operations(resampling="strided"), strict=True):
        assert counts["convolution"] == strided["convolution"]
        assert counts["pad"] > strided["pad"]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_updates_of_imagenet_at_full_width(precision: str) -> None:
    flags = ["--num_classes=1000", "--global_batch_size=8", f"--precision={precision}"]
    config = parse_config([f"--flagfile={IMAGENET}", *flags])
    assert config.model.base_channels == 64 and config.model.resolution == 128
    check_updates(lower_updates(config, create_state(config)), precision)


def test_the_checks_find_forbidden_operations_and_weights() -> None:
    weights = np.random.default_rng(0).normal(size=[200, 200]).astype(np.float32)

    def find(function: Callable[[tf.Tensor], tf.Tensor]) -> tuple[set[str], bool]:
        ir = tf.function(function, jit_compile=True).experimental_get_compiler_ir(tf.TensorSpec([200, 200]))
        module = ir(stage="stablehlo")
        return find_forbidden_operations(module), has_large_values(module)

    assert find(lambda x: tf.boolean_mask(x, x > 0.0))[0] >= {"set_dimension_size"}
    assert find(lambda x: tf.map_fn(tf.math.cumsum, x))[0] == {"while"}
    assert find(lambda x: tf.matmul(x, tf.constant(weights))) == (set(), True)
    assert find(lambda x: tf.matmul(x, tf.eye(200))) == (set(), False)


def test_the_tool_writes_both_modules(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {"discriminator": "module @d", "generator": "module @g"}
    monkeypatch.setattr("tools.lowering.updates.lower_updates", lambda config, state: modules)
    flags = ["--resolution=32", "--architecture=dcgan", "--base_channels=2", "--attention_resolutions="]
    assert lower_training.run(["updates", str(tmp_path / "new"), *flags, "--num_classes=3"]) == 0
    assert {path.stem: path.read_text() for path in (tmp_path / "new").iterdir()} == modules
