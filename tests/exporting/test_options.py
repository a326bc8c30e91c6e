"""The options of an export, and the errors for invalid values."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from sagan_tf.errors import UserError
from sagan_tf.exporting.options import ExportOptions


@pytest.mark.parametrize(
    "options",
    [
        {"formats": ("tflite",), "tflite_precisions": ("int8",), "parity_samples": 2, "largest_mean_error": 0.5},
        {"formats": ("saved_model", "tflite")},
        {"checkpoint": "best", "discriminator": True},
        {"checkpoint": "0"},
    ],
)
def test_valid_options(options: dict[str, Any]) -> None:
    assert ExportOptions(run_dir="run", **options).run_dir == "run"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run_dir": ""}, "run_dir: "),
        ({"formats": ()}, "formats: .*none"),
        ({"formats": ("saved_model", "onnx")}, "formats: .*'onnx'"),
        ({"formats": ("tflite",), "tflite_precisions": ("int4",)}, "tflite_precisions: .*'int4'"),
        ({"formats": ("tflite",), "tflite_precisions": ()}, "tflite_precisions: .*none"),
        ({"checkpoint": "newest"}, "checkpoint: .*'newest'"),
        ({"checkpoint": "-1"}, "checkpoint: .*'-1'"),
        ({"checkpoint": ""}, "checkpoint: .*''"),
        ({"formats": ("tflite",), "parity_samples": 1}, "parity_samples: .*received 1$"),
        ({"formats": ("tflite",), "parity_samples": 10**11}, f"parity_samples: .*received {10**11}$"),
        ({"formats": ("tflite",), "largest_mean_error": 0.0}, "largest_mean_error: .*received 0.0$"),
        ({"formats": ("tflite",), "largest_mean_error": float("nan")}, "largest_mean_error: .*received nan$"),
    ],
)
def test_invalid_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        ExportOptions(**{"run_dir": "run", **options})


def test_help_needs_no_tensorflow() -> None:
    program = "import sys, sagan_tf.export; assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
