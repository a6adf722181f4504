"""How kernels are compiled: only what Python calls is optimised, stored and callable from Python."""

from numba import njit, version_info

NEWEST_KNOWN_NUMBA = (0, 68)  # `inner_compiler` uses parts of Numba that are not public


def entry(**options):
    """Compile a kernel that Python calls: without the GIL, and stored on disk."""
    return njit(cache=True, nogil=True, no_cfunc_wrapper=True, **options)


def inner(**options):
    """Compile a function that only other kernels call.

    It needs no wrapper for Python and no machine code of its own: the kernels that call it contain
    it, and are optimised and stored with it. A version of Numba that is newer than all known ones
    compiles in its own, slower way.
    """
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_compiler(), **options)


def _compiler():
    if version_info.short > NEWEST_KNOWN_NUMBA:
        return {}
    from csc.kernels.cpu.inner_compiler import InnerCompiler

    return {"pipeline_class": InnerCompiler}
