"""Class names are checked, found by number or by name, and matched between data sets."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pytest

from sagan_tf.class_labels import (
    LONGEST_CLASS_NAME,
    check_all_classes,
    check_class_names,
    class_numbers,
    find_labels,
    stand_for_numbers,
)
from sagan_tf.config.option_text import OptionText
from sagan_tf.errors import UserError


def test_names_of_classes() -> None:
    check_class_names(["a", "n01443537", "Ankle boot", "a/b", "..", "猫\u3000", "\udce9", "x" * LONGEST_CLASS_NAME])


def test_classes_with_one_name_are_named_in_an_error() -> None:
    with pytest.raises(UserError, match=r"'caf\\xe9' and 'cafe\\u0301'"):
        check_class_names(["bar", "caf\u00e9", "cafe\u0301"])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", "''"),
        ("a\nb", r"'a\\nb'"),
        ("a\0", r"'a\\x00'"),
        ("\x1b[2J", r"'\\x1b[2J'"),
        ("a\u2028b", r"'a\\u2028b'"),
        ("x" * 10**6, f"'{'x' * LONGEST_CLASS_NAME}'"),
    ],
)
def test_what_can_be_no_class(name: str, shown: str) -> None:
    with pytest.raises(UserError) as caught:
        check_class_names(["a", name])
    assert str(caught.value) == (
        f"data: expected class names of 1 to 255 letters without control characters, received {shown}; rename the class"
    )


NAMES = ("Trouser", "Bag", "Ankle boot", "Sandal")


def message(wanted: list[str], num_classes: int, class_names: tuple[str, ...] = ()) -> str:
    with pytest.raises(UserError) as caught:
        find_labels(wanted, num_classes, class_names)
    return str(caught.value)


def test_none_wanted_is_every_class() -> None:
    assert find_labels([], 4, NAMES) == [0, 1, 2, 3]
    assert find_labels([], 3, ()) == [0, 1, 2]
    assert find_labels([], 0, ()) == [0]


def test_names_and_numbers_in_the_order_asked_for() -> None:
    assert find_labels(["Sandal", "1", "bag", "ANKLE BOOT", "0"], 4, NAMES) == [3, 1, 1, 2, 0]
    assert find_labels(["2", "0"], 3, ()) == [2, 0]


def test_a_name_comes_before_a_number() -> None:
    assert find_labels(["2", "1"], 3, ("2", "1", "0")) == [0, 1]
    assert find_labels(["2"], 3, ("7", "8", "9")) == [2]


def test_case_matters_where_it_has_to() -> None:
    names = ("bat", "Bat", "owl")
    assert find_labels(["bat", "Bat", "OWL"], 3, names) == [0, 1, 2]
    assert message(["BAT"], 3, names).startswith("labels: expected a class by name or a number below 3, received 'BAT'")


def test_a_class_that_is_not_there() -> None:
    start = "labels: expected a class by name or a number below 4, received "
    assert message(["Sandle"], 4, NAMES) == f"{start}'Sandle'; did you mean Sandal?"
    assert message(["ankleboot"], 4, NAMES) == f"{start}'ankleboot'; did you mean 'Ankle boot'?"
    assert message(["xyz"], 4, NAMES) == f"{start}'xyz'; there are 'Trouser,Bag,Ankle boot,Sandal'"
    many = tuple(f"kind {letter}" for letter in "abcdef")
    assert message(["xyz"], 6, many).endswith("there are 'kind a,kind b,kind c,kind d,kind e' ...")


def test_the_unicode_form_of_a_name_does_not_matter() -> None:
    composed, decomposed = "Caf\u00e9", "Cafe\u0301"
    assert find_labels([composed, decomposed, "CAFE\u0301"], 2, ("bar", decomposed)) == [1, 1, 1]
    assert find_labels([composed, decomposed], 2, (decomposed, composed)) == [1, 0]


def test_a_name_with_a_comma_is_suggested_as_a_shell_takes_it() -> None:
    names = ("goldfish", "tench, Tinca tinca", "great white shark, white shark")
    (suggested,) = re.findall("did you mean (.*)[?]", message(["white shark"], 3, names))
    (argument,) = shlex.split(f"--labels={suggested}")
    assert OptionText(tuple[str, ...]).parse(argument.removeprefix("--labels=")) == (names[2],)
    (listed,) = re.findall("there are (.*)", message(["xyzxyz"], 3, names))
    assert find_labels(OptionText(tuple[str, ...]).parse(*shlex.split(listed)), 3, names) == [0, 1, 2]


@pytest.mark.parametrize(("text", "names"), [("4", NAMES), ("-1", NAMES), ("4", ()), ("-1", ()), ("Bag", ())])
def test_a_number_that_is_not_there(text: str, names: tuple[str, ...]) -> None:
    assert message([text], 4, names) == f"labels: expected classes from 0 to 3, received {text!r}"


def test_a_generator_without_classes() -> None:
    assert message(["0"], 0) == "labels: expected none, since the generator has no classes, received '0'"


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
