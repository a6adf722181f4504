"""Compile CUDA C++ when it is first needed, and launch it."""

from functools import cache
from pathlib import Path

import cupy as cp
import numpy as np

from csc.kernels._constants import GPU_CONSTANTS, cuda_declarations

THREADS_PER_BLOCK = GPU_CONSTANTS["THREADS_PER_BLOCK"]
VALUES_PER_THREAD = GPU_CONSTANTS["VALUES_PER_THREAD"]
HERE = Path(__file__).parent
OPTIONS = ("-std=c++17",)
C_NAMES = {"float32": "float", "float64": "double"}
THREE = ("i4", 3)
SHAPE = np.dtype(
    [
        ("signals", "i4"),
        ("atoms", "i4"),
        ("channels", "i4"),
        *((name, *THREE) for name in ("positions", "signal_shape", "samples", "stride")),
    ]
)


def source(name):
    """CUDA C++ of a file, after the constants and functions that all files share."""
    return (
        cuda_declarations() + (HERE / "tiles.cuh").read_text() + (HERE / f"{name}.cu").read_text()
    )


@cache
def kernel(file, name):
    """A kernel; CuPy keeps the compiled code on disk."""
    module = cp.RawModule(code=source(file), options=OPTIONS, name_expressions=(name,))
    return module.get_function(name)


def launch(file, name, grid, *arguments, threads=THREADS_PER_BLOCK):
    """Run a kernel on a grid of blocks; numbers in ``arguments`` are NumPy's, of the C type."""
    kernel(file, name)(tuple(map(int, grid)), (threads,), arguments)


def c_name(array):
    """The C type of an array's numbers."""
    return C_NAMES[array.dtype.name]


def rows_for(n):
    """Rows of threads in a block whose tile has VALUES_PER_THREAD times as many rows: what ``n`` rows fill."""
    return 2 if n <= 2 * VALUES_PER_THREAD else 8


def shape_of(x, atoms, z, stride):
    """`Shape` of signals, atoms and codes, passed to a kernel by value."""
    fields = x.shape[0], atoms.shape[0], x.shape[1], z.shape[2:], x.shape[2:], atoms.shape[2:]
    return np.array((*fields, tuple(stride)), SHAPE)


def up(n, by):
    """How many times ``by`` cover ``n``."""
    return -(-n // by)
