"""The base class of data sets of which some images can be selected."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np

from sagan_tf.data.sources.source import Source


class SelectableSource(Source):
    """A source of which images are selected by their classes and as a sample of each class."""

    @abc.abstractmethod
    def get_labels(self) -> np.ndarray:
        """Return the label of each image, int32 [num_examples].

        A label is 0 if there are no labels, and -1 if it cannot be read.
        """

    @abc.abstractmethod
    def get_ranks(self, indices: np.ndarray) -> Sequence[Any]:
        """Return sort keys of images, so that the first ones in their order are as good as a random sample.

        The order is the same on every machine. Images with equal keys remain in the order of the data set.

        Args:
            indices: The images, int64 [images].
        """

    @abc.abstractmethod
    def select(self, indices: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> SelectableSource:
        """Return a source of some of the images.

        Args:
            indices: The images, in their new order, int64 [images]. A source whose images are read in the order in
                which they are stored keeps that order.
            labels: Their labels in the new source, int32 [images].
            class_names: The classes of the new source: all of this source or some of them, in another order.
        """
