"""Shared fixtures, and the markers that come with a folder or a fixture."""

import gc
import os
import sys
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pytest

import csc
from doubles import fake_cupy, host_cuda

RTOL = {"float32": 2e-5, "float64": 1e-12}  # of results whose sums are short
TESTS = Path(__file__).parent
MARKERS = {"demos": "demo", "distributed": "dask", "gpu": "gpu"}  # of all tests in a folder


def pytest_configure(config):
    """Where pytest-xdist runs a worker per core, let each use one thread: two would be slower."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        numba.set_num_threads(1)
    elif config.getoption("numprocesses", None):  # of the workers, which start after this
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture
def all_threads():
    """All threads of Numba, for tests of threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    yield
    numba.set_num_threads(before)


def pytest_collection_modifyitems(items):
    """Mark tests by folder and fixture."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if TESTS in item.path.parents else None
        if folder in MARKERS:
            item.add_marker(MARKERS[folder])
            item.add_marker("slow")
        if "client" in getattr(item, "fixturenames", ()):
            item.add_marker("dask")
        if needs_device(item):
            item.add_marker("gpu")


def pytest_collection_finish():
    """Garbage is no longer sought among modules and tests: that took a tenth of the time."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item):
    """Skip tests on a device if there is none: here, so that the summary has one line for all."""
    if needs_device(item) and no_device():
        pytest.skip(no_device())


def needs_device(item):
    """Whether a test is the variant of a fixture below that runs on a GPU."""
    variants = item.callspec.params if hasattr(item, "callspec") else {}
    return variants.get("xp") == "cupy" or variants.get("cupy") == "device"


@cache
def no_device():
    """Why no GPU can be used, or None."""
    try:
        csc.to_device(np.zeros(1), "gpu")
    except (ImportError, RuntimeError) as error:
        return str(error)
    return None


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def rng():
    return np.random.default_rng(20261123)


@pytest.fixture
def rtol(dtype):
    return RTOL[dtype.name]


@pytest.fixture(scope="module")
def client():
    """Client of a Dask cluster of three workers in this process."""
    from dask.distributed import Client

    arguments = {"processes": False, "n_workers": 3, "threads_per_worker": 1}
    with Client(dashboard_address=":0", **arguments) as client:
        yield client


@pytest.fixture(params=["numpy", "cupy"])
def xp(request):
    """NumPy, and CuPy if there is a GPU."""
    return np if request.param == "numpy" else sys.modules["cupy"]


@pytest.fixture(params=["host", "device"])
def cupy(request):
    """A stand-in for CuPy with kernels compiled for the host; and CuPy if there is a GPU."""
    if request.param == "device":
        yield sys.modules["cupy"]
    elif host_cuda.COMPILER is None:
        pytest.skip("g++ is not installed")
    else:
        with fake_cupy.installed() as module:
            yield module
