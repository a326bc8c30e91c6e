"""Labels are brought to those of whoever compares by the classes' names, or by names that are numbers."""

from __future__ import annotations

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.evaluation.class_numbers import check_all_classes, class_numbers, stand_for_numbers

ANIMALS = ("cat", "dog", "eel", "fox", "gnu")


@pytest.mark.parametrize(
    ("names", "known", "expected"),
    [
        (ANIMALS, ANIMALS, [0, 1, 2, 3, 4]),
        (("fox", "cat", "gnu"), ANIMALS, [3, 0, 4]),
        (("4", "0", "03"), ANIMALS, [4, 0, 3]),
        # macOS and Linux may write a name in two Unicode forms.
        (("cafe\u0301", "bar"), ("bar", "caf\u00e9"), [1, 0]),
        (("caf\u00e9", "bar"), ("bar", "cafe\u0301"), [1, 0]),
        # Known names that are numbers themselves are names: class "9" is not the tenth.
        (("7", "9"), ("9", "8", "7"), [2, 0]),
        # Names of folders are sorted as text.
        (("0", "1", "10", "2"), tuple(f"class {number}" for number in range(11)), [0, 1, 10, 2]),
    ],
)
def test_numbers_of_names(names: tuple[str, ...], known: tuple[str, ...], expected: list[int]) -> None:
    numbers = class_numbers("intra_fid", names, known, "the reference")
    assert numbers.dtype == np.int32
    np.testing.assert_array_equal(numbers, expected)


@pytest.mark.parametrize(
    ("names", "known", "received"),
    [
        ((), ANIMALS, "images without labels"),
        ((), (), "images without labels"),
        (ANIMALS, (), "the reference without known classes"),
    ],
)
def test_classes_on_one_side_only(names: tuple[str, ...], known: tuple[str, ...], received: str) -> None:
    expected = f"^metrics: expected classes that images and the reference share for intra_fid, received {received}$"
    with pytest.raises(UserError, match=expected):
        class_numbers("intra_fid", names, known, "the reference")


@pytest.mark.parametrize(
    ("names", "known", "expected", "received"),
    [
        (("cat", "cow", "ape"), ANIMALS, "cat,dog,eel ...", "'cow'"),
        (("cat", "Dog"), ANIMALS[:3], "cat,dog,eel", "'Dog'"),
        (("0", "cat"), ANIMALS[:2], "cat,dog", "'0'"),
        (("0", "5"), ANIMALS, "0,1,2 ...", "'5'"),
        (("-1", "0"), ANIMALS[:2], "cat,dog", "'-1'"),
    ],
)
def test_a_class_that_is_not_known(
    names: tuple[str, ...], known: tuple[str, ...], expected: str, received: str
) -> None:
    whole = rf"^metrics: expected the classes of extractor e \({expected}\) for label_agreement, received {received}$"
    with pytest.raises(UserError, match=whole):
        class_numbers("label_agreement", names, known, "extractor e")


def test_all_classes_are_there() -> None:
    check_all_classes("intra_fid", np.array([4, 0, 2, 1, 3]), ANIMALS)


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([0, 2, 3, 4], r"dog \(1 of 5 classes\)"),
        ([1], r"cat,eel,fox \.\.\. \(4 of 5 classes\)"),
        ([], r"cat,dog,eel \.\.\. \(5 of 5 classes\)"),
    ],
)
def test_classes_without_images(numbers: list[int], missing: str) -> None:
    with pytest.raises(
        UserError, match=f"^images: expected images of every class for fid, received none of {missing}$"
    ):
        check_all_classes("fid", np.array(numbers, np.int32), ANIMALS)


@pytest.mark.parametrize(
    ("names", "known", "expected"),
    [
        (("0", "1"), ANIMALS, True),
        (("0", "one"), ANIMALS, False),
        (("0", "1"), ("1", "0"), False),
        (("0", "2"), ("1", "0"), True),
        (("1.5",), ANIMALS, False),
    ],
)
def test_which_names_stand_for_numbers(names: tuple[str, ...], known: tuple[str, ...], expected: bool) -> None:
    assert stand_for_numbers(names, known) is expected


def test_two_folders_that_stand_for_one_class() -> None:
    with pytest.raises(
        UserError, match=r"^images: expected one folder for each class, received several that stand for 0$"
    ):
        class_numbers("intra_fid", ("0", "00", "1"), ("a", "b"), "the reference")
