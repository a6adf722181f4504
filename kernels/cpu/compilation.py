"""How kernels are compiled: only what Python calls is stored, and has a wrapper for Python."""

from numba import njit


def entry(**options):
    """Compile a kernel that Python calls: without the GIL, and stored on disk."""
    return njit(cache=True, nogil=True, no_cfunc_wrapper=True, **options)


def inner(**options):
    """Compile a function that only other kernels call, in two thirds of the time.

    It needs no wrapper for Python; and it is stored within the kernels that call it.
    """
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)
