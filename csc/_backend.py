"""Which device owns the arrays: the only file that names CuPy."""

import sys
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from typing import Any, Literal

import numpy as np

ON_CPU = 1  # DLPack's number of it
DEVICES = {"cpu": "on the CPU (NumPy)", "gpu": "on the GPU (CuPy)"}
INSTALL = "pip install 'mlcsc[gpu-cuda13]', or 'mlcsc[gpu-cuda12]' for drivers of CUDA 12"


def namespace(*arrays):
    """Return numpy or cupy, whichever owns every array; refuse a mixture."""
    cp = sys.modules.get("cupy")  # never import cupy on the user's behalf
    if cp is None:
        return np
    on_gpu = {isinstance(a, cp.ndarray) for a in arrays}
    if len(on_gpu) != 1:
        raise TypeError(
            "arrays live on different devices (NumPy and CuPy mixed); "
            "move them all to one with csc.to_device"
        )
    return cp if on_gpu.pop() else np


def check_same_device(**arrays):
    """`namespace` of the arrays that are not None; of a mixture, say which lies where."""
    present = {name: a for name, a in arrays.items() if a is not None}
    (first, a), *others = present.items()
    for name, b in others:
        if device_of(a) != device_of(b):
            raise TypeError(
                f"{first} lies {DEVICES[device_of(a)]} but {name} {DEVICES[device_of(b)]}; move "
                f"one of them, for example csc.to_device({name}, {device_of(a)!r})"
            )
    return namespace(a)


def device_of(a):
    """``"cpu"`` or ``"gpu"``."""
    return "cpu" if namespace(a) is np else "gpu"


def as_native(a):
    """The array, or list of arrays, as plain NumPy's or CuPy's; what is no array as it came.

    What offers DLPack shares its memory. Arrays of the other byte order are copied into that of
    this machine; a masked array stays one.
    """
    if type(a) in (tuple, list):
        return type(a)(map(as_native, a))
    cp = sys.modules.get("cupy")
    if cp is not None and isinstance(a, cp.ndarray):
        return a
    if isinstance(a, np.ndarray):
        plain = a if isinstance(a, np.ma.MaskedArray) else np.asarray(a)
        return plain if a.dtype.isnative else plain.astype(a.dtype.newbyteorder("="))
    if not hasattr(a, "__dlpack__"):
        return a
    kind, _ = a.__dlpack_device__()
    try:
        return (np if kind == ON_CPU else _cupy()).from_dlpack(a)
    except (BufferError, RuntimeError) as error:
        raise TypeError(
            f"this {type(a).__name__} cannot be shared: {error}; pass its detach(), in float32 or "
            "float64"
        ) from error


def kernels(*arrays):
    """Return the kernel module of the device that owns every array."""
    home = "cpu" if namespace(*arrays) is np else "gpu"
    return import_module(f"csc.kernels.{home}")  # numba loads here, not at `import csc`


def to_device(x: Any, device: Literal["cpu", "gpu"]) -> Any:
    """Move arrays, and what is made of them, to a device.

    Parameters
    ----------
    x : array, list or tuple of them, Dictionary, penalty, Problem or learner
        Learners go with all that they have learned. What lies there already is not copied.
    device : {"cpu", "gpu"}

    Returns
    -------
    The same on that device: NumPy arrays or CuPy arrays.

    Raises
    ------
    ImportError, RuntimeError
        If CuPy is not installed, or finds no device.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.to_device(np.ones(3), "cpu")
    array([1., 1., 1.])
    """
    if device not in DEVICES:
        raise ValueError(f"device must be 'cpu' or 'gpu', got {device!r}")
    return _moved(x, to_host if device == "cpu" else _cupy().asarray)


def to_host(a):
    """A NumPy array of an array on any device."""
    return a if namespace(a) is np else a.get()


def _moved(x, move):
    if hasattr(x, "dtype") and hasattr(x, "ndim"):
        return x if np.ndim(x) == 0 and isinstance(x, np.generic) else move(x)
    if isinstance(x, tuple | list):
        items = [_moved(item, move) for item in x]
        if all(a is b for a, b in zip(items, x, strict=True)):
            return x
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    if not is_dataclass(x) or isinstance(x, type):
        return x
    names = [f.name for f in fields(x)]
    learned = [name for name in vars(x) if name.endswith("_")]  # by a learner
    moved = {name: _moved(getattr(x, name), move) for name in (*names, *learned)}
    if all(value is getattr(x, name) for name, value in moved.items()):
        return x
    new = replace(x, **{name: moved[name] for name in names})
    for name in learned:
        setattr(new, name, moved[name])
    return new


def _cupy():
    """CuPy, with a device that answers."""
    try:
        cp = import_module("cupy")
    except ImportError as error:
        raise ImportError(f"device 'gpu' needs CuPy: {INSTALL}") from error
    if not cp.cuda.is_available():
        raise RuntimeError(
            "device 'gpu': CuPy finds no NVIDIA device, or its CUDA does not suit the driver: "
            + INSTALL
        )
    return cp


def as_5d(a):
    """View ``(n, c, *S)`` with three spatial axes, as the kernels take it."""
    return a.reshape(*a.shape[:2], *(1,) * (5 - a.ndim), *a.shape[2:])


def as_kernel_input(a):
    """Contiguous, read-only volume: one type for all inputs, so a kernel compiles once."""
    xp = namespace(a)
    view = as_5d(xp.ascontiguousarray(a)).view()
    if xp is np:
        view.flags.writeable = False
    return view
