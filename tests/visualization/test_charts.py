"""Tests of the list of charts."""

import re

import pytest

from sagan_tf.training.health.signs import SIGNS
from sagan_tf.visualization.charts import CHARTS

MAX_TITLE_LENGTH = 59
"""Characters of 7 pixels in the title of a chart of the report, which is one line."""


def test_titles_fit_in_one_line() -> None:
    assert [title for charts in CHARTS.values() for title in charts if len(title) > MAX_TITLE_LENGTH] == []


@pytest.mark.parametrize("name", SIGNS)
def test_the_scalar_of_each_sign_is_drawn(name: str) -> None:
    drawn = [curve for curves in CHARTS["Health"].values() for curve in curves]
    assert any(re.fullmatch(curve, SIGNS[name].scalar) for curve in drawn)
