"""Classes read from a model card."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from sagan_tf.errors import UserError
from sagan_tf.serving.classes import Classes, read_classes


def write(path: pathlib.Path, card: Any) -> pathlib.Path:
    path.write_text(json.dumps(card), encoding="utf-8")
    return path


def test_classes_are_found_by_name_and_number(tmp_path: pathlib.Path) -> None:
    card = {"num_classes": 3, "class_names": ["Bag", "Äpfel", "Sandal"], "more": 1}
    classes = read_classes(write(tmp_path / "card.json", card))
    assert classes == Classes(3, ("Bag", "Äpfel", "Sandal"))
    assert classes.find_labels(["Sandal", "0"]) == [2, 0] and classes.find_labels([]) == [0, 1, 2]
    assert classes.get_name(1) == "Äpfel"
    with pytest.raises(UserError, match="did you mean Sandal"):
        classes.find_labels(["Sandle"])


def test_a_card_may_begin_with_a_byte_order_mark(tmp_path: pathlib.Path) -> None:
    (tmp_path / "card.json").write_text('{"class_names": ["tench, Tinca tinca"]}', encoding="utf-8-sig")
    assert read_classes(tmp_path / "card.json").find_labels(["Tench, tinca tinca"]) == [0]


def test_a_card_without_names(tmp_path: pathlib.Path) -> None:
    classes = read_classes(write(tmp_path / "card.json", {"num_classes": 2}))
    assert classes.find_labels([]) == [0, 1] and classes.get_name(1) == "1"
    assert read_classes(write(tmp_path / "card.json", {"num_classes": 0, "class_names": []})).find_labels([]) == [0]


def test_labels_without_a_card() -> None:
    assert Classes().find_labels(["7", "1"]) == [7, 1] and Classes().find_labels([]) == [0]
    for wrong in ("Bag", "-1"):
        with pytest.raises(UserError, match=f"labels: .*'{wrong}'.*--model_card"):
            Classes().find_labels(["0", wrong])


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "null", "\xff", "\xff\xfe", '{"class_names": null}'),
        *(f'{{"num_classes": {number}}}' for number in ('"ten"', "null", "Infinity", "-3")),
        *(f'{{"class_names": {names}}}' for names in ('["a"], "num_classes": 2', '"abc", "num_classes": 3', "1")),
    ],
)
def test_a_file_that_is_not_a_card_is_an_error(text: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="^model_card: .*card.json"):
        read_classes(path)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="model_card: .*card.json"):
        read_classes(tmp_path / "card.json")
