"""Class names are checked, found by index or by name, and matched between data sets."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pytest

from sagan_tf.class_labels import (
    MAX_CLASS_NAME_LENGTH,
    check_class_names,
    check_every_class_has_images,
    find_class_indices,
    find_labels,
    has_index_names,
)
from sagan_tf.config.option_text import OptionText
from sagan_tf.errors import UserError


def test_valid_class_names() -> None:
    check_class_names(["a", "n01443537", "Ankle boot", "a/b", "..", "猫\u3000", "\udce9", "x" * MAX_CLASS_NAME_LENGTH])


def test_rejects_equal_class_names() -> None:
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
        ("x" * 10**6, f"'{'x' * MAX_CLASS_NAME_LENGTH}'"),
    ],
)
def test_rejects_invalid_class_names(name: str, shown: str) -> None:
    with pytest.raises(UserError) as caught:
        check_class_names(["a", name])
    assert str(caught.value).startswith("data: ") and f"received {shown};" in str(caught.value)


NAMES = ("Trouser", "Bag", "Ankle boot", "Sandal")


def message(wanted: list[str], num_classes: int, class_names: tuple[str, ...] = ()) -> str:
    with pytest.raises(UserError) as caught:
        find_labels(wanted, num_classes, class_names)
    return str(caught.value)


def test_empty_list_means_every_class() -> None:
    assert find_labels([], 4, NAMES) == [0, 1, 2, 3]
    assert find_labels([], 3, ()) == [0, 1, 2]
    assert find_labels([], 0, ()) == [0]


def test_names_and_indices_in_the_requested_order() -> None:
    assert find_labels(["Sandal", "1", "bag", "ANKLE BOOT", "0"], 4, NAMES) == [3, 1, 1, 2, 0]
    assert find_labels(["2", "0"], 3, ()) == [2, 0]


def test_name_takes_precedence_over_index() -> None:
    assert find_labels(["2", "1"], 3, ("2", "1", "0")) == [0, 1]
    assert find_labels(["2"], 3, ("7", "8", "9")) == [2]


def test_case_matters_only_between_names_that_differ_by_case() -> None:
    names = ("bat", "Bat", "owl")
    assert find_labels(["bat", "Bat", "OWL"], 3, names) == [0, 1, 2]
    assert message(["BAT"], 3, names).startswith("labels: expected a class by name or a number below 3, received 'BAT'")


def test_unknown_name_gets_a_suggestion() -> None:
    start = "labels: expected a class by name or a number below 4, received "
    assert message(["Sandle"], 4, NAMES) == f"{start}'Sandle'; did you mean Sandal?"
    assert message(["ankleboot"], 4, NAMES) == f"{start}'ankleboot'; did you mean 'Ankle boot'?"
    assert message(["xyz"], 4, NAMES) == f"{start}'xyz'; the classes are 'Trouser,Bag,Ankle boot,Sandal'"
    many = tuple(f"kind {letter}" for letter in "abcdef")
    assert message(["xyz"], 6, many).endswith("the classes are 'kind a,kind b,kind c,kind d,kind e' ...")


def test_the_unicode_form_of_a_name_does_not_matter() -> None:
    composed, decomposed = "Caf\u00e9", "Cafe\u0301"
    assert find_labels([composed, decomposed, "CAFE\u0301"], 2, ("bar", decomposed)) == [1, 1, 1]
    assert find_labels([composed, decomposed], 2, (decomposed, composed)) == [1, 0]


def test_suggested_name_with_a_comma_can_be_pasted_into_a_shell() -> None:
    names = ("goldfish", "tench, Tinca tinca", "great white shark, white shark")
    (suggested,) = re.findall("did you mean (.*)[?]", message(["white shark"], 3, names))
    (argument,) = shlex.split(f"--labels={suggested}")
    assert OptionText(tuple[str, ...]).parse(argument.removeprefix("--labels=")) == (names[2],)
    (listed,) = re.findall("the classes are (.*)", message(["xyzxyz"], 3, names))
    assert find_labels(OptionText(tuple[str, ...]).parse(*shlex.split(listed)), 3, names) == [0, 1, 2]


@pytest.mark.parametrize(("text", "names"), [("4", NAMES), ("-1", NAMES), ("4", ()), ("-1", ()), ("Bag", ())])
def test_index_out_of_range(text: str, names: tuple[str, ...]) -> None:
    assert message([text], 4, names) == f"labels: expected classes from 0 to 3, received {text!r}"


def test_a_generator_without_classes() -> None:
    assert message(["0"], 0).startswith("labels: ") and message(["0"], 0).endswith("received '0'")


ANIMALS = ("cat", "dog", "eel", "fox", "gnu")


@pytest.mark.parametrize(
    ("names", "known", "expected"),
    [
        (ANIMALS, ANIMALS, [0, 1, 2, 3, 4]),
        (("fox", "cat", "gnu"), ANIMALS, [3, 0, 4]),
        (("4", "0", "03"), ANIMALS, [4, 0, 3]),
        # macOS and Linux may write a name in different Unicode forms.
        (("cafe\u0301", "bar"), ("bar", "caf\u00e9"), [1, 0]),
        (("caf\u00e9", "bar"), ("bar", "cafe\u0301"), [1, 0]),
        # Known names that are numbers are names, not indices: class "9" is not the tenth class.
        (("7", "9"), ("9", "8", "7"), [2, 0]),
        # Names of directories are sorted as text.
        (("0", "1", "10", "2"), tuple(f"class {number}" for number in range(11)), [0, 1, 10, 2]),
    ],
)
def test_finds_class_indices(names: tuple[str, ...], known: tuple[str, ...], expected: list[int]) -> None:
    numbers = find_class_indices("intra_fid", names, known, "the reference")
    assert numbers.dtype == np.int32
    np.testing.assert_array_equal(numbers, expected)


@pytest.mark.parametrize(
    ("names", "known", "problem"),
    [
        ((), ANIMALS, "the images have no labels"),
        ((), (), "the images have no labels"),
        (ANIMALS, (), "the reference has no class names"),
    ],
)
def test_classes_of_images_or_owner_missing(names: tuple[str, ...], known: tuple[str, ...], problem: str) -> None:
    with pytest.raises(UserError, match=f"^metrics: intra_fid .*{problem}$"):
        find_class_indices("intra_fid", names, known, "the reference")


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
def test_unknown_class(names: tuple[str, ...], known: tuple[str, ...], expected: str, received: str) -> None:
    with pytest.raises(
        UserError, match=rf"^metrics: label_agreement .*extractor e \({expected}\), received {received}$"
    ):
        find_class_indices("label_agreement", names, known, "extractor e")


def test_every_class_has_images() -> None:
    check_every_class_has_images("intra_fid", np.array([4, 0, 2, 1, 3]), ANIMALS)


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([0, 2, 3, 4], r"dog \(1 of 5 classes\)"),
        ([1], r"cat,eel,fox \.\.\. \(4 of 5 classes\)"),
        ([], r"cat,dog,eel \.\.\. \(5 of 5 classes\)"),
    ],
)
def test_classes_without_images(numbers: list[int], missing: str) -> None:
    with pytest.raises(UserError, match=f"^images: .* fid, received none of {missing}$"):
        check_every_class_has_images("fid", np.array(numbers, np.int32), ANIMALS)


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
def test_has_index_names(names: tuple[str, ...], known: tuple[str, ...], expected: bool) -> None:
    assert has_index_names(names, known) is expected


def test_two_directories_for_one_class_index() -> None:
    with pytest.raises(UserError, match="^images: .* class 0$"):
        find_class_indices("intra_fid", ("0", "00", "1"), ("a", "b"), "the reference")
