"""What an evaluation is of: a run or images, and options that no run could have."""

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
def test_options_that_fit(options: dict[str, Any]) -> None:
    made = dataclasses.asdict(EvaluateOptions(**options))
    defaults = {field.name: field.default for field in dataclasses.fields(EvaluateOptions)}
    assert made == defaults | options


@pytest.mark.parametrize(("options", "received"), [({}, "neither"), ({"run_dir": "a", "images": "b"}, "both")])
def test_either_a_run_or_images(options: dict[str, str], received: str) -> None:
    with pytest.raises(UserError, match=f"^expected either --run_dir or --images, received {received}$"):
        EvaluateOptions(**options)


@pytest.mark.parametrize("name", ["resolution", "image_channels", "seed"])
@pytest.mark.parametrize("value", [-1, 2**31])
def test_numbers_within_32_bits(name: str, value: int) -> None:
    with pytest.raises(UserError, match=f"^{name}: expected 0 or more, below 2147483648, received {value}$"):
        EvaluateOptions(images="fakes", **{name: value})


@pytest.mark.parametrize("value", [2, 5])
def test_channels_that_no_image_is_decoded_with(value: int) -> None:
    with pytest.raises(UserError, match=f"image_channels.*{value}"):
        EvaluateOptions(images="fakes", image_channels=value)


@pytest.mark.parametrize("value", [0, -3])
def test_at_least_one_cpu(value: int) -> None:
    with pytest.raises(UserError, match=f"^logical_cpus: expected at least 1, received {value}$"):
        EvaluateOptions(images="fakes", logical_cpus=value)


@pytest.mark.parametrize("value", ["", "newest", "-1", "1.5", "step-3", "²"])
def test_which_checkpoint(value: str) -> None:
    with pytest.raises(UserError, match=f"^checkpoint: expected latest, best or a step, received {value!r}$"):
        EvaluateOptions(run_dir="runs/a", checkpoint=value)


def test_every_option_is_explained() -> None:
    for field in dataclasses.fields(EvaluateOptions):
        assert field.metadata["help"].endswith("."), field.name
        assert field.metadata["choices"] is None or field.default in field.metadata["choices"], field.name
