"""CuPy's part that csc uses, on the host: arrays that NumPy and Numba do not take for theirs.

As in CuPy, arrays of the two kinds do not mix, nothing turns into a NumPy array by itself, and
reductions give arrays without axes. Whatever would make the host wait for the device can be
forbidden. Kernels are the CUDA sources, compiled by `host_cuda`.
"""

import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from doubles import host_cuda

WAITS = "the host waits for the device"
FIELDS = ("shape", "ndim", "dtype", "size", "nbytes", "itemsize", "strides", "flags")


class State:
    """What the fake remembers."""

    may_wait = True
    names = set()


def _wait():
    assert State.may_wait, WAITS


@contextmanager
def no_waiting():
    """Within, an AssertionError where the host would wait for the device."""
    State.may_wait = False
    try:
        yield
    finally:
        State.may_wait = True


def _host(value):
    """Arguments as NumPy takes them; NumPy arrays among them are refused, as CuPy does."""
    if isinstance(value, ndarray):
        return value.own
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, tuple | list):
        return type(value)(map(_host, value))
    return value


def _device(value):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    if isinstance(value, tuple | list):
        items = map(_device, value)
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def _lifted(function, name):
    State.names.add(name)

    def call(*args, **kwargs):
        if name in {"unique", "nonzero", "flatnonzero", "argwhere", "bincount"}:
            _wait()  # the size of the answer depends on values
        return _device(function(*map(_host, args), **{k: _host(v) for k, v in kwargs.items()}))

    return call


class ndarray(NDArrayOperatorsMixin):
    """An array on the device."""

    __hash__ = None

    def __init__(self, own):
        self.own = own

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if out is not None:
            kwargs["out"] = tuple(map(_host, out))
        return _device(getattr(ufunc, method)(*map(_host, inputs), **kwargs))

    def __array_function__(self, function, types, args, kwargs):
        return _lifted(function, function.__name__)(*args, **kwargs)

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __getattr__(self, name):
        if name.startswith("__") or not hasattr(np.ndarray, name):
            raise AttributeError(name)
        value = getattr(self.own, name)
        if name in FIELDS:
            return value
        return _lifted(value, f"ndarray.{name}") if callable(value) else _device(value)

    def __getitem__(self, index):
        index = _plain(index)
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(i, np.ndarray) and i.dtype == "bool" for i in parts):
            _wait()
        return _device(self.own[index])

    def __setitem__(self, index, value):
        self.own[_plain(index)] = _host(value)

    def __len__(self):
        return len(self.own)

    def __iter__(self):
        return iter([_device(row) for row in self.own])

    def __repr__(self):
        return repr(self.own)

    device = "fake"

    def get(self):
        """A copy on the host."""
        _wait()
        return self.own.copy()

    def item(self, *place):
        """A number on the host."""
        _wait()
        return self.own.item(*place)

    def tolist(self):
        """Lists of numbers on the host."""
        _wait()
        return self.own.tolist()

    def __bool__(self):
        return bool(self.item())

    def __int__(self):
        return int(self.item())

    def __float__(self):
        return float(self.item())

    def __index__(self):
        return self.item().__index__()


def _plain(index):
    """An index as NumPy takes it; index arrays may lie on the host."""
    if isinstance(index, tuple):
        return tuple(map(_plain, index))
    return index.own if isinstance(index, ndarray) else index


class RawModule:
    """Kernels of a source."""

    def __init__(self, code, options=(), name_expressions=()):
        assert options
        self.code, self.names = code, name_expressions

    def get_function(self, name):
        """A kernel by its name expression."""
        assert name in self.names
        kernel = host_cuda.Kernel(self.code, name)
        return lambda grid, block, args: kernel(grid, block, tuple(map(_argument, args)))


def _argument(value):
    if isinstance(value, ndarray):
        return value.own
    assert isinstance(value, np.generic) or value.dtype.names, f"{type(value)} for a kernel"
    return value


CUDA = SimpleNamespace(  # as far as it is asked
    is_available=lambda: True,
    get_current_stream=lambda: SimpleNamespace(synchronize=lambda: None),
    runtime=SimpleNamespace(
        getDeviceProperties=lambda _: {"name": b"the host"},
        driverGetVersion=lambda: 0,
        runtimeGetVersion=lambda: 0,
    ),
)


class _Module(ModuleType):
    """NumPy's functions, for arrays on the device."""

    def __init__(self, name, of):
        super().__init__(name)
        self.of = of

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self.of, name)
        if isinstance(value, ModuleType):
            return _Module(f"{self.__name__}.{name}", value)
        is_function = callable(value) and not isinstance(value, type)
        return _lifted(value, name) if is_function else value


def module():
    """A module to stand for ``cupy``."""
    fake = _Module("cupy", np)
    fake.ndarray, fake.RawModule, fake.__version__ = ndarray, RawModule, "0"
    fake.cuda = CUDA

    def asarray(a, dtype=None, order=None):
        own = a.own if isinstance(a, ndarray) else np.array(a)
        return ndarray(np.asarray(own, dtype, order=order))

    def array(a, dtype=None, order="K"):
        return ndarray(np.array(a.own if isinstance(a, ndarray) else a, dtype, order=order))

    fake.asarray, fake.array = asarray, array
    fake.asnumpy = lambda a: a.get() if isinstance(a, ndarray) else np.asarray(a)
    return fake


@contextmanager
def installed():
    """Within, ``cupy`` is the fake."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_ours(name)}
    sys.modules["cupy"] = module()
    try:
        yield sys.modules["cupy"]
    finally:
        for name in [name for name in sys.modules if _is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _is_ours(name):
    return name.split(".")[0] in {"cupy", "cupyx"} or name.startswith("csc.kernels.gpu")
