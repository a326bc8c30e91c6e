"""Forms of self-attention; add one as an entry of `ATTENTION_FORMS`."""

from __future__ import annotations

import dataclasses

_QUERY_DIVISOR = 8
"""Queries and keys have C / 8 channels in every form (paper section 3)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionForm:
    """Widths and sizes of a form of self-attention, for a feature map with C channels.

    Attributes:
        value_divisor: Values have C / `value_divisor` channels.
        key_stride: Keys and values are max-pooled over squares of this side; 1 for no pooling.
    """

    value_divisor: int
    key_stride: int

    @property
    def has_output(self) -> bool:
        """Whether a 1x1 convolution with C output channels follows the attention."""
        return self.value_divisor > 1

    def count_query_channels(self, channels: int) -> int:
        """Return the number of channels of queries and of keys."""
        return max(channels // _QUERY_DIVISOR, 1)

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
    "pooled": AttentionForm(value_divisor=2, key_stride=2),
    "paper": AttentionForm(value_divisor=8, key_stride=1),
    "full": AttentionForm(value_divisor=1, key_stride=1),
}
