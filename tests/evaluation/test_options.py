"""Options of an evaluation: either a run or images, and limits of values."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sagan_tf.errors import UserError
from sagan_tf.evaluation.options import EvaluateOptions


@pytest.mark.parametrize(
    "options",
    [
        {"run_dir": "runs/a"},
        {"images": "cifar10:test"},
        {"run_dir": "runs/a", "checkpoint": "best"},
        {"run_dir": "runs/a", "checkpoint": "0"},
        {"run_dir": "runs/a", "checkpoint": "120000", "generator_weights": "live"},
        {"images": "fakes", "resolution": 2**31 - 1, "image_channels": 4, "seed": 2**31 - 1, "logical_cpus": 2},
    ],
)
def test_valid_options_are_accepted(options: dict[str, Any]) -> None:
    EvaluateOptions(**options)


@pytest.mark.parametrize(("options", "received"), [({}, "neither"), ({"run_dir": "a", "images": "b"}, "both")])
def test_a_run_and_images_exclude_each_other(options: dict[str, str], received: str) -> None:
    with pytest.raises(UserError, match=f"--run_dir.*--images.*{received}"):
        EvaluateOptions(**options)


@pytest.mark.parametrize("name", ["resolution", "image_channels", "seed"])
@pytest.mark.parametrize("value", [-1, 2**31])
def test_numbers_beyond_32_bits_are_rejected(name: str, value: int) -> None:
    with pytest.raises(UserError, match=f"^{name}: .*received {value}$"):
        EvaluateOptions(images="fakes", **{name: value})


@pytest.mark.parametrize("value", [2, 5])
def test_invalid_numbers_of_channels_are_rejected(value: int) -> None:
    with pytest.raises(UserError, match=f"image_channels.*{value}"):
        EvaluateOptions(images="fakes", image_channels=value)


@pytest.mark.parametrize("value", [0, -3])
def test_at_least_one_cpu_is_required(value: int) -> None:
    with pytest.raises(UserError, match=f"^logical_cpus: .*received {value}$"):
        EvaluateOptions(images="fakes", logical_cpus=value)


@pytest.mark.parametrize("value", ["", "newest", "-1", "1.5", "step-3", "²"])
def test_invalid_checkpoints_are_rejected(value: str) -> None:
    with pytest.raises(UserError, match=f"^checkpoint: .*received {value!r}$"):
        EvaluateOptions(run_dir="runs/a", checkpoint=value)


def test_every_option_has_a_help_text() -> None:
    for field in dataclasses.fields(EvaluateOptions):
        assert field.metadata["help"].endswith("."), field.name
        assert field.metadata["choices"] is None or field.default in field.metadata["choices"], field.name
