import logging
import pathlib
import subprocess
import sys

import pytest

from sagan_tf.console import log_to_console

ROOT = pathlib.Path(__file__).parents[1]


def test_notes_are_plain_and_warnings_are_marked(capsys: pytest.CaptureFixture):
    logger = logging.getLogger("sagan_tf")
    before = logger.handlers, logger.level, logger.propagate
    try:
        log_to_console()
        logger.info("step %d", 3)
        logger.warning("one label dominates")
        assert capsys.readouterr().out == "step 3\nwarning: one label dominates\n"
    finally:
        logger.handlers, logger.level, logger.propagate = before


def test_tensorflow_loads_without_a_word_and_standard_error_is_back_afterwards():
    program = (
        "import sys\n"
        "from sagan_tf.console import load_tensorflow\n"
        "load_tensorflow()\n"
        "assert 'tensorflow' in sys.modules\n"
        "print('heard', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, env={"PATH": ""}
    )
    assert done.stderr == "heard\n"
