"""Fixtures of the tests of layers."""

import pytest

from sagan_tf.layers import accelerators


@pytest.fixture
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make choices that depend on an accelerator independent of the machine that runs the tests."""
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: False)
