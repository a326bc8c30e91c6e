"""Tests of the mapping of classes."""

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.training.fine_tuning.class_mapping import map_classes

OLD = ("bird", "cat", "a:b")


@pytest.mark.parametrize(
    ("new", "old", "count", "class_map", "rows"),
    [
        (("cat", "bird"), OLD, 3, (), (1, 0)),
        (("cat", "fox", "bird"), OLD, 3, (), (1, None, 0)),  # equally many classes, but with names
        (("fox", "cat"), OLD, 3, ("bird:fox", "bird:cat"), (0, 0)),  # a pair precedes an equal name
        (("fox", "cat"), OLD, 3, ("2:0",), (2, 1)),
        (("c:d", "cat"), OLD, 3, ("a:b:c:d",), (2, 1)),
        (("caf\u00e9",), ("cafe\u0301",), 1, (), (0,)),  # NFC and NFD
        (("fox", "elk"), (), 2, (), (0, 1)),
        (("0", "1", "2"), OLD, 3, (), (0, 1, 2)),  # names that are numbers are not known
        (("fox", "cat", "elk"), ("0", "1", "2"), 3, (), (0, 1, 2)),
        (("fox", "cat"), ("0", "1", "2"), 3, (), (None, None)),
        (("0", "1"), OLD, 3, ("cat:1",), (None, 1)),
        (("2", "1"), ("0", "1", "2"), 3, (), (2, 1)),  # all are names of the source
        (("0", "1", "2"), ("0", "1"), 2, (), (0, 1, None)),
        (tuple(sorted(map(str, range(11)))), tuple("abcdefghijk"), 11, (), (0, 1, 10, *range(2, 10))),
        (("1", "0"), ("fox", "elk"), 2, (), (1, 0)),
        (("fox", "elk"), (), 2, ("1:fox",), (1, 1)),
        (("fox", "elk"), (), 3, (), (None, None)),
        (("fox", "elk"), (), 3, ("2:elk",), (None, 2)),
        (("fox", "elk"), (), 0, (), (None, None)),
        ((), OLD, 3, (), (None,)),
    ],
)
def test_rows_of_the_source(new, old, count, class_map, rows):
    mapping = map_classes(new, old, count, class_map)
    assert mapping.rows == rows and len(mapping.methods) == len(rows)
    without = "no source" if count else "source without classes"
    assert [method == without for method in mapping.methods] == [row is None for row in rows]


@pytest.mark.parametrize(
    ("class_map", "named"),
    [(("cta:fox",), "'cta'.*cat"), (("cat:fx",), "NEW.*'fx'.*fox"), (("cat",), "OLD:NEW.*'cat'"), ((":fox",), "''"),
     (("3:fox",), "'3'"), (("bird:fox", "cat:fox"), "'fox'")],
)  # fmt: skip
def test_pairs_that_cannot_be_used(class_map, named):
    with pytest.raises(UserError, match=f"^class_map.*{named}"):
        map_classes(("fox", "elk"), OLD, 3, class_map)


def test_a_source_without_classes_has_no_pairs():
    with pytest.raises(UserError, match="^class_map.*init_from.*'cat:fox'"):
        map_classes(("fox",), (), 0, ("cat:fox",))


def test_a_pair_with_several_meanings_is_refused():
    old, new = ("a", "a:b"), ("b:c", "c")
    with pytest.raises(UserError, match="^class_map.*'a:b:c'.*'a' to 'b:c' and 'a:b' to 'c'"):
        map_classes(new, old, 2, ("a:b:c",))
    assert map_classes(new, old, 2, ("1:1",)).rows == (None, 1)


def test_rows_of_a_table_along_any_axis():
    table = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    mapping = map_classes(("cat", "fox"), OLD, 3)
    expected = [table[1], sum(table[row].astype(np.float64) for row in range(3)) / 3]
    for axis, value in ((0, table), (1, table.T)):
        result = mapping.apply(value, axis)
        assert result.dtype == np.float32
        np.testing.assert_array_equal(np.moveaxis(result, axis, 0)[0], table[1])
        np.testing.assert_allclose(np.moveaxis(result, axis, 0), expected, rtol=1e-6)
