"""Places as users write them. The mode's pictures and mistakes: test_session.py."""

from __future__ import annotations

import pytest

from sagan_tf.errors import UserError
from sagan_tf.samples.attention import parse_places


def test_places() -> None:
    assert parse_places(["0.5:0.25", "0:1", ".5:1.0"]) == [(0.5, 0.25), (0.0, 1.0), (0.5, 1.0)]
    assert parse_places([]) == []


@pytest.mark.parametrize("text", ["0.5", "0.5:", ":0.5", "1.1:0", "-0.1:0", "a:b", "0.5:0.5:0.5", "nan:0", "1e-1:0"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(
        UserError, match=r"^queries: expected places ROW:COLUMN from 0:0 to 1:1, such as 0\.5:0\.5, rec"
    ):
        parse_places(["0:0", text])
