"""Tests of the log on standard output."""

import logging

import absl.logging
import pytest

from sagan_tf.log import show_log


def remove_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the handlers that pytest and commands that ran before have left."""
    for name in (None, "sagan_tf"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
    monkeypatch.setattr(logging.getLogger("sagan_tf"), "propagate", True)


def test_the_log_is_shown_again_after_a_message_of_absl(capsys, monkeypatch):
    remove_handlers(monkeypatch)
    for number in range(2):
        with show_log():
            absl.logging.info("TensorFlow says something")
            logging.getLogger("sagan_tf").info("call %d", number)
    assert capsys.readouterr().out == "call 0\ncall 1\n"
    assert logging.root.handlers == [] and logging.getLogger("sagan_tf").handlers == []


def test_a_logger_that_the_program_has_configured_is_left_alone(capsys, monkeypatch):
    remove_handlers(monkeypatch)
    logging.root.addHandler(logging.NullHandler())
    with show_log():
        logging.getLogger("sagan_tf").info("hidden")
    assert capsys.readouterr().out == ""
