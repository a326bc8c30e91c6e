"""Tests of the checks of a configuration."""

import types
from typing import Any

import pytest

from sagan_tf.errors import UserError
from sagan_tf.training.validation import check_config, resolve_classes
from tests.training.tiny import tiny_config


def fake_source(*class_names: str) -> Any:
    return types.SimpleNamespace(name="images", class_names=class_names)


def test_classes_come_from_the_data():
    assert resolve_classes(tiny_config(num_classes=0), fake_source("a", "b")).model.num_classes == 2
    assert resolve_classes(tiny_config(num_classes=2), fake_source("a", "b")).model.num_classes == 2
    unconditional = tiny_config(num_classes=0, conditioning="none")
    assert resolve_classes(unconditional, fake_source("a", "b")).model.num_classes == 0
    assert resolve_classes(unconditional, fake_source()).model.num_classes == 0


def test_labels_that_do_not_fit_are_rejected():
    with pytest.raises(UserError, match="num_classes.* 2 .* 3"):
        resolve_classes(tiny_config(num_classes=3), fake_source("a", "b"))
    with pytest.raises(UserError, match="conditioning.*projection"):
        resolve_classes(tiny_config(num_classes=0), fake_source())


def test_a_class_margin_needs_two_classes():
    config = tiny_config(num_classes=0, class_margin_weight=0.5)
    assert resolve_classes(config, fake_source("a", "b")).model.num_classes == 2
    with pytest.raises(UserError, match="class_margin_weight.*found 1"):
        resolve_classes(config, fake_source("a"))


def test_unknown_names_are_rejected():
    with pytest.raises(UserError, match="loss.*'hinges'"):
        check_config(tiny_config(loss="hinges"))
    for augment in (("color", "blur"), ("flip", "color", "flip")):
        with pytest.raises(UserError, match=f"augment.*'{','.join(augment)}'"):
            check_config(tiny_config(augment=augment))
    with pytest.raises(UserError, match="architecture.*'biggan'"):
        check_config(tiny_config(architecture="biggan"))
