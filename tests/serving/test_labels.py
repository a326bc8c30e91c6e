"""Classes by number and by name."""

from __future__ import annotations

import re
import shlex

import pytest

from sagan_tf.errors import UserError
from sagan_tf.option_text import OptionText
from sagan_tf.serving.labels import find_labels

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
