"""Tests that every public layer, block and network has a row in `cases.py`."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import keras

import sagan_tf.layers
import sagan_tf.networks
from tests.conformance.cases import CASES
from tests.conformance.test_conformance import ARGUMENTS

PACKAGES = (sagan_tf.layers, sagan_tf.networks)


def import_modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def is_subject(name: str, value: Any) -> bool:
    """Return whether a value is a layer with a `call` of its own or a function that builds a network."""
    if name.startswith("_"):
        return False
    if inspect.isclass(value):
        return issubclass(value, keras.layers.Layer) and getattr(value, "call", None) is not keras.layers.Layer.call
    return inspect.isfunction(value) and name.startswith("build_")


def find_subjects() -> set[Any]:
    return {
        value
        for package in PACKAGES
        for module in import_modules(package)
        for name, value in vars(module).items()
        if is_subject(name, value) and value.__module__ == module.__name__
    }


def test_everything_public_has_a_row() -> None:
    found = find_subjects()
    assert {sagan_tf.layers.SelfAttention2D, sagan_tf.networks.build_generator} <= found
    missing = found - {case.subject for case in CASES}
    assert not missing, f"no row in tests/conformance/cases.py: {sorted(subject.__name__ for subject in missing)}"


def test_rows_create_their_subject() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert set(ARGUMENTS) == {case.subject for case in CASES if inspect.isclass(case.subject)}
    for case in CASES:
        assert case.subject in find_subjects()
        if inspect.isclass(case.subject):
            assert type(case.create()) is case.subject
