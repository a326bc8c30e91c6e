"""Test of the list of charts."""

import re

import pytest

from sagan_tf.training.health.signs import SIGNS
from sagan_tf.visualization.charts import CHARTS


@pytest.mark.parametrize("name", SIGNS)
def test_the_scalar_of_each_sign_is_drawn(name: str) -> None:
    drawn = [curve for curves in CHARTS["Health"].values() for curve in curves]
    assert any(re.fullmatch(curve, SIGNS[name].scalar) for curve in drawn)
