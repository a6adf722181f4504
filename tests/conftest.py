"""Shared fixtures."""

import numpy as np
import pytest

RTOL = {"float32": 2e-5, "float64": 1e-12}  # of results whose sums are short


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def rng():
    return np.random.default_rng(20261123)


@pytest.fixture
def rtol(dtype):
    return RTOL[dtype.name]
