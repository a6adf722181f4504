"""NumPy or CuPy: array namespaces, devices, kernels and BLAS. The only module that imports CuPy."""

import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, Literal

import numpy as np

DLPACK_CPU = 1  # device type in the DLPack standard
DEVICES = {"cpu": "on the CPU (NumPy)", "gpu": "on the GPU (CuPy)"}
INSTALL = "pip install 'mlcsc[gpu-cuda13]', or 'mlcsc[gpu-cuda12]' for drivers of CUDA 12"


def namespace(*arrays):
    """Return numpy or cupy, whichever all arrays belong to; raise TypeError for a mixture."""
    cp = sys.modules.get("cupy")  # not imported here: without CuPy arrays it is not needed
    if cp is None:
        return np
    on_gpu = {isinstance(a, cp.ndarray) for a in arrays}
    if len(on_gpu) != 1:
        raise TypeError(
            "arrays are on different devices (NumPy and CuPy mixed); "
            "move them all to one with csc.to_device"
        )
    return cp if on_gpu.pop() else np


def check_same_device(**arrays):
    """Return the `namespace` of the arrays that are not None; the error names the arrays."""
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
    """Convert an array, or a list of arrays, to plain NumPy or CuPy; return others unchanged.

    Arrays that support DLPack share their memory. Arrays of non-native byte order are copied.
    Masked arrays stay masked arrays.
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
        return (np if kind == DLPACK_CPU else _cupy()).from_dlpack(a)
    except (BufferError, RuntimeError) as error:
        raise TypeError(
            f"this {type(a).__name__} cannot be shared: {error}; pass its detach(), in float32 or "
            "float64"
        ) from error


def numpy_of_tensor(tensor):
    """A PyTorch tensor without gradient as NumPy array on the host; below 32 bits, in float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype.itemsize < 4 else tensor).numpy()


def kernels(*arrays):
    """Return the kernel module of the device of the arrays."""
    home = "cpu" if namespace(*arrays) is np else "gpu"
    return _kernels_of(home)


@cache
def _kernels_of(home):
    return import_module(f"csc.kernels.{home}")  # imports numba here, not at `import csc`


class _SharedBlas:
    """One BLAS thread for this process while any of its Python threads asks for that.

    The threads are counted: limits that each sets and restores on its own would leave the BLAS at one
    thread when they overlap in time.
    """

    def __init__(self):
        self.inside, self.limit = 0, None
        self.renew_lock()

    def renew_lock(self):
        """In a forked process, whose copy may be locked by a thread that it does not have."""
        self.lock = threading.Lock()

    def enter(self):
        """Count a thread that begins."""
        with self.lock:
            if self.inside == 0:
                self.limit = self._set(lambda shared: shared.limit(limits=1, user_api="blas"))
            self.inside += 1

    def leave(self):
        """Count a thread that ends; the last one restores the limit of before."""
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self._set(lambda _: self.limit.restore_original_limits())

    def _set(self, change):
        shared, _ = _blas(len(sys.modules))
        changed = change(shared)
        # threadpoolctl 3.8 ignores all threads but the last that set a limit; a block ends its claim
        with shared.limit(limits=None, user_api="blas"):
            return changed


_shared_blas = _SharedBlas()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared_blas.renew_lock)


@lru_cache(maxsize=1)
def _blas(n_modules):  # noqa: ARG001  modules that are imported later may load a BLAS of their own
    """Controllers of the BLAS whose threads the process shares, and of those of each Python thread."""
    from threadpoolctl import ThreadpoolController

    found, kinds = ThreadpoolController(), ([], [])
    for library in found.lib_controllers:
        if library.user_api == "blas":
            kinds[getattr(library, "threading_layer", "") == "openmp"].append(library.filepath)
    return [found.select(filepath=paths) for paths in kinds]


@contextmanager
def one_blas_thread():
    """Let the BLAS use one thread: after a small product, its other threads wait actively.

    They slow down the kernels that follow (measured: 5.9 ms per step of learning instead of 3.1).
    """
    _shared_blas.enter()
    try:
        with _blas(len(sys.modules))[1].limit(limits=1, user_api="blas"):
            yield
    finally:
        _shared_blas.leave()


def to_device(x: Any, device: Literal["cpu", "gpu"]) -> Any:
    """Move arrays, and objects that contain arrays, to a device.

    Parameters
    ----------
    x : array, list or tuple of them, Dictionary, penalty, Problem or learner
        Learners are moved with all fitted attributes. Arrays already on the device are not copied.
    device : {"cpu", "gpu"}

    Returns
    -------
    The same object on that device, with NumPy or CuPy arrays.

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
    """Return an array as NumPy array."""
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
    learned = [name for name in vars(x) if name.endswith("_")]  # fitted attributes of a learner
    moved = {name: _moved(getattr(x, name), move) for name in (*names, *learned)}
    if all(value is getattr(x, name) for name, value in moved.items()):
        return x
    new = replace(x, **{name: moved[name] for name in names})
    for name in learned:
        setattr(new, name, moved[name])
    return new


def _cupy():
    """Import CuPy and check that a device is available."""
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
    """View ``(n, c, *S)`` with three spatial axes, as the kernels expect it."""
    return a.reshape(*a.shape[:2], *(1,) * (5 - a.ndim), *a.shape[2:])


def as_kernel_input(a):
    """Contiguous, read-only 5-D view: the same type for all inputs, so a kernel compiles once."""
    xp = namespace(a)
    view = as_5d(xp.ascontiguousarray(a)).view()
    if xp is np:
        view.flags.writeable = False
    return view
