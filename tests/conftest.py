"""Shared fixtures."""

import sys
from functools import cache

import numpy as np
import pytest

import csc
from doubles import fake_cupy, host_cuda

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


@cache
def no_device():
    """Why no GPU can be used, or None."""
    try:
        csc.to_device(np.zeros(1), "gpu")
    except (ImportError, RuntimeError) as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def client():
    """Of a Dask cluster of three workers in this process."""
    from dask.distributed import Client

    arguments = {"processes": False, "n_workers": 3, "threads_per_worker": 1}
    with Client(dashboard_address=":0", **arguments) as client:
        yield client


@pytest.fixture(params=["numpy", "cupy"])
def xp(request):
    """NumPy, and CuPy if a device answers."""
    if request.param == "numpy":
        return np
    if no_device():
        pytest.skip(no_device())
    return sys.modules["cupy"]


@pytest.fixture(params=["host", "device"])
def cupy(request):
    """A CuPy that is none, with kernels compiled for the host; and CuPy if a device answers."""
    if request.param == "device":
        if no_device():
            pytest.skip(no_device())
        yield sys.modules["cupy"]
    elif host_cuda.COMPILER is None:
        pytest.skip("g++ is not installed")
    else:
        with fake_cupy.installed() as module:
            yield module
