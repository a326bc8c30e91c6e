"""Tests of progress bars."""

import sys

from sagan_tf.progress import progress_bar


def test_visibility_in_files_and_terminals(capsys, monkeypatch):
    assert progress_bar(2, unit="image").disable
    with progress_bar(2, unit="image", in_files=True) as in_file:
        assert (in_file.mininterval, in_file.maxinterval) == (60.0, 60.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar(2, unit="image") as on_terminal:
        assert on_terminal.mininterval < 1 and not on_terminal.disable
    assert "2 [" not in capsys.readouterr().out
