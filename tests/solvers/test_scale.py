"""Scales of signals and atoms change codes by their scale, and the number of steps not at all."""

import numpy as np
import pytest

import csc


def unit_atoms(rng, *shape):
    return csc.constraints.UnitSphere().project(rng.standard_normal(shape))


def layered(units, x_scale=1.0, atom_scales=(1.0, 1.0)):
    """A problem of two layers, with strengths in these units."""
    rng = np.random.default_rng(0)
    atoms = unit_atoms(rng, 3, 1, 4), unit_atoms(rng, 4, 3, 3)
    x = x_scale * rng.standard_normal((1, 1, 12))
    D = [csc.Dictionary(a * c) for a, c in zip(atoms, atom_scales, strict=True)]
    penalties = [csc.L1(float(lmbda * unit)) for lmbda, unit in zip((0.3, 0.2), units, strict=True)]
    return csc.MultiLayerProblem(x, csc.MultiLayerDictionary(D), penalties)


JOINT = {  # what: (units of the strengths, unit of the deepest codes), for a scale c
    "signals": lambda c: ((c, c), c),
    "first": lambda c: ((c, c), 1 / c),
    "second": lambda c: ((1, c), 1 / c),
}
ONE_BY_ONE = {**JOINT, "first": lambda c: ((c, 1 / c), 1 / c)}  # codes are the next one's signals
FORWARD = {  # codes are correlations
    **JOINT, "first": lambda c: ((c, c), c), "second": lambda c: ((1, c), c)
}  # fmt: skip
LAYERED = [
    (csc.solvers.MLISTA(), JOINT),
    (csc.solvers.MLFISTA(), JOINT),
    (csc.solvers.MLADMM(), JOINT),
    (csc.solvers.HolisticPursuit(4), JOINT),
    (csc.solvers.ProjectionPursuit([None, 3], n_nonzero=4), JOINT),
    (csc.solvers.LayeredBasisPursuit(csc.solvers.FISTA()), ONE_BY_ONE),
    (csc.solvers.LayeredThresholding(), FORWARD),
]


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "units"), LAYERED, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("what", ["signals", "first", "second"])
def test_pursuits_of_layers_know_no_scale(solver, units, what):
    expected = csc.solve(layered((1, 1)), solver, max_iter=50)
    assert expected.codes[-1].any()
    for c in (1e-6, 1e6):
        scales = {"signals": (c,), "first": (1.0, (c, 1.0)), "second": (1.0, (1.0, c))}[what]
        strengths, unit = units[what](c)
        found = csc.solve(layered(strengths, *scales), solver, max_iter=50)
        assert found.status is expected.status
        assert abs(found.n_iter - expected.n_iter) <= 10
        theirs = expected.codes[-1]
        atol = 0.01 * abs(theirs).max()
        np.testing.assert_allclose(found.codes[-1] / unit, theirs, atol=atol)


def test_zero_codes_are_no_stall_while_duals_move():
    D = [csc.Dictionary(np.eye(2)[:, None]), csc.Dictionary(np.eye(2)[:, :, None])]
    x = np.array([[[3.0, 4.0]]])
    problem = csc.MultiLayerProblem(x, csc.MultiLayerDictionary(D), [csc.L1(0.5), csc.L1(1.0)])
    solution = csc.solve(problem, csc.solvers.MLADMM(rho=1e-6))
    assert solution.converged
    assert not solution.history[0].objective < 12.5  # zero at the first look
    circular = csc.Dictionary(np.eye(2)[:, None], "circular")
    single = csc.Problem(x, circular, csc.L1(1.0))
    assert csc.solve(single, csc.solvers.ADMM(rho=1e-6)).converged


SERIES = [  # solver, whether of patches
    (csc.solvers.ISTA(), False), (csc.solvers.FISTA(), False), (csc.solvers.GreedyFISTA(), False), (csc.solvers.ADMM(), False),
    (csc.solvers.WorkingSet(), False), (csc.solvers.ConvOMP(), False), (csc.solvers.WorkingSet(), True),
    (csc.solvers.OMP(n_nonzero=2), True), (csc.solvers.CoordinateDescent(), True),
]  # fmt: skip


def single(solver, patches, x_scale, atom_scale):
    rng = np.random.default_rng(0)
    n, mode = (8, "full") if patches else (24, "circular")
    atoms = unit_atoms(rng, 5 if patches else 3, 1, n if patches else 5)
    x = rng.standard_normal((2, 1, n))
    penalty = csc.L1(0.3 * x_scale * atom_scale)
    if isinstance(solver, csc.solvers.OMP | csc.solvers.ConvOMP):
        penalty = csc.L0(0.05 * x_scale**2)
    if isinstance(solver, csc.solvers.CoordinateDescent):  # LogPenalty's scale is one of codes
        penalty = csc.LogPenalty(0.1 * x_scale**2, 0.3 * x_scale / atom_scale)
    return csc.Problem(x_scale * x, csc.Dictionary(atom_scale * atoms, mode), penalty)


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "patches"), SERIES, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("what", ["signals", "atoms"])
def test_solvers_of_one_layer_know_no_scale(solver, patches, what):
    expected = csc.solve(single(solver, patches, 1, 1), solver, max_iter=60)
    assert expected.codes.any()
    for c in (1e-6, 1e-3, 1e3, 1e6):
        scales = (c, 1) if what == "signals" else (1, c)
        found = csc.solve(single(solver, patches, *scales), solver, max_iter=60)
        assert abs(found.n_iter - expected.n_iter) <= 10
        assert found.status is expected.status
        codes = found.codes * scales[1] / scales[0]
        np.testing.assert_allclose(codes, expected.codes, atol=1e-6)


SEARCHES = {
    "path": lambda x, D, c: csc.lmbda_path(x, D, 3, ratio=0.1)[-1],  # noqa: ARG005
    "noise": lambda x, D, c: csc.noise_constrained(x, D, 2.0 * c),
    "sparsity": lambda x, D, c: csc.lmbda_for_sparsity(x, D, 5),  # noqa: ARG005
}


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("what", ["signals", "atoms"])
def test_searches_know_no_scale(search, what):
    rng = np.random.default_rng(0)
    x, atoms = rng.standard_normal((1, 1, 24)), unit_atoms(rng, 3, 1, 5)
    expected = SEARCHES[search](x, csc.Dictionary(atoms), 1.0)
    for c in (1e-6, 1e-3, 1e3, 1e6):
        on, of = (c, 1) if what == "signals" else (1, c)
        found = SEARCHES[search](on * x, csc.Dictionary(of * atoms), on)
        assert found.problem.penalty.lmbda == pytest.approx(
            expected.problem.penalty.lmbda * on * of, rel=1e-6
        )
        np.testing.assert_allclose(found.codes * of / on, expected.codes, atol=1e-6)
