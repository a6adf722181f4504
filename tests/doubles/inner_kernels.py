"""Functions that only kernels call, called from Python."""

from functools import cache

import numba


@cache  # compiled once
def from_python(kernel):
    """A kernel that calls it, with the wrapper for Python that it lacks."""

    @numba.njit
    def call(*arguments):
        return kernel(*arguments)

    return call
