"""How kernels are compiled: only what Python calls is optimised, stored and callable from Python."""

from numba import njit, version_info

NEWEST_KNOWN_NUMBA = (0, 68)  # `compiler` uses parts of Numba that are not public


def entry(**options):
    """Compile a kernel that Python calls: without the GIL, and stored on disk.

    A version of Numba that is newer than all known ones compiles in its own, slower way.
    """
    return njit(
        cache=True, nogil=True, no_cfunc_wrapper=True, **_compiler("KernelCompiler"), **options
    )


def inner(**options):
    """Compile a function that only other kernels call.

    It needs no wrapper for Python and no machine code of its own: the kernels that call it contain
    it, and are optimised and stored with it.
    """
    return njit(
        no_cpython_wrapper=True, no_cfunc_wrapper=True, **_compiler("InnerCompiler"), **options
    )


def _compiler(name):
    if version_info.short > NEWEST_KNOWN_NUMBA:
        return {}
    from csc.kernels.cpu import compiler

    # without counts of references to arrays: kernels make none, which would be an error
    return {"pipeline_class": getattr(compiler, name), "_nrt": False}
