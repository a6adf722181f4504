"""CuPy arrays in, CuPy arrays out: the whole way through."""

import json
import sys

import numpy as np
import pytest

import csc
from csc._backend import check_same_device, device_of
from demos.bench import gpu as bench
from doubles import fake_cupy

pytestmark = pytest.mark.usefixtures("cupy")
CLOSE = {"float32": 1e-5, "float64": 1e-12}
MODES = ("full", "valid", "same", "circular")
SOLVERS = [csc.solvers.ISTA(), csc.solvers.FISTA(), csc.solvers.GreedyFISTA()]


def on_gpu(x):
    return csc.to_device(x, "gpu")


def close(ours, theirs, rtol):
    ours, theirs = (csc.to_device(a, "cpu") for a in (ours, theirs))
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=rtol * abs(theirs).max())


def planted(rng, dtype, axes=2, channels=1, n_atoms=5, n=2):
    """Signals and atoms of odd sizes."""
    spatial_shape, size = {1: ((41,), (5,)), 2: ((13, 15), (4, 3)), 3: ((6, 7, 5), (2, 3, 2))}[axes]
    atoms = rng.standard_normal((n_atoms, channels, *size)).astype(dtype)
    atoms = csc.constraints.UnitSphere().project(atoms)
    return rng.standard_normal((n, channels, *spatial_shape)).astype(dtype), atoms


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("axes", "stride", "channels"), [(1, 1, 2), (2, 1, 1), (2, 3, 2), (3, 1, 1)]
)
def test_dictionaries_agree(rng, dtype, mode, axes, stride, channels):
    x, atoms = planted(rng, dtype, axes, channels)
    x = np.ascontiguousarray(x[(..., *(slice(0, n // stride * stride) for n in x.shape[2:]))])
    D = csc.Dictionary(atoms, mode, stride)
    E, z = on_gpu(D), D.adjoint(x)
    assert device_of(E.atoms) == "gpu"
    shape = x.shape[2:]
    close(E.adjoint(on_gpu(x)), z, CLOSE[dtype.name])
    close(E(on_gpu(z), shape), D(z, shape), CLOSE[dtype.name])
    close(E.adjoint_atoms(on_gpu(x), on_gpu(z)), D.adjoint_atoms(x, z), CLOSE[dtype.name])
    assert E.lipschitz(shape) == D.lipschitz(shape)
    close(E.gram(), D.gram(), CLOSE[dtype.name])


def test_atoms_of_several_sizes_and_patches_agree(rng, dtype):
    groups = [rng.standard_normal((k, 1, *s)).astype(dtype) for k, s in ((2, (3, 3)), (1, (5, 4)))]
    for x, D in (
        (rng.standard_normal((1, 1, 9, 8)).astype(dtype), csc.Dictionary(groups)),
        (rng.standard_normal((6, 1, 3, 3)).astype(dtype), csc.Dictionary(groups[0])),
    ):
        E, z = on_gpu(D), D.adjoint(x)
        close(E.adjoint(on_gpu(x)), z, CLOSE[dtype.name])
        close(E(on_gpu(z)), D(z), CLOSE[dtype.name])
        close(E.adjoint_atoms(on_gpu(x), on_gpu(z)), D.adjoint_atoms(x, z), CLOSE[dtype.name])
        assert E.lipschitz(x.shape[2:]) == D.lipschitz(x.shape[2:])


@pytest.mark.parametrize("stride", [1, 2])
def test_large_atoms_go_through_the_fourier_domain_and_agree(rng, dtype, monkeypatch, stride):
    monkeypatch.setattr(csc.operators._fft_conv, "is_faster", lambda *_, **__: True)
    x, atoms = planted(rng, dtype, channels=2)
    D = csc.Dictionary(atoms, "valid", stride)
    E, z = on_gpu(D), D.adjoint(x)
    close(E.adjoint(on_gpu(x)), z, CLOSE[dtype.name])
    close(E(on_gpu(z), x.shape[2:]), D(z, x.shape[2:]), CLOSE[dtype.name])
    close(E.adjoint_atoms(on_gpu(x), on_gpu(z)), D.adjoint_atoms(x, z), CLOSE[dtype.name])


def weighted(dtype):
    return csc.L1(0.3, np.linspace(0.5, 2, 5).astype(dtype).reshape(5, 1, 1))


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(
    "penalty", ["L1", "weighted", "positive", "ElasticNet", "GroupL21", "L0", "LogPenalty"]
)
def test_steps_agree_and_nobody_waits(rng, dtype, solver, penalty):
    penalty = {
        "L1": csc.L1(0.3),
        "weighted": weighted(dtype),
        "positive": csc.L1(0.3, positive=True),
        "ElasticNet": csc.ElasticNet(0.3, 2.0),
        "GroupL21": csc.GroupL21(0.3, 5),
        "L0": csc.L0(0.05),
        "LogPenalty": csc.LogPenalty(0.1),
    }[penalty]
    x, atoms = planted(rng, dtype)
    mask = (rng.random(x.shape) < 0.8).astype(dtype)
    ours = csc.Problem(x, csc.Dictionary(atoms, "same"), penalty, mask)
    theirs = on_gpu(ours)
    states = [solver.init(problem, problem.zeros()) for problem in (ours, theirs)]
    theirs.structure.atom_lmbda if type(penalty) is csc.L1 else None
    for _ in range(12):
        states[0] = solver.step(ours, states[0])
        with fake_cupy.no_waiting():
            states[1] = solver.step(theirs, states[1])
    assert device_of(states[1].z) == "gpu"
    close(states[1].z, states[0].z, 5 * CLOSE[dtype.name])
    value = theirs.value(states[1].z), ours.value(states[0].z)
    assert value[0] == pytest.approx(value[1], rel=CLOSE[dtype.name])
    if penalty.convex:
        certificates = [p.certificate(s.z) for p, s in zip((ours, theirs), states, strict=True)]
        (objective, gap), (same, other) = certificates
        assert objective == pytest.approx(same, rel=1e-3)
        if ours.structure.has_group_dual:  # rescaled sample by sample, on the host only
            assert 0 < gap <= other * (1 + 1e-3)
        else:
            assert gap == pytest.approx(other, rel=1e-3)


def test_waiting_is_seen(rng, cupy):
    if cupy.cuda is not fake_cupy.CUDA:
        pytest.skip("CuPy does not tell")
    a = on_gpu(rng.standard_normal(4))
    for wait in (lambda: float(a.sum()), lambda: bool(a.any()), lambda: a[a > 0], a.tolist, a.get):
        with fake_cupy.no_waiting(), pytest.raises(AssertionError, match="waits"):
            wait()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("positive", [False, True])
def test_certificates_of_dense_codes_are_those_of_sparse_ones(rng, mode, axes, positive):
    x, atoms = planted(rng, "float64", axes)
    mask = (rng.random(x.shape) < 0.9).astype("float64")
    for observed in (None, mask):
        problem = csc.Problem(
            x, csc.Dictionary(atoms, mode), csc.L1(0.4, positive=positive), observed
        )
        z = csc.solve(problem, csc.solvers.FISTA(), max_iter=30).codes
        there = on_gpu(problem).certificate(on_gpu(z))
        assert there == pytest.approx(problem.certificate(z), rel=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_coding_agrees(rng, dtype, mode):
    x, atoms = planted(rng, dtype, n_atoms=3, n=1)
    tol = {"float32": 1e-5, "float64": 1e-7}[dtype.name]
    ours = csc.sparse_code(x, atoms, 0.8, mode=mode, tol=tol)
    theirs = csc.sparse_code(on_gpu(x), on_gpu(atoms), 0.8, mode=mode, tol=tol)
    assert theirs.converged, theirs.message
    assert device_of(theirs.codes) == device_of(theirs.reconstruction()) == "gpu"
    assert theirs.objective == pytest.approx(ours.objective, rel=2 * tol)
    assert theirs.sparse_codes.shape == ours.codes.shape
    assert "codes non-zero" in repr(theirs)


@pytest.mark.parametrize("positive", [False, True])
def test_patches_agree(rng, dtype, positive):
    x, atoms = planted(rng, dtype, n_atoms=20, n=1)
    x = rng.standard_normal((9, *atoms.shape[1:])).astype(dtype)
    penalty = csc.L1(0.3, positive=positive)
    ours = csc.solve(csc.Problem(x, csc.Dictionary(atoms), penalty), tol=1e-6)
    problem = csc.Problem(on_gpu(x), on_gpu(csc.Dictionary(atoms)), penalty)
    theirs = csc.solve(problem, tol=1e-6)
    assert theirs.converged, theirs.message
    close(theirs.codes, ours.codes, 100 * CLOSE[dtype.name])


def test_lmbda_max_and_relative_strengths_agree(rng):
    x, atoms = planted(rng, "float64")
    D, E = csc.Dictionary(atoms), on_gpu(csc.Dictionary(atoms))
    assert csc.lmbda_max(on_gpu(x), E) == pytest.approx(csc.lmbda_max(x, D), rel=1e-12)
    relative = csc.L1(csc.Relative(0.5))
    ours, theirs = csc.Problem(x, D, relative), csc.Problem(on_gpu(x), E, relative)
    assert theirs.penalty.lmbda == pytest.approx(ours.penalty.lmbda, rel=1e-12)


def test_a_mixture_of_devices_is_an_error_that_names_the_arguments(rng):
    x, atoms = planted(rng, "float64")
    D, mask, weights = csc.Dictionary(atoms), np.ones_like(x), np.ones((5, 1, 1))
    mixed = {
        "x lies on the GPU .* atoms on the CPU": lambda: csc.sparse_code(on_gpu(x), atoms, 0.1),
        "x lies on the CPU .* atoms on the GPU": lambda: csc.Problem(x, on_gpu(D), csc.L1(0.1)),
        "mask": lambda: csc.Problem(x, D, csc.L1(0.1), on_gpu(mask)),
        "weights": lambda: csc.Problem(on_gpu(x), on_gpu(D), csc.L1(0.1, weights)),
        "z lies on the GPU .* atoms": lambda: D(on_gpu(D.adjoint(x))),
        "init": lambda: csc.solve(
            csc.Problem(on_gpu(x), on_gpu(D), csc.L1(0.1)), csc.solvers.FISTA(), init=D.adjoint(x)
        ),
    }
    for words, work in mixed.items():
        with pytest.raises(TypeError, match=rf"{words}.*csc.to_device"):
            work()


def test_to_device_moves_what_is_made_of_arrays(rng, cupy):
    x, atoms = planted(rng, "float64")
    problem = csc.Problem(x, csc.Dictionary(atoms), weighted("float64"), np.ones_like(x))
    there = on_gpu([problem, {"kept": 1}, "word", (x,)])
    arrays = there[0].x, there[0].mask, there[0].dictionary.atoms, there[0].penalty.weights
    assert check_same_device(**{f"a{i}": a for i, a in enumerate((*arrays, *there[3]))}) is cupy
    assert there[1:3] == [{"kept": 1}, "word"]
    back = csc.to_device(there, "cpu")
    np.testing.assert_array_equal(back[0].dictionary.atoms, atoms)
    with pytest.raises(ValueError, match="device must be"):
        csc.to_device(x, "cuda:0")


def test_what_is_missing_is_one_sentence(monkeypatch, cupy):
    monkeypatch.setattr(cupy.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"no NVIDIA device.*gpu-cuda13.*gpu-cuda12"):
        on_gpu(np.ones(2))
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"needs CuPy: pip install 'mlcsc\[gpu-cuda13\]'"):
        on_gpu(np.ones(2))


def test_pursuits_of_the_cpu_say_so(rng):
    x, atoms = planted(rng, "float64")
    problem = on_gpu(csc.Problem(x, csc.Dictionary(atoms), csc.L0(0.1)))
    with pytest.raises(ValueError, match="NumPy arrays"):
        csc.solve(problem, csc.solvers.ConvOMP())
    with pytest.raises(ValueError, match="patches only"):
        csc.solve(
            on_gpu(csc.Problem(x, csc.Dictionary(atoms), csc.L1(0.1))), csc.solvers.WorkingSet()
        )


def two_layers(rng, dtype):
    D1 = csc.Dictionary(rng.standard_normal((4, 1, 3, 3)).astype(dtype), "full", 2)
    D2 = csc.Dictionary(rng.standard_normal((3, 4, 2, 3)).astype(dtype))
    return csc.MultiLayerDictionary([D1, D2]), rng.standard_normal((2, 1, 13, 15)).astype(dtype)


@pytest.mark.parametrize(
    "solver", [csc.solvers.MLISTA(), csc.solvers.MLFISTA()], ids=lambda s: type(s).__name__
)
def test_multilayer_steps_agree_and_nobody_waits(rng, dtype, solver):
    D, x = two_layers(rng, dtype)
    ours = csc.MultiLayerProblem(x, D, [csc.L1(0.1), csc.L1(0.2)])
    theirs = on_gpu(ours)
    states = [solver.init(problem, problem.zeros()) for problem in (ours, theirs)]
    for _ in range(12):
        states[0] = solver.step(ours, states[0])
        with fake_cupy.no_waiting():
            states[1] = solver.step(theirs, states[1])
    for mine, other in zip(states[1].z, states[0].z, strict=True):
        close(mine, other, 5 * CLOSE[dtype.name])
    one, other = theirs.certificate(states[1].z), ours.certificate(states[0].z)
    assert one == pytest.approx(other, rel=1e-3 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize(
    "solver", [csc.solvers.MLADMM(), csc.solvers.LayeredThresholding(), csc.solvers.LayeredBasisPursuit()],
    ids=lambda s: type(s).__name__,
)  # fmt: skip
def test_multilayer_pursuits_agree(rng, solver):
    D, x = two_layers(rng, "float64")
    ours = csc.MultiLayerProblem(x, D, [csc.L1(0.1), csc.L1(0.2)])
    found = [csc.solve(p, solver, max_iter=20, tol=1e-4) for p in (ours, on_gpu(ours))]
    close(found[1].codes[-1], found[0].codes[-1], 1e-3)
    assert device_of(found[1].codes[0]) == "gpu"


def test_the_benchmark_writes_what_it_found(cupy, tmp_path, monkeypatch, capsys):
    for peer in ("sporco_iteration", "torch_iteration"):
        monkeypatch.setattr(bench, peer, lambda *_: None)
    page = tmp_path / "gpu.md"
    page.write_text(f"by hand\n\n{bench.MARK}\nold\n")
    small = "--sizes 24 --atoms 4 --side 3 --steps 2 --images 1 --learn-size 16 --passes 1"
    bench.main([*small.split(), "--memory", "64", "--record", "--page", str(page)])
    coding, learning = map(json.loads, capsys.readouterr().out.splitlines())
    assert coding["operations"] == 2 * 2 * 4 * 22 * 22 * 9
    assert coding["bytes"] == 4 * (4 * 4 * 22 * 22 + 5 * 24 * 24)
    assert coding["relative_gap"] <= bench.GOAL
    assert coding["times_roofline"] > 0
    assert learning["ratio"] > 0
    text = page.read_text()
    assert text.startswith("by hand\n\n" + bench.MARK)
    assert "old" not in text
    assert f"- device: {coding['device']}" in text
    assert "| iteration_ms |" in text
    monkeypatch.setattr(cupy.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="nothing was measured"):
        bench.main([])
