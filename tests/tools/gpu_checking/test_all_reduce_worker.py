from __future__ import annotations

import pytest

from tests.training.tiny import two_replicas
from tools.gpu_checking.all_reduce_worker import measure_all_reduce


def test_all_reduce_is_timed_over_replicas() -> None:
    found = measure_all_reduce(two_replicas(), num_floats=1000)
    assert found["replicas"] == 2 and found["bytes"] == 4000
    assert found["bus_bytes_per_second"] == pytest.approx(4000 / found["seconds"])
