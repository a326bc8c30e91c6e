"""Forms of self-attention; add one as an entry of `ATTENTION_FORMS`."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionForm:
    """Widths and sizes of a form of self-attention, for a feature map with C channels.

    Attributes:
        value_divisor: Values have C / `value_divisor` channels.
        has_output: Whether a 1x1 convolution follows that returns to C channels. Without it, values have C channels.
        key_stride: Keys and values are max-pooled over squares of this side; 1 for no pooling.
        query_divisor: Queries and keys have C / `query_divisor` channels.
    """

    value_divisor: int
    has_output: bool
    key_stride: int
    query_divisor: int = 8

    def count_query_channels(self, channels: int) -> int:
        """Return the number of channels of queries and of keys."""
        return max(channels // self.query_divisor, 1)

    def count_value_channels(self, channels: int) -> int:
        """Return the number of channels of values."""
        return max(channels // self.value_divisor, 1)

    def count_parameters(self, channels: int) -> int:
        """Return the number of trainable parameters, gamma included."""
        value_kernels = 2 if self.has_output else 1
        widths = 2 * self.count_query_channels(channels) + value_kernels * self.count_value_channels(channels)
        return channels * widths + 1

    def compute_key_size(self, size: int) -> int:
        """Return the height or width of the keys.

        Args:
            size: Height or width of the feature map.
        """
        return size // self.key_stride


ATTENTION_FORMS: dict[str, AttentionForm] = {
    "pooled": AttentionForm(value_divisor=2, has_output=True, key_stride=2),
    "paper": AttentionForm(value_divisor=8, has_output=True, key_stride=1),
    "full": AttentionForm(value_divisor=1, has_output=False, key_stride=1),
}
