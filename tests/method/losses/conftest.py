"""Embeddings for the tests of the losses."""

import numpy as np
import pytest


@pytest.fixture
def unit():
    """Returns a maker of float32 arrays whose last axis has norm 1: unit(*shape, seed=0)."""

    def make(*shape, seed=0):
        x = np.random.default_rng(seed).normal(size=shape)
        return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)

    return make


@pytest.fixture
def rotation():
    """Returns a maker of random orthogonal matrices: rotation(D)."""

    def make(size):
        return np.linalg.qr(np.random.default_rng(7).normal(size=(size, size)))[0].astype(
            np.float32
        )

    return make
