"""The options of an export, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from sagan_tf.errors import UserError
from sagan_tf.exporting.options import ExportOptions


def test_a_run_is_all_that_is_needed() -> None:
    options = ExportOptions(run_dir="run")
    assert (options.formats, options.checkpoint, options.generator_weights) == (("saved_model",), "latest", "ema")
    assert not (options.overwrite or options.discriminator or options.output)


@pytest.mark.parametrize(
    "options",
    [
        {"formats": ("tflite",), "tflite_precisions": ("int8",), "parity_samples": 2, "largest_mean_error": 0.5},
        {"formats": ("saved_model", "tflite")},
        {"checkpoint": "best", "discriminator": True},
        {"checkpoint": "0"},
    ],
)
def test_what_is_right(options: dict[str, Any]) -> None:
    assert ExportOptions(run_dir="run", **options).run_dir == "run"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run_dir": ""}, "run_dir: expected the folder of a run, received none"),
        ({"formats": ()}, "formats: expected a comma list of saved_model, tflite, received none"),
        (
            {"formats": ("saved_model", "onnx")},
            "formats: expected a comma list of saved_model, tflite, received 'onnx'",
        ),
        (
            {"formats": ("tflite",), "tflite_precisions": ("int4",)},
            "tflite_precisions: expected a comma list of float32, float16, dynamic_int8, int8, received 'int4'",
        ),
        (
            {"formats": ("tflite",), "tflite_precisions": ()},
            "tflite_precisions: expected a comma list of float32, float16, dynamic_int8, int8, received none",
        ),
        ({"checkpoint": "newest"}, "checkpoint: expected latest, best or a step, received 'newest'"),
        ({"checkpoint": "-1"}, "checkpoint: expected latest, best or a step, received '-1'"),
        ({"checkpoint": ""}, "checkpoint: expected latest, best or a step, received ''"),
        ({"formats": ("tflite",), "parity_samples": 1}, "parity_samples: expected 2 to 10000, received 1"),
        (
            {"formats": ("tflite",), "largest_mean_error": 0.0},
            "largest_mean_error: expected a number above 0, received 0.0",
        ),
        (
            {"formats": ("tflite",), "largest_mean_error": float("nan")},
            "largest_mean_error: expected a number above 0, received nan",
        ),
    ],
)
def test_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        ExportOptions(**{"run_dir": "run", **options})
    assert str(caught.value) == message


def test_more_pictures_than_memory_holds_are_refused() -> None:
    with pytest.raises(UserError, match="^parity_samples: expected "):
        ExportOptions(run_dir="run", formats=("tflite",), parity_samples=10**11)


def test_help_needs_no_tensorflow() -> None:
    program = "import sys, sagan_tf.export; assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
