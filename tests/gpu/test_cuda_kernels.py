"""The CUDA sources, compiled for the host, next to the Numba kernels; and by NVRTC, for devices."""

import ast
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from csc.kernels import cpu
from doubles import host_cuda

ROOT = Path(__file__).resolve().parents[2]
needs_compiler = pytest.mark.skipif(host_cuda.COMPILER is None, reason="g++ is not installed")
CLOSE = {"float32": 1e-5, "float64": 1e-12}
GEOMETRIES = {  # N, C, K, V, s, t, slack: odd numbers, one atom, more rows than a tile has
    "1-D": (2, 1, 5, (1, 1, 301), (1, 1, 33), (1, 1, 1), (0, 0, 0)),
    "2-D": (1, 2, 9, (1, 23, 31), (1, 8, 7), (1, 1, 1), (0, 0, 0)),
    "3-D": (1, 2, 3, (5, 6, 7), (4, 3, 5), (1, 1, 1), (0, 0, 0)),
    "one atom": (3, 1, 1, (1, 5, 9), (1, 3, 2), (1, 1, 1), (0, 0, 0)),
    "many atoms": (1, 1, 70, (1, 11, 13), (1, 4, 4), (1, 1, 1), (0, 0, 0)),
    "many channels": (1, 21, 6, (1, 9, 10), (1, 3, 3), (1, 1, 1), (0, 0, 0)),
    "large atoms": (1, 1, 17, (1, 9, 10), (1, 15, 14), (1, 1, 1), (0, 0, 0)),
    "strides": (2, 3, 7, (1, 11, 13), (1, 5, 5), (1, 2, 3), (0, 1, 2)),
    "gaps": (1, 1, 20, (3, 4, 5), (2, 1, 2), (3, 2, 3), (1, 1, 0)),
    "a sample": (1, 1, 2, (1, 1, 1), (1, 1, 1), (1, 1, 1), (0, 0, 0)),
}


@pytest.fixture
def gpu(cupy):
    """The package of GPU kernels."""
    assert sys.modules["cupy"] is cupy
    return importlib.import_module("csc.kernels.gpu")


@pytest.fixture
def order(dtype, monkeypatch):
    """In what order the threads of a block come to a barrier: each once, to save time."""
    orders = {"float32": host_cuda.FORWARDS, "float64": host_cuda.BACKWARDS}
    monkeypatch.setattr(host_cuda.Kernel, "order", orders[dtype.name])


class Case:
    """Random arrays of one geometry."""

    def __init__(self, name, dtype):
        n, c, k, grid, spatial_shape, self.stride, slack = GEOMETRIES[name]
        rng, self.dtype = np.random.default_rng(0), dtype
        axes = zip(grid, self.stride, spatial_shape, slack, strict=True)
        signal = tuple((v - 1) * t + s + extra for v, t, s, extra in axes)
        shapes = (n, c, *signal), (k, c, *spatial_shape), (n, k, *grid)
        self.x, self.atoms, self.z = (rng.standard_normal(s).astype(dtype) for s in shapes)

    def both(self, gpu, name, arguments, *outs):
        """Outputs and results of a kernel and of its twin; arrays to fill hold NaN."""
        found = []
        for kernels, move in ((cpu, np.array), (gpu, sys.modules["cupy"].asarray)):
            filled = [move(np.full_like(out, np.nan)) for out in outs]
            result = getattr(kernels, name)(*(moved(a, move) for a in arguments), *filled)
            found.append([to_host(a) for a in [*filled, result] if a is not None])
        return found


def to_host(a):
    return a.get() if hasattr(a, "get") else a


def moved(value, move):
    if isinstance(value, tuple):
        return tuple(moved(item, move) for item in value)
    return move(value) if isinstance(value, np.ndarray) else value


def assert_close(found, dtype):
    for ours, theirs in zip(*found, strict=True):
        scale = np.abs(ours).max()
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=CLOSE[np.dtype(dtype).name] * scale)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_convolutions_equal_their_twins(gpu, order, name, dtype):  # noqa: ARG001
    case = Case(name, dtype)
    x, atoms, z, t = case.x, case.atoms, case.z, case.stride
    assert_close(case.both(gpu, "correlate", (x, atoms, t), z), dtype)
    assert_close(case.both(gpu, "synthesize", (z, atoms, t), x), dtype)
    assert_close(case.both(gpu, "correlate_atoms", (x, z, t), atoms), dtype)
    inverse_lmbda = np.linspace(0.5, 2, len(atoms)).astype(dtype)
    for positive in (False, True):
        top = z[:, 0]
        assert_close(
            case.both(gpu, "dual_infeasibility", (x, atoms, inverse_lmbda, t, positive), top), dtype
        )


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("positive", [False, True])
def test_proximal_steps_equal_their_twins(gpu, order, name, positive, dtype):  # noqa: ARG001
    case = Case(name, dtype)
    z_old = case.z[..., ::-1].copy()
    thresholds = np.linspace(0, 0.5, len(case.atoms)).astype(dtype)
    arguments = (
        case.x, case.atoms, case.stride, (case.z, z_old, 0.7), (thresholds, 0.8, positive),
    )  # fmt: skip
    (out, restart_score), (theirs, there) = case.both(gpu, "proximal_step", arguments, case.z)
    assert_close(([out], [theirs]), dtype)
    scale = abs(out).max() ** 2 * out.size
    assert abs(restart_score - there) < CLOSE[dtype.name] * scale


@pytest.mark.parametrize("name", ["1-D", "2-D", "3-D", "strides", "one atom", "many atoms"])
@pytest.mark.parametrize("wraps", [False, True])
def test_moments_equal_their_twins(gpu, order, name, wraps, dtype):  # noqa: ARG001
    case = Case(name, dtype)
    z = np.moveaxis(case.z * (abs(case.z) > 1.2), 1, -1).ravel()
    index = np.flatnonzero(z)
    lags = [2 * -(-s // t) - 1 for s, t in zip(case.atoms.shape[2:], case.stride, strict=True)]
    k, grid = len(case.atoms), (case.z.shape[2:], case.stride, wraps)
    phi, psi = np.empty((k, k, *lags)), np.empty(case.atoms.shape)
    found = case.both(gpu, "moments", (case.x, (index, z[index]), grid), phi, psi)
    assert_close(found, "float64")


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("shape", [(7, 5, 9), (40, 16, 33), (3, 20, 6), (2, 1, 1), (5, 12, 64)])
def test_patch_lasso_equals_its_twin(gpu, order, positive, shape, dtype):  # noqa: ARG001
    (n, samples, k), rng = shape, np.random.default_rng(1)
    atoms = rng.standard_normal((k, samples)).astype(dtype)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    x = rng.standard_normal((n, samples)).astype(dtype)
    weights = (np.linspace(0.2, 0.4, k) * (k > 1)).astype(dtype)  # once all 0
    problem = atoms @ atoms.T, x @ atoms.T, (x.astype(float) ** 2).sum(axis=1), weights
    tol = {"float32": 1e-5, "float64": 1e-13}[dtype.name]
    z, gap = np.zeros((n, k), dtype), np.zeros(n)
    for start in (z, rng.laplace(size=(n, k)).astype(dtype)):
        found = Case("2-D", dtype).both(
            gpu, "lasso_gram", (*problem, positive, tol, 100, start), z, gap
        )
        certified = []
        for codes, own in found:
            assert (own <= 2 * tol * problem[2]).all()
            made = Case("2-D", dtype).both(
                gpu, "certify_patches", (x, atoms, *problem[:2], weights, positive, codes), gap, gap
            )
            assert_close([[a] for a in (made[0][0], made[1][0])], "float64")
            np.testing.assert_allclose(made[1][1], made[0][1], atol=1e-12 * abs(x).max() ** 2 * k)
            certified.append(made[0][0])
        np.testing.assert_allclose(certified[1], certified[0], rtol=2 * tol + 1e-14)
        if dtype == "float64":
            np.testing.assert_allclose(found[1][0], found[0][0], atol=1e-11)


def test_products_of_patches_equal_their_twins(gpu, rng, dtype):
    x, atoms, z = (rng.standard_normal(s).astype(dtype) for s in ((7, 5), (9, 5), (7, 9)))
    case = Case("2-D", dtype)
    assert_close(case.both(gpu, "correlate_patches", (x, atoms), z), dtype)
    assert_close(case.both(gpu, "inner_products", (x, x[::-1]), np.empty(7)), dtype)
    found = case.both(gpu, "statistics", (x, z), np.empty((9, 9)), np.empty((9, 5)))
    assert_close(found, "float64")


def test_threads_give_what_turns_give(gpu, monkeypatch):
    case, found = Case("one atom", "float32"), []
    for order in (host_cuda.FORWARDS, host_cuda.THREADS):
        monkeypatch.setattr(host_cuda.Kernel, "order", order)
        found.append(case.both(gpu, "synthesize", (case.z, case.atoms, case.stride), case.x)[1][0])
    np.testing.assert_array_equal(*found)


@needs_compiler
def test_a_missing_barrier_is_seen(monkeypatch):
    code = """
template <typename T> __global__ void shift(const T *x, T *out) {
    __shared__ T held[4];
    held[threadIdx.x] = x[threadIdx.x];
    out[threadIdx.x] = held[(threadIdx.x + 1) % 4];
}
"""
    found = []
    for order in (host_cuda.FORWARDS, host_cuda.BACKWARDS):
        monkeypatch.setattr(host_cuda.Kernel, "order", order)
        out = np.zeros(4)
        host_cuda.Kernel(code, "shift<double>")((1,), (4,), (np.arange(4.0), out))
        found.append(out)
    assert (found[0] != found[1]).any()


@needs_compiler
def test_threads_at_different_barriers_are_seen():
    code = """
template <typename T> __global__ void part(T *out) {
    if (threadIdx.x) __syncthreads();
    out[threadIdx.x] = 1;
    __syncthreads();
}
"""
    with pytest.raises(AssertionError, match="not all threads come to the barrier of line"):
        host_cuda.Kernel(code, "part<double>")((1,), (4,), (np.zeros(4),))


@needs_compiler
@pytest.mark.parametrize("wrong", ["float32", "int64"])
def test_a_wrong_type_of_argument_is_seen(wrong):
    kernel = host_cuda.Kernel(host_cuda.source("atoms"), "correlate_atoms<double, 8>")
    assert [kind for kind, _ in kernel.parameters] == ["PKd", "PKd", "5Shape", "x", "Pd"]
    with pytest.raises(AssertionError, match="is given"):
        kernel._check(np.zeros(3, wrong), "PKd", 8)


@pytest.mark.parametrize("file", host_cuda.FILES)
@pytest.mark.parametrize("target", [("sm_80", ("float",)), ("sm_90", ("float", "double"))])
def test_sources_compile_for_devices(file, target):
    if host_cuda.nvrtc() is None:
        pytest.skip("NVRTC is not installed: pip install 'mlcsc[gpu-check]'")
    architecture, kinds = target
    assert host_cuda.compile_for(architecture, host_cuda.source(file), kinds) == ""


def test_nvrtc_says_what_is_wrong():
    if host_cuda.nvrtc() is None:
        pytest.skip("NVRTC is not installed: pip install 'mlcsc[gpu-check]'")
    assert "undefined" in host_cuda.compile_for("sm_80", "__device__ int f() { return nothing; }")


def kernels_of(folder):
    """Public functions of a package of kernels by name, with their arguments."""
    tree = ast.parse((ROOT / "kernels" / folder / "__init__.py").read_text())
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            path = ROOT / "kernels" / folder / f"{node.module.split('.')[-1]}.py"
            wanted = {alias.name for alias in node.names}
            for inner in ast.parse(path.read_text()).body:
                if isinstance(inner, ast.FunctionDef) and inner.name in wanted:
                    found[inner.name] = [a.arg for a in inner.args.args]
    return found


def test_devices_offer_the_same_kernels():
    ours, theirs = kernels_of("cpu"), kernels_of("gpu")
    assert len(theirs) == 11
    assert {name: ours[name] for name in theirs} == theirs


def test_long_sums_are_cut_into_parts(gpu, dtype, monkeypatch):
    monkeypatch.setattr(sys.modules["csc.kernels.gpu.conv"], "MAX_PARTIAL_SUMS", 2)
    rng = np.random.default_rng(0)
    z, x = (rng.standard_normal((1, 2, 1, 1, n)).astype(dtype) for n in (5000, 5002))
    found = Case("1-D", dtype).both(
        gpu, "correlate_atoms", (x, z, (1, 1, 1)), np.empty((2, 2, 1, 1, 3), dtype)
    )
    assert_close(found, dtype)
