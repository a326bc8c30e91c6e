"""Validation of the arrays of a request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.serving.inputs import validate_inputs

GENERATE: dict[str, Any] = {"seeds": [1, 2], "labels": [0, 1], "truncation": [8, 0.5]}
ATTENTION: dict[str, Any] = {"latents": np.zeros((2, 4)), "labels": [0, 1], "queries": [[0, 1], [2, 3]]}


def test_inputs_get_the_types_of_the_contract() -> None:
    inputs = validate_inputs("generate", GENERATE)
    assert {name: array.dtype.name for name, array in inputs.items()} == {
        "seeds": "int64",
        "labels": "int32",
        "truncation": "float32",
    }
    assert inputs["truncation"].tolist() == [8.0, 0.5]
    attention = validate_inputs("attention", ATTENTION)
    assert attention["latents"].dtype == np.float32 and attention["queries"].dtype == np.int32


def test_large_seeds_stay_exact() -> None:
    assert validate_inputs("generate", GENERATE | {"seeds": [2**62 - 1, 0]})["seeds"].tolist() == [2**62 - 1, 0]


@pytest.mark.parametrize(
    ("signature", "changes", "message"),
    [
        ("generate", {"seeds": [1.0, 2.0]}, r"seeds: expected whole numbers \[batch\], received float64"),
        ("generate", {"labels": ["a", "b"]}, r"labels: expected whole numbers \[batch\], received text"),
        ("generate", {"labels": [True, False]}, r"labels: expected whole numbers \[batch\], received bool"),
        ("generate", {"labels": [[0], [1]]}, r"labels: expected whole numbers \[batch\], received shape \[2, 1\]"),
        ("generate", {"labels": 1}, r"received shape \[\]"),
        ("generate", {"labels": [[0], 1]}, "labels: .* received rows that differ in length"),
        ("generate", {"labels": [0, 2**31]}, "labels: .*int32.*received 0 to 2147483648"),
        ("generate", {"seeds": np.array([0, 2**63], np.uint64)}, "seeds: .*int64"),
        ("generate", {"labels": [0]}, "generate: .*2 seeds, 1 labels, 2 trunc"),
        ("generate", dict.fromkeys(GENERATE, ()), "generate: expected at least one row, received none"),
        ("attention", {"latents": np.full((2, 4), np.nan)}, "latents: expected finite float32 numbers"),
        ("attention", {"latents": np.full((2, 4), 1e39)}, "latents: expected finite float32 numbers"),
        ("attention", {"latents": np.zeros(4)}, r"latents: expected numbers \[batch, latent_dim\], received shape"),
        ("attention", {"queries": [[0], [1]]}, r"queries: expected whole numbers \[batch, 2\], received shape \[2, 1"),
    ],
)
def test_invalid_inputs(signature: str, changes: dict[str, Any], message: str) -> None:
    good = GENERATE if signature == "generate" else ATTENTION
    with pytest.raises(UserError, match=message):
        validate_inputs(signature, good | changes)
