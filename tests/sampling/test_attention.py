"""Tests of query positions and of weights that are not finite; test_sample.py tests the outputs of the mode."""

import pytest

from sagan_tf.errors import UserError
from sagan_tf.sampling.attention import make_attention_sheet, parse_query_positions
from sagan_tf.sampling.options import SampleOptions
from tests.sampling.tiny_generator import get_network, make_tiny_generator


def test_weights_that_are_not_finite():
    generator = make_tiny_generator()
    (attention,) = (layer for layer in get_network(generator).layers if layer.name.startswith("attention_"))
    attention.query.weights[0].assign(attention.query.weights[0] * float("nan"))
    with pytest.raises(UserError, match="^checkpoint: .*not finite"):
        make_attention_sheet(generator, SampleOptions(run_dir="run", mode="attention", output="a.png"))


def test_query_positions():
    assert parse_query_positions(["0.5:0.25", "0:1", ".5:1.0"]) == [(0.5, 0.25), (0.0, 1.0), (0.5, 1.0)]
    assert parse_query_positions([]) == []


@pytest.mark.parametrize("text", ["0.5", "0.5:", ":0.5", "1.1:0", "-0.1:0", "a:b", "0.5:0.5:0.5", "nan:0", "1e-1:0"])
def test_invalid_query_positions(text):
    with pytest.raises(UserError, match=f"^queries: .*{text!r}"):
        parse_query_positions(["0:0", text])
