"""Compile the CUDA sources for the host, and check them with NVRTC; no device is needed.

Compiled libraries are kept in the system's temporary folder, under a hash of what they came from.
"""

import ctypes
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from csc.kernels._constants import cuda_declarations

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels" / "gpu"
FILES = sorted(path.stem for path in KERNELS.glob("*.cu"))
FORWARDS, BACKWARDS, THREADS = range(3)
COMPILER = shutil.which("g++")
CODES = {"float32": "f", "float64": "d", "int32": "i", "int64": "x"}  # of types, as g++ spells them
KERNEL = re.compile(
    r"template <([^>]*)>\s*__global__ void\s*(?:__launch_bounds__\(\w+\)\s*)?(\w+)\("
)


def source(file):
    """What `launch.source` gives, without CuPy."""
    return (
        cuda_declarations()
        + (KERNELS / "tiles.cuh").read_text()
        + (KERNELS / f"{file}.cu").read_text()
    )


def expressions(code, every_row=("2", "8")):
    """Names of all kernels in a source, for every type and number of rows."""
    for parameters, name in KERNEL.findall(code):
        rows = every_row if "ROWS" in parameters else ("",)
        for kind, row in product(("float", "double"), rows):
            yield f"{name}<{kind}, {row}>" if row else f"{name}<{kind}>"


@cache
def library(code):
    """A shared library of all kernels in a source, and the number of each by its name."""
    names = list(expressions(code))
    wrappers = "".join(
        f'extern "C" int launch_{i}(const unsigned *g, unsigned t, int o, void **a) '
        f"{{ return host::launch(&{name}, g, t, o, a); }}\n"
        f'extern "C" const char *signature_{i}() {{ return host::signature(&{name}); }}\n'
        for i, name in enumerate(names)
    )
    whole = f'#include "{HERE / "host_cuda.hpp"}"\n#line 1\n{code}\n{wrappers}'
    key = hashlib.sha256((whole + (HERE / "host_cuda.hpp").read_text()).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"csc-host-cuda-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{key}.so"
    if not path.exists():
        _compile(whole, path)
    return ctypes.CDLL(str(path)), {name: i for i, name in enumerate(names)}


def _compile(code, path):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kernels.cpp").write_text(code)
        command = [COMPILER, "-std=c++20", "-O1", "-shared", "-fPIC", "-pthread", "-w"]
        command += ["-ffp-contract=off", "kernels.cpp", "-o", "kernels.so"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        part = path.with_suffix(f".{os.getpid()}")
        shutil.copy(Path(folder) / "kernels.so", part)
        part.replace(path)


class Kernel:
    """A kernel on the host, called as CuPy's are; arrays are NumPy's."""

    order = FORWARDS  # of the threads between two barriers

    def __init__(self, code, name):
        self.library, numbers = library(code)
        self.number, self.name = numbers[name], name
        signature = getattr(self.library, f"signature_{self.number}")
        signature.restype = ctypes.c_char_p
        self.parameters = [p.split(" ") for p in signature().decode().split(";")[:-1]]

    def __call__(self, grid, block, arguments):
        """Launch, after a check that every argument is of the type that the kernel expects."""
        assert len(arguments) == len(self.parameters), self.name
        assert all(0 < n < 2**16 or i == 0 for i, n in enumerate(grid)), grid
        held = []
        for value, (kind, size) in zip(arguments, self.parameters, strict=True):
            self._check(value, kind, int(size))
            is_pointer = kind.startswith("P")
            held.append(ctypes.c_void_p(value.ctypes.data) if is_pointer else np.array(value))
        addresses = [a.ctypes.data if isinstance(a, np.ndarray) else ctypes.addressof(a)
                     for a in held]  # fmt: skip
        spatial_shape = (ctypes.c_uint * 3)(*(*grid, 1, 1)[:3])
        call = getattr(self.library, f"launch_{self.number}")
        line = call(spatial_shape, block[0], self.order, (ctypes.c_void_p * len(held))(*addresses))
        assert not line, f"{self.name}: not all threads come to the barrier of line {line}"

    def _check(self, value, kind, size):
        what = f"{self.name}: a parameter of type {kind} is given {value.dtype}"
        if kind.startswith("P"):
            assert value.flags.c_contiguous, f"{self.name} is given an array with gaps"
            assert kind.lstrip("PK") == CODES[value.dtype.name], what
        elif value.dtype.names:
            assert value.ndim == 0, what
            assert value.dtype.itemsize == size, what
        else:
            assert isinstance(value, np.generic), what
            assert kind == CODES[value.dtype.name], what


@cache
def nvrtc():
    """NVIDIA's run-time compiler, which needs no driver; None if it is not installed."""
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations) if spec else []
    found = [path for folder in folders for path in Path(folder).glob("*/lib/libnvrtc.so.*")]
    return ctypes.CDLL(str(found[0])) if found else None


def compile_for(architecture, code, kinds=("float", "double")):
    """The log of NVRTC on a source and kernels of either type; empty if it compiles."""
    tool, program, size = nvrtc(), ctypes.c_void_p(), ctypes.c_size_t()
    made = tool.nvrtcCreateProgram(
        ctypes.byref(program), code.encode(), b"kernels.cu", 0, None, None
    )
    assert made == 0
    names = [name for name in expressions(code, ["8"]) if name.split("<")[1].startswith(kinds)]
    for name in names:
        assert tool.nvrtcAddNameExpression(program, name.encode()) == 0
    options = (ctypes.c_char_p * 2)(b"-std=c++17", f"--gpu-architecture={architecture}".encode())
    failed = tool.nvrtcCompileProgram(program, 2, options)
    tool.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    tool.nvrtcGetProgramLog(program, log)
    tool.nvrtcDestroyProgram(ctypes.byref(program))
    return log.value.decode() if failed else ""
