"""Options of an evaluation: either a run or images, and limits of values."""

import dataclasses
import itertools

import pytest

from sagan_tf.errors import UserError
from sagan_tf.evaluation.options import EvaluateOptions
from sagan_tf.exporting.options import ExportOptions
from sagan_tf.sampling.options import SampleOptions


@pytest.mark.parametrize(
    "options",
    [
        *({"run_dir": "a", "checkpoint": name, "generator_weights": "live"} for name in ("best", "0", "120000")),
        {"images": "cifar10:test"},
        {"images": "fakes", "resolution": 2**31 - 1, "image_channels": 4, "seed": 2**31 - 1, "logical_cpus": 2},
    ],
)
def test_valid_options_are_accepted(options):
    EvaluateOptions(**options)


@pytest.mark.parametrize(("options", "received"), [({}, "neither"), ({"run_dir": "a", "images": "b"}, "both")])
def test_a_run_and_images_exclude_each_other(options, received):
    with pytest.raises(UserError, match=f"--run_dir.*--images.*{received}"):
        EvaluateOptions(**options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *itertools.product(("resolution", "image_channels", "seed"), (-1, 2**31)),
        *itertools.product(("image_channels",), (2, 5)),
        *itertools.product(("logical_cpus",), (0, -3)),
        *itertools.product(("checkpoint",), ("", "newest", "-1", "1.5", "step-3", "²")),
    ],
)
def test_invalid_values_are_rejected(name, value):
    with pytest.raises(UserError, match=f"^{name}: .*received {value!r}$"):
        EvaluateOptions(run_dir="runs/a", **{name: value})


@pytest.mark.parametrize("option_class", [EvaluateOptions, ExportOptions, SampleOptions])
def test_every_option_has_a_help_text(option_class):
    for field in dataclasses.fields(option_class):
        assert field.metadata["help"].endswith("."), field.name
        assert field.metadata["choices"] is None or field.default in field.metadata["choices"], field.name
