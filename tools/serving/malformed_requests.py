"""Malformed requests, all of which a server of an exported generator must refuse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sagan_tf.serving.contract import GENERATE, MAX_BATCH_SIZE, SERVING_DEFAULT

Request = tuple[str, dict[str, np.ndarray]]
"""A signature and its inputs."""


def _make_seed_request(rows: int, **changes: np.ndarray) -> Request:
    """Return a valid request to the signature `generate`, with some inputs replaced."""
    inputs: dict[str, np.ndarray] = {
        "seeds": np.arange(rows, dtype=np.int64),
        "labels": np.zeros(rows, np.int32),
        "truncation": np.ones(rows, np.float32),
    }
    return GENERATE, inputs | changes


def _make_latent_request(rows: int, latent_dim: int, value: float) -> Request:
    """Return a request to `serving_default`, with all latents equal to a value."""
    latents: np.ndarray = np.full((rows, latent_dim), value, np.float32)
    return SERVING_DEFAULT, {"latents": latents, "labels": np.zeros(rows, np.int32)}


MALFORMED_REQUESTS: dict[str, Callable[[int, int], Request]] = {
    "label too large": lambda rows, _: _make_seed_request(rows, labels=np.full(rows, 2**31 - 1, np.int32)),
    "label below 0": lambda rows, _: _make_seed_request(rows, labels=np.full(rows, -1, np.int32)),
    "truncation below 0": lambda rows, _: _make_seed_request(rows, truncation=np.full(rows, -1.0, np.float32)),
    "truncation not a number": lambda rows, _: _make_seed_request(rows, truncation=np.full(rows, np.nan, np.float32)),
    "wrong shape": lambda rows, _: _make_seed_request(rows, seeds=np.zeros((rows, 2), np.int64)),
    "wrong latent_dim": lambda rows, latent_dim: _make_latent_request(rows, latent_dim + 1, 0.0),
    "wrong dtype": lambda rows, _: _make_seed_request(rows, labels=np.full(rows, 0.5, np.float32)),
    "latents not a number": lambda rows, latent_dim: _make_latent_request(rows, latent_dim, np.nan),
    "latents too large": lambda rows, latent_dim: _make_latent_request(rows, latent_dim, 3e38),
    "batch over the limit": lambda rows, _: _make_seed_request(MAX_BATCH_SIZE + 1),
    "unknown signature": lambda rows, _: ("no_such_signature", _make_seed_request(rows)[1]),
}
"""Functions that return a malformed request, by what is wrong with it. Arguments: number of rows, latent_dim."""
