"""Modules of commands that are also functions of the Python interface."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


class _CallableModule(types.ModuleType):
    """A module that is called like the function of `sagan_tf.api` with its name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        package, _, name = self.__name__.rpartition(".")
        return getattr(importlib.import_module(f"{package}.api"), name)(*args, **kwargs)


def make_callable(name: str) -> None:
    """Let a module be called like the function of `sagan_tf.api` that has its name.

    `python -m sagan_tf.train` runs the module, and `sagan_tf.train(config)` trains. An import of the module sets the
    attribute `sagan_tf.train` to it, whatever the attribute was before, so that the two have to be one object.

    Args:
        name: The name of the module, as `__name__`. `__main__` is left alone.
    """
    if name != "__main__":
        sys.modules[name].__class__ = _CallableModule
