"""Comparisons of named settings that are trained with several seeds, such as the quality benchmark and ablations."""
