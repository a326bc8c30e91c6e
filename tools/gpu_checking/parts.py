"""The numbers of equal parts into which a batch can be cut (`--gradient_accumulation_steps`)."""

from __future__ import annotations


def possible_parts(batch_size: int, replicas: int, group_size: int = 0) -> list[int]:
    """Return the numbers of parts for which each part of each replica has as many images, in whole groups.

    Args:
        batch_size: Images of a step over all replicas.
        replicas: How many replicas share them.
        group_size: `--discriminator_minibatch_statistics`; 0 for none.

    Returns:
        Numbers in ascending order; none if the batch cannot be cut.
    """
    unit = replicas * (group_size or 1)
    return [parts for parts in range(1, batch_size // unit + 1) if batch_size % (parts * unit) == 0]


def next_parts(parts: int, batch_size: int, replicas: int, group_size: int = 0) -> int | None:
    """Return the least number of parts that at least halves the memory of `parts`; None if there is none."""
    return next((one for one in possible_parts(batch_size, replicas, group_size) if one >= 2 * parts), None)
