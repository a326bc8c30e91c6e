"""Classes from a model card."""

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


def test_names_and_numbers(tmp_path: pathlib.Path) -> None:
    card = {"num_classes": 3, "class_names": ["Bag", "Äpfel", "Sandal"], "more": 1}
    classes = read_classes(write(tmp_path / "card.json", card))
    assert classes == Classes(3, ("Bag", "Äpfel", "Sandal"))
    assert classes.labels(["Sandal", "0"]) == [2, 0] and classes.labels([]) == [0, 1, 2]
    assert classes.name(1) == "Äpfel"
    with pytest.raises(UserError, match="did you mean Sandal"):
        classes.labels(["Sandle"])


def test_a_card_may_begin_with_a_byte_order_mark(tmp_path: pathlib.Path) -> None:
    (tmp_path / "card.json").write_text('{"class_names": ["tench, Tinca tinca"]}', encoding="utf-8-sig")
    assert read_classes(tmp_path / "card.json").labels(["Tench, tinca tinca"]) == [0]


def test_without_names(tmp_path: pathlib.Path) -> None:
    classes = read_classes(write(tmp_path / "card.json", {"num_classes": 2}))
    assert classes.labels([]) == [0, 1] and classes.name(1) == "1"
    assert read_classes(write(tmp_path / "card.json", {"num_classes": 0, "class_names": []})).labels([]) == [0]


def test_without_a_card() -> None:
    assert Classes().labels(["7", "1"]) == [7, 1] and Classes().labels([]) == [0]
    for wrong in ("Bag", "-1"):
        with pytest.raises(UserError, match=f"labels: expected numbers, received '{wrong}'; a model card"):
            Classes().labels(["0", wrong])


@pytest.mark.parametrize(
    "card",
    [[], {"num_classes": "many"}, {"num_classes": 3, "class_names": ["a"]}, {"num_classes": 1, "class_names": 1}],
)
def test_another_file(tmp_path: pathlib.Path, card: Any) -> None:
    with pytest.raises(UserError, match="model_card: expected a card with class_names and num_classes in"):
        read_classes(write(tmp_path / "card.json", card))


def test_no_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="model_card: expected a card .*No such file"):
        read_classes(tmp_path / "card.json")
    (tmp_path / "card.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="model_card: expected a card"):
        read_classes(tmp_path / "card.json")
