"""`tools.preparation.emoji_subjects` on codes of emoji."""

from __future__ import annotations

import itertools

import pytest

from tools.preparation.emoji_subjects import _EQUIVALENT_CODES, find_subject, join_subjects


@pytest.mark.parametrize(
    ("codes", "subject"),
    [
        ("1F3C3-200D-2640-FE0F-200D-27A1-FE0F", "1F3C3"),
        ("1F469-200D-1F692", "1F9D1-1F692"),
        ("1F474", "1F9D1"),
        ("1F1E8-1F1E6", "1F1E8-1F1E6"),
        ("0023-FE0F-20E3", "0023-20E3"),
        # Signs of a gender and of a direction are subjects of their own without a joiner.
        ("2640-FE0F", "2640"),
        ("2642-FE0F", "2642"),
        ("26A7-FE0F", "26A7"),
    ],
)
def test_subjects_have_no_gender_age_group_and_direction(codes: str, subject: str) -> None:
    assert find_subject(codes) == subject


@pytest.mark.parametrize(
    "one_subject",
    [
        ("1F9D1", "1F476", "1F468", "1F467"),
        ("1F9D1-200D-1F91D-200D-1F9D1", "1F46B", "1F46C", "1F46D"),
        ("1F48F", "1F469-200D-2764-FE0F-200D-1F48B-200D-1F468", "1F9D1-200D-2764-FE0F-200D-1F48B-200D-1F9D1"),
        ("1F491", "1F468-200D-2764-FE0F-200D-1F468"),
        ("1F46A", "1F468-200D-1F469-200D-1F467", "1F9D1-200D-1F9D1-200D-1F9D2"),
        ("1F385", "1F936", "1F9D1-200D-1F384"),
        ("1F470", "1F470-200D-2642-FE0F", "1F935-200D-2640-FE0F"),
        ("27A1-FE0F", "2B05-FE0F", "2196-FE0F"),
        ("1F91B", "1F91C"),
        ("1F550", "1F559", "1F567"),
    ],
)
def test_equivalent_codes_show_one_subject(one_subject: tuple[str, ...]) -> None:
    assert len(set(map(find_subject, one_subject))) == 1


def test_each_code_has_one_line_and_is_written_as_a_subject() -> None:
    lines = [line.split() for line in _EQUIVALENT_CODES]
    codes = list(itertools.chain(*lines))
    assert len(set(codes)) == len(codes)
    assert all(
        find_subject(code.replace("-", "-200D-")) == line[0] for line in lines for code in line if "1F1" not in code
    )
    assert len({find_subject(line[0]) for line in lines}) == len(lines)


def test_subjects_with_equal_images_are_joined() -> None:
    contents = [("a", b"1"), ("b", b"2"), ("c", b"2"), ("d", b"3"), ("a", b"4"), ("e", b"5"), ("c", b"1"), ("e", b"3")]
    assert join_subjects(contents) == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d"}
    assert join_subjects([]) == {}
