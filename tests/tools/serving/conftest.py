"""Servers of a small model."""

from tests.serving.fixtures import double, interface, model, server, short_waits, small_model

__all__ = ["double", "interface", "model", "server", "short_waits", "small_model"]
