"""Convolutions, alone or next to a resampling, in several forms of different cost."""
