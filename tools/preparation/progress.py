"""How far a preparation is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagan_tf.progress import progress_bar
from tools.preparation.unfinished import FinishedShard

if TYPE_CHECKING:
    from sagan_tf.data.sources.source import Source


class Progress:
    """The finished shards, the images left out, and a bar over all images.

    Attributes:
        finished: the finished shards, by number.
    """

    def __init__(self, source: Source, finished: dict[int, FinishedShard]) -> None:
        """Args:
        source: the whole data set; its `skipped` gets the unreadable images of all shards.
        finished: those that were finished before.
        """
        self.finished = dict(finished)
        self._source = source
        self._done = {shard.index: shard.num_records for shard in finished.values()}
        self._bar = progress_bar(source.num_examples, unit="image", initial=self.num_finished, in_files=True)
        for shard in finished.values():
            self.observe(shard.index, shard.num_records, shard.skipped)

    @property
    def num_finished(self) -> int:
        """Images of the finished shards."""
        return sum(shard.num_records for shard in self.finished.values())

    def observe(self, index: int, done: int, skipped: dict[str, str]) -> None:
        """Take note of how far a shard is; see `shards.Report`.

        Raises:
            UserError: too many images are unreadable.
        """
        self._bar.update(done - self._done.get(index, 0))
        self._done[index] = done
        for name, reason in skipped.items():
            self._source.skipped.add(name, reason)

    def finish(self, shard: FinishedShard) -> None:
        """Take note of a finished shard."""
        self.observe(shard.index, shard.num_records, shard.skipped)
        self.finished[shard.index] = shard

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def __str__(self) -> str:
        return f"{self.num_finished:,} of {self._source.num_examples:,} images are done"
