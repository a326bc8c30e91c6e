"""Places as users write them. The mode's pictures and mistakes: test_session.py."""

from __future__ import annotations

import pytest

from sagan_tf.errors import UserError
from sagan_tf.sampling.attention import attention_picture, parse_places
from sagan_tf.sampling.options import SampleOptions
from tests.sampling.tiny_generator import tiny_generator


def test_weights_that_are_not_finite() -> None:
    """One clear line, and no picture of nothing."""
    generator = tiny_generator()
    (attention,) = (layer for layer in generator.network.layers if layer.name.startswith("attention_"))
    attention.query.weights[0].assign(attention.query.weights[0] * float("nan"))
    with pytest.raises(UserError, match="^checkpoint: expected finite weights for attention, received others"):
        attention_picture(generator, SampleOptions(run_dir="run", mode="attention", output="a.png"))


def test_places() -> None:
    assert parse_places(["0.5:0.25", "0:1", ".5:1.0"]) == [(0.5, 0.25), (0.0, 1.0), (0.5, 1.0)]
    assert parse_places([]) == []


@pytest.mark.parametrize("text", ["0.5", "0.5:", ":0.5", "1.1:0", "-0.1:0", "a:b", "0.5:0.5:0.5", "nan:0", "1e-1:0"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(
        UserError, match=r"^queries: expected places ROW:COLUMN from 0:0 to 1:1, such as 0\.5:0\.5, rec"
    ):
        parse_places(["0:0", text])
