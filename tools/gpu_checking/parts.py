"""Numbers of equal parts into which a batch can be divided (`--gradient_accumulation_steps`)."""

from __future__ import annotations


def find_possible_parts(batch_size: int, replicas: int, group_size: int = 0) -> list[int]:
    """Return the numbers of parts into which a batch can be divided.

    All parts on all replicas have the same number of images, in whole groups.

    Args:
        batch_size: Images of a step over all replicas.
        replicas: The number of replicas.
        group_size: `--discriminator_minibatch_statistics`; 0 for none.

    Returns:
        The numbers in ascending order; empty if the batch cannot be divided among the replicas.
    """
    unit = replicas * (group_size or 1)
    return [parts for parts in range(1, batch_size // unit + 1) if batch_size % (parts * unit) == 0]


def find_next_parts(parts: int, batch_size: int, replicas: int, group_size: int = 0) -> int | None:
    """Return the smallest possible number of parts from `2 * parts`, or None.

    Twice as many parts need half the memory.
    """
    return next((more for more in find_possible_parts(batch_size, replicas, group_size) if more >= 2 * parts), None)
