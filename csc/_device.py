"""Which device owns the arrays: the only file that names CuPy."""

import sys
from importlib import import_module

import numpy as np


def namespace(*arrays):
    """Return numpy or cupy, whichever owns every array; refuse a mixture."""
    cp = sys.modules.get("cupy")  # never import cupy on the user's behalf
    on_gpu = {cp is not None and isinstance(a, cp.ndarray) for a in arrays}
    if len(on_gpu) != 1:
        raise TypeError(
            "arrays live on different devices (NumPy and CuPy mixed); "
            "move them all to one, for example with cupy.asarray or cupy.asnumpy"
        )
    return cp if on_gpu.pop() else np


def kernels(*arrays):
    """Return the kernel module of the device that owns every array."""
    if namespace(*arrays) is not np:
        raise TypeError(
            "CuPy arrays came in, but this version has CPU kernels only; "
            "pass NumPy arrays, for example cupy.asnumpy(x)"
        )
    return import_module("csc.kernels.cpu")  # numba loads here, not at `import csc`


def volume(a):
    """View ``(n, c, *S)`` with three spatial axes, as the kernels take it."""
    return a.reshape(*a.shape[:2], *(1,) * (5 - a.ndim), *a.shape[2:])


def given(a):
    """Contiguous, read-only volume: one type for all inputs, so a kernel compiles once."""
    xp = namespace(a)
    view = volume(xp.ascontiguousarray(a)).view()
    if xp is np:
        view.flags.writeable = False
    return view
