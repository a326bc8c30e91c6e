"""Progress lines."""

import logging

import pytest

from sagan_tf.training.actions.progress import Progress
from tests.training.actions.reports import report


@pytest.mark.parametrize("traces", [False, True])
def test_a_first_step_that_traces_is_named(traces: bool, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="sagan_tf")
    progress = Progress(step=0, num_steps=10, images_per_step=64, line_every=100, traces=traces)
    progress(report(1, num_steps=1, seconds=7.0))
    progress(report(2, num_steps=1))
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["first step after 7 s, tracing included"] * traces


def test_plain_lines_without_a_terminal(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="sagan_tf")
    progress = Progress(step=0, num_steps=10, images_per_step=64, line_every=4)
    for step in (2, 4, 6):
        progress(report(step))
    progress(report(10, last=True))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith("step 4/10  4.00 steps/s  images/s 256  d_loss 1.000  g_loss 2.000  ETA ")
    assert lines[1].startswith("step 10/10 ")
