"""Convolutions, alone or combined with resampling, in several forms of different cost."""
