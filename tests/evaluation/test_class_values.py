"""The table of classes that an evaluation logs."""

from typing import Any

from sagan_tf.evaluation.class_values import format_class_table


def make_table(num_classes: int) -> dict[str, list[Any]]:
    recalls = [index / 100 if index else None for index in range(num_classes)]
    return {
        "name": [f"class_{index}" for index in range(num_classes)],
        "class_agreement/agreement": [1.0] * num_classes,
        "class_precision_recall/recall": recalls,
        "class_precision_recall/images": list(range(num_classes)),
    }


def test_every_class_is_a_line_and_the_worst_are_marked() -> None:
    lines = format_class_table(make_table(3), {"class_agreement": "class_1", "class_precision_recall": "class_1"})
    cells = [line.split() for line in lines]
    assert cells[0] == ["class", "agreement", "recall", "images"]
    assert cells[1] == ["class_0", "1.0000", "-", "0"]
    assert cells[2][:4] == ["class_1", "1.0000", "0.0100", "1"]
    assert "class_agreement, class_precision_recall" in lines[2] and "worst" not in lines[1] + lines[3]
    assert len({len(line) for line in (lines[0], lines[1], lines[3])}) == 1  # the columns are aligned


def test_columns_with_the_same_name_are_told_apart_by_the_metric() -> None:
    table = make_table(2) | {"class_precision_recall1k/recall": [0.5, 0.5]}
    heading = format_class_table(table, {})[0].split()
    assert heading[2::2] == ["class_precision_recall/recall", "class_precision_recall1k/recall"]


def test_of_many_classes_the_first_and_the_worst_are_shown() -> None:
    lines = format_class_table(make_table(50), {"class_precision_recall": "class_40"})
    assert len(lines) == 1 + 20 + 1 + 1 and lines[-2].startswith("class_40 ") and "29 more" in lines[-1]


def test_a_single_value_of_each_class_needs_no_table() -> None:
    table = make_table(3)
    del table["class_precision_recall/recall"]
    assert format_class_table(table, {"class_agreement": "class_1"}) == format_class_table({}, {}) == []
