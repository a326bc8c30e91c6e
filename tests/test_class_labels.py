"""Class names are checked, found by index or by name, and matched between data sets."""

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


def test_valid_class_names():
    check_class_names(["a", "n01443537", "Ankle boot", "a/b", "..", "猫\u3000", "\udce9", "x" * MAX_CLASS_NAME_LENGTH])


def test_rejects_equal_class_names():
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
def test_rejects_invalid_class_names(name, shown):
    with pytest.raises(UserError) as caught:
        check_class_names(["a", name])
    assert str(caught.value).startswith("data: ") and f"received {shown};" in str(caught.value)


NAMES = ("Trouser", "Bag", "Ankle boot", "Sandal")


def message(wanted: list[str], num_classes: int, class_names: tuple[str, ...] = ()) -> str:
    """Return the error about the last of the requested classes, which names the option and the value."""
    with pytest.raises(UserError, match=f"^labels: .*received {wanted[-1]!r}") as caught:
        find_labels(wanted, num_classes, class_names)
    return str(caught.value)


def test_empty_list_means_every_class():
    assert find_labels([], 4, NAMES) == [0, 1, 2, 3]
    assert find_labels([], 3, ()) == [0, 1, 2]
    assert find_labels([], 0, ()) == [0]


def test_names_and_indices_in_the_requested_order():
    assert find_labels(["Sandal", "1", "bag", "ANKLE BOOT", "0"], 4, NAMES) == [3, 1, 1, 2, 0]
    assert find_labels(["2", "0"], 3, ()) == [2, 0]


def test_name_takes_precedence_over_index():
    assert find_labels(["2", "1"], 3, ("2", "1", "0")) == [0, 1]
    assert find_labels(["2"], 3, ("7", "8", "9")) == [2]


def test_case_matters_only_between_names_that_differ_by_case():
    names = ("bat", "Bat", "owl")
    assert find_labels(["bat", "Bat", "OWL"], 3, names) == [0, 1, 2]
    assert message(["BAT"], 3, names)


def test_unknown_name_gets_a_suggestion():
    assert message(["Sandle"], 4, NAMES).endswith(" Sandal?")
    assert message(["xyz"], 4, NAMES).endswith(" 'Trouser,Bag,Ankle boot,Sandal'")
    assert message(["xyz"], 6, tuple("abcdef")).endswith(" a,b,c,d,e ...")


def test_the_unicode_form_of_a_name_does_not_matter():
    composed, decomposed = "Caf\u00e9", "Cafe\u0301"
    assert find_labels([composed, decomposed, "CAFE\u0301"], 2, ("bar", decomposed)) == [1, 1, 1]
    assert find_labels([composed, decomposed], 2, (decomposed, composed)) == [1, 0]


def test_suggested_name_with_a_comma_can_be_pasted_into_a_shell():
    names = ("goldfish", "tench, Tinca tinca", "great white shark, white shark")
    (suggested,) = re.findall("did you mean (.*)[?]", message(["white shark"], 3, names))
    (argument,) = shlex.split(f"--labels={suggested}")
    assert OptionText(tuple[str, ...]).parse(argument.removeprefix("--labels=")) == (names[2],)
    (listed,) = re.findall("the classes are (.*)", message(["xyzxyz"], 3, names))
    assert find_labels(OptionText(tuple[str, ...]).parse(*shlex.split(listed)), 3, names) == [0, 1, 2]


def test_index_out_of_range():
    for text, names in (("4", NAMES), ("-1", NAMES), ("4", ()), ("-1", ()), ("Bag", ())):
        assert "0 to 3" in message([text], 4, names)
    assert message(["0"], 0)


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
def test_finds_class_indices(names, known, expected):
    numbers = find_class_indices("intra_fid", names, known, "the reference")
    assert numbers.dtype == np.int32
    np.testing.assert_array_equal(numbers, expected)


@pytest.mark.parametrize(("names", "known", "owner"), [((), ANIMALS, "images"), (ANIMALS, (), "the reference")])
def test_classes_of_images_or_owner_missing(names, known, owner):
    with pytest.raises(UserError, match=f"^metrics: intra_fid .*{owner} "):
        find_class_indices("intra_fid", names, known, "the reference")


@pytest.mark.parametrize(
    ("names", "received"), [(("cat", "cow"), "cow"), (("cat", "Dog"), "Dog"), (("0", "cat"), "0"), (("0", "5"), "5")]
)
def test_unknown_class(names, received):
    with pytest.raises(UserError, match=rf"^metrics: label_agreement .*extractor e .* '{received}'$"):
        find_class_indices("label_agreement", names, ANIMALS, "extractor e")


def test_classes_without_images():
    check_every_class_has_images("intra_fid", np.array([4, 0, 2, 1, 3]), ANIMALS)
    for numbers, missing in (
        ([0, 2, 3, 4], "dog .1 of 5"),
        ([1], "cat,eel,fox .*4 of 5"),
        ([], "cat,dog,eel .*5 of 5"),
    ):
        with pytest.raises(UserError, match=f"^images: .* fid, .* {missing}"):
            check_every_class_has_images("fid", np.array(numbers, np.int32), ANIMALS)


def test_has_index_names():
    assert has_index_names(("0", "1"), ANIMALS) and has_index_names(("0", "2"), ("1", "0"))
    assert not has_index_names(("0", "one"), ANIMALS) and not has_index_names(("1.5",), ANIMALS)
    assert not has_index_names(("0", "1"), ("1", "0"))


def test_two_directories_for_one_class_index():
    with pytest.raises(UserError, match="^images: .* class 0$"):
        find_class_indices("intra_fid", ("0", "00", "1"), ("a", "b"), "the reference")
