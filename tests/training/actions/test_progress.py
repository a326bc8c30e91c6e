"""Tests of the progress lines."""

import logging
import sys
import types

import pytest

from sagan_tf.training.actions.progress import Progress
from tests.training.actions.reports import make_report


@pytest.mark.parametrize("traces", [False, True])
def test_tracing_in_the_first_step_is_logged(traces, caplog):
    caplog.set_level(logging.INFO, logger="sagan_tf")
    progress = Progress(step=0, num_steps=10, images_per_step=64, line_every=100, traces=traces)
    progress(make_report(1, num_steps=1, seconds=7.0))
    progress(make_report(2, num_steps=1))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == traces and all("7 s" in line for line in lines)


def test_plain_lines_without_a_terminal(caplog):
    caplog.set_level(logging.INFO, logger="sagan_tf")
    progress = Progress(step=0, num_steps=10, images_per_step=64, line_every=4)
    for step in (2, 4, 6):
        progress(make_report(step))
    progress(make_report(10, last=True))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith("step 4/10  4.00 steps/s  images/s 256  d_loss 1.000  g_loss 2.000  ETA ")
    assert lines[1].startswith("step 10/10 ")


def test_one_bar_in_a_notebook(caplog, capsys, monkeypatch):
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    caplog.set_level(logging.INFO, logger="sagan_tf")
    progress = Progress(step=4, num_steps=10, images_per_step=64, line_every=2)
    progress(make_report(6, num_steps=2))
    progress.close()
    shown = capsys.readouterr().err
    assert not caplog.records and all(part in shown for part in ("6/10", "d_loss=1.000", "g_loss=2.000"))
