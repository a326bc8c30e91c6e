"""Tests of query positions and of weights that are not finite; test_sample.py tests the outputs of the mode."""

from __future__ import annotations

import pytest

from sagan_tf.errors import UserError
from sagan_tf.sampling.attention import make_attention_sheet, parse_query_positions
from sagan_tf.sampling.options import SampleOptions
from tests.sampling.tiny_generator import make_tiny_generator


def test_weights_that_are_not_finite() -> None:
    generator = make_tiny_generator()
    (attention,) = (layer for layer in generator.network.layers if layer.name.startswith("attention_"))
    attention.query.weights[0].assign(attention.query.weights[0] * float("nan"))
    with pytest.raises(UserError, match="^checkpoint: .*not finite"):
        make_attention_sheet(generator, SampleOptions(run_dir="run", mode="attention", output="a.png"))


def test_query_positions() -> None:
    assert parse_query_positions(["0.5:0.25", "0:1", ".5:1.0"]) == [(0.5, 0.25), (0.0, 1.0), (0.5, 1.0)]
    assert parse_query_positions([]) == []


@pytest.mark.parametrize("text", ["0.5", "0.5:", ":0.5", "1.1:0", "-0.1:0", "a:b", "0.5:0.5:0.5", "nan:0", "1e-1:0"])
def test_invalid_query_positions(text: str) -> None:
    with pytest.raises(UserError, match=f"^queries: .*{text!r}"):
        parse_query_positions(["0:0", text])
