from __future__ import annotations

import math
from typing import Any

import pytest

from tools.gpu_checking.recommendation import compare_steps, recommend


def measured(speed: float, parts: int = 1, replicas: int = 1) -> dict[str, Any]:
    sizes = {"gradient_accumulation_steps": parts, "peak_memory_bytes": 10, "replicas": replicas}
    return {"images_per_second": speed} | sizes


def test_the_fastest_form_is_recommended() -> None:
    forms = {"float32": measured(10.0), "tf32": measured(20.0), "mixed_bfloat16": measured(30.0, parts=2)}
    found = recommend(forms, 64, [])
    assert found["form"] == "mixed_bfloat16" and found["images_per_second"] == 30.0
    assert found["flags"] == ["--precision=mixed_bfloat16", "--gradient_accumulation_steps=2"]
    assert found["largest_part"] is None


def test_a_less_exact_form_must_be_a_tenth_faster() -> None:
    assert recommend({"float32": measured(10.0), "mixed_bfloat16": measured(10.9)}, 64, [])["form"] == "float32"
    assert recommend({"float32": measured(10.0), "mixed_bfloat16": measured(11.1)}, 64, [])["form"] != "float32"


def test_failed_and_skipped_forms_are_not_recommended() -> None:
    forms = {"tf32": {"skipped": "for GPUs only"}, "float32": measured(1.0), "xla": {"error": "InternalError: ..."}}
    assert recommend(forms, 64, [])["form"] == "float32"
    assert recommend({"xla": {"error": "InternalError: ..."}}, 64, []) == {}


@pytest.mark.parametrize(
    ("memory", "parts", "expected_parts", "expected_largest"),
    [
        (100, 8, 1, 72),  # Parts of 8 images need 10 bytes: 90 bytes are enough for the whole batch of 64.
        (40, 8, 4, 28),  # 28 images fit: 4 parts of 16.
        (11, 8, 8, 7),  # The measured number fits, whatever the estimate is.
        (1000, 1, 1, 5760),
    ],
)
def test_the_batch_is_divided_into_as_few_parts_as_fit(
    memory: int, parts: int, expected_parts: int, expected_largest: int
) -> None:
    found = recommend({"float32": measured(1.0, parts=parts)}, 64, [memory])
    assert found["flags"][-1] == f"--gradient_accumulation_steps={expected_parts}"
    assert found["largest_part"] == expected_largest


def test_parts_are_equal_on_every_replica_and_have_whole_groups() -> None:
    form = {"float32": measured(1.0, parts=16, replicas=3)}  # 32 images a replica; parts of 2 need 10 bytes.
    assert recommend(form, 96, [100, 100, 100])["largest_part"] == 18
    assert recommend(form, 96, [100, 100, 100])["flags"][-1] == "--gradient_accumulation_steps=2"
    assert recommend(form, 96, [100, 100, 50])["flags"][-1] == "--gradient_accumulation_steps=4"
    assert recommend(form, 96, [100, 100, 100, 11])["largest_part"] == 18  # The last GPU is not used.
    form = {"float32": measured(1.0, parts=6)}  # 60 images; parts of 10 need 10 bytes.
    assert recommend(form, 60, [24])["flags"][-1] == "--gradient_accumulation_steps=3"
    assert recommend(form, 60, [24], 5)["flags"][-1] == "--gradient_accumulation_steps=3"
    assert recommend(form, 60, [24], 15)["flags"][-1] == "--gradient_accumulation_steps=4"


def test_steps_are_compared_by_their_worst_metric() -> None:
    found = compare_steps({"loss": 2.0, "norm": 4.0, "logits": 0.0}, {"loss": 2.0002, "norm": 4.0, "logits": 5e-7})
    assert found["metric"] == "logits" and found["largest_relative_difference"] == pytest.approx(5e-4)
    assert found["agrees"]
    found = compare_steps({"loss": 2.0, "norm": 4.0}, {"loss": 2.0, "norm": 4.1})
    assert found["metric"] == "norm" and not found["agrees"]


def test_a_metric_that_is_nan_does_not_agree() -> None:
    found = compare_steps({"loss": 2.0, "norm": 4.0}, {"loss": math.nan, "norm": 8.0})
    assert found["metric"] == "loss" and not found["agrees"]
