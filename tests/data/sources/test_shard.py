"""Shards divide every epoch: each position and each record belongs to exactly one shard."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.sources.shard import Shard


@pytest.mark.parametrize("num_shards", [1, 2, 3, 7])
@pytest.mark.parametrize("num_examples", [1, 6, 7, 41])
def test_shards_divide_each_epoch(num_examples: int, num_shards: int) -> None:
    shards = [Shard(index, num_shards, num_examples) for index in range(num_shards)]
    for epoch in range(4):
        positions: list[int] = []
        previous_stop = 0
        for shard in shards:
            start, stop = (int(bound) for bound in shard.get_epoch_positions(tf.constant(epoch, tf.int64)))
            own = range(start, stop, num_shards)
            assert all(position % num_shards == shard.index for position in own)
            positions += own
            first, last = (int(bound) for bound in shard.get_epoch_records(tf.constant(epoch, tf.int64)))
            assert (first, last - first) == (previous_stop, len(own))
            assert abs(first - num_examples * shard.index / num_shards) < num_shards
            previous_stop = last
        assert previous_stop == num_examples
        np.testing.assert_array_equal(sorted(positions), np.arange(num_examples) + epoch * num_examples)


def test_the_first_position_is_the_next_one_of_the_shard() -> None:
    for position, index in itertools.product(range(9), range(4)):
        first = Shard(index, 4, 10).find_first_position(position)
        assert first % 4 == index and position <= first < position + 4
