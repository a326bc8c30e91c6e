from __future__ import annotations

import pytest

from sagan_tf.config import TrainingConfig
from sagan_tf.distribution.strategy import check_batch_size
from sagan_tf.errors import UserError
from tools.gpu_checking.parts import find_next_parts, find_possible_parts


@pytest.mark.parametrize(("batch", "replicas", "group"), [(256, 1, 0), (96, 4, 0), (96, 2, 4), (60, 1, 5), (256, 6, 0)])
def test_possible_parts_are_those_that_training_accepts(batch: int, replicas: int, group: int) -> None:
    accepted = []
    for parts in range(1, batch + 1):
        config = TrainingConfig(global_batch_size=batch, gradient_accumulation_steps=parts)
        try:
            check_batch_size(config, replicas, group)
        except UserError:
            continue
        accepted.append(parts)
    assert find_possible_parts(batch, replicas, group) == accepted


def test_the_next_parts_have_at_most_half_the_size() -> None:
    assert find_next_parts(1, 256, 8) == 2 and find_next_parts(16, 256, 8) == 32 and find_next_parts(32, 256, 8) is None
    assert find_next_parts(4, 96, 1) == 8 and find_next_parts(32, 96, 1) == 96
    assert (
        find_next_parts(1, 96, 1, 16) == 2
        and find_next_parts(3, 96, 1, 16) == 6
        and find_next_parts(6, 96, 1, 16) is None
    )
