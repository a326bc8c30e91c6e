"""Progress of a preparation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagan_tf.progress import progress_bar
from tools.preparation.unfinished import FinishedShard

if TYPE_CHECKING:
    from sagan_tf.data.sources.source import Source


class Progress:
    """Finished shards, skipped images, and a progress bar over all images.

    Args:
        source: Whole data set; the unreadable images of all shards are added to its `skipped`.
        finished: Shards that were finished before, by number.

    Attributes:
        finished: All finished shards, by number.
    """

    def __init__(self, source: Source, finished: dict[int, FinishedShard]) -> None:
        self.finished = dict(finished)
        self._source = source
        self._done = {shard.index: shard.num_records for shard in finished.values()}
        self._bar = progress_bar(source.num_examples, unit="image", initial=self.num_finished, in_files=True)
        for shard in finished.values():
            self.observe(shard.index, shard.num_records, shard.skipped)

    @property
    def num_finished(self) -> int:
        """Number of images of the finished shards."""
        return sum(shard.num_records for shard in self.finished.values())

    def observe(self, index: int, done: int, skipped: dict[str, str]) -> None:
        """Record the progress of a shard; see `shards.Report`.

        Raises:
            UserError: Too many images are unreadable.
        """
        self._bar.update(done - self._done.get(index, 0))
        self._done[index] = done
        for name, reason in skipped.items():
            self._source.skipped.add(name, reason)

    def finish(self, shard: FinishedShard) -> None:
        """Record a finished shard."""
        self.observe(shard.index, shard.num_records, shard.skipped)
        self.finished[shard.index] = shard

    def close(self) -> None:
        """Close the progress bar and leave it visible."""
        self._bar.close()

    def __str__(self) -> str:
        return f"{self.num_finished:,} of {self._source.num_examples:,} images are finished"
