"""The log of requests detects files that differ from earlier ones."""

from __future__ import annotations

from tools.serving.request_log import RequestLog


def test_files_are_compared_with_earlier_files_of_the_same_key() -> None:
    log = RequestLog()
    keys = [(1, 0, 0.5), (2, 0, 8.0), (1, 0, 0.5)]
    log.check_files(keys, [b"\x89PNG %d %d %g" % key for key in keys])
    assert log.counts == {"images compared with an earlier one": 1} and log.num_failures == 0
    log.check_files([(1, 0, 0.5)], [b"\x89PNG 1 0 0.6"])
    log.check_files([(3, 0, 0.5)], [b"GIF"])
    assert log.counts["wrong images"] == 2 and log.num_failures == 2
    assert "(1, 0, 0.5)" in log.messages[0]


def test_only_the_first_messages_are_kept() -> None:
    log = RequestLog()
    for number in range(9):
        log.add_failure("good requests that failed", str(number))
    assert log.num_failures == 9 and len(log.messages) == 5
