"""Groups on signals: equal to dense transcriptions and to FISTA's minimum, and never a gap that is too small."""

import numpy as np
import pytest

import csc
from csc.certificates import GroupScores, group_lmbdas
from csc.operators import KnownInfeasibility, PaddedSignals, SparseCodes, _support_operator
from csc.solvers import FISTA, GroupDescent, _blocks, fastest
from csc.solvers._active_groups import ActiveGroups
from reference import lasso as naive
from reference.larger_signals import colour, one_channel, problem_of, volume

PENALTIES = [csc.GroupL21(0.6, 2), csc.SparseGroupL21(0.4, 3, 0.7)]
IDS = ["groups", "sparse groups"]


def two_sizes(rng):
    """Atoms of a group differ in size."""
    atoms = rng.standard_normal((6, 1, 9))
    atoms[3:, :, 5:] = 0
    return rng.standard_normal((2, 1, 200)), atoms, {"sizes": [(9,)] * 3 + [(5,)] * 3}, None


@pytest.mark.parametrize("make", [one_channel, colour, volume, two_sizes])
@pytest.mark.parametrize("penalty", PENALTIES, ids=IDS)
def test_it_is_the_default_and_has_the_minimum_of_fista(make, penalty, rng):
    problem = problem_of(make, penalty, rng)
    assert isinstance(fastest(problem), GroupDescent)
    ours, theirs = csc.solve(problem, tol=1e-8), csc.solve(problem, FISTA(), tol=1e-7)
    assert ours.converged, ours.message
    assert theirs.converged
    assert ours.objective <= theirs.objective * (1 + 2e-8)
    assert theirs.objective - theirs.gap <= ours.objective
    assert problem.value(ours.codes) == pytest.approx(ours.objective, rel=1e-12)
    assert problem.value(ours.z) == pytest.approx(ours.objective, rel=1e-12)
    assert abs(ours.codes - theirs.codes).max() < 1e-2


@pytest.mark.parametrize("penalty", PENALTIES, ids=IDS)
def test_gaps_bound_the_distance_to_the_minimum(penalty, rng):
    problem = problem_of(colour, penalty, rng)
    best = csc.solve(problem, tol=1e-9)
    for distance in (1e-4, 1e-2, 1.0):
        codes = best.codes * rng.uniform(1 - distance, 1, problem.code_shape)
        objective, gap = problem.certificate(codes)
        plain = csc.certificates.duality_gap(problem.x, problem.dictionary, codes, penalty).sum()
        assert objective == pytest.approx(problem.value(codes), rel=1e-12)
        assert objective - best.objective <= gap * (1 + 1e-9) + 1e-8 * objective
        assert gap <= plain * (1 + 1e-6) + 1e-12 * objective


@pytest.mark.parametrize("case", ["inside", "wraps"])
@pytest.mark.parametrize("penalty", PENALTIES, ids=IDS)
def test_sweeps_and_newton_steps_are_those_of_dense_matrices(case, penalty, dtype, rng):
    mode = {"inside": "full", "wraps": "circular"}[case]
    D = csc.Dictionary(rng.standard_normal((6, 2, 4)).astype(dtype), mode)
    x = rng.standard_normal((1, 2, 13)).astype(dtype)
    mask = (rng.random(x.shape) < 0.8).astype(dtype)
    problem = csc.Problem(x, D, penalty, mask)
    used = rng.random((1, 6 // penalty.group_size, *problem.code_shape[2:])) < 0.4
    z = np.repeat(used, penalty.group_size, axis=1) * rng.standard_normal(problem.code_shape)
    active = ActiveGroups(problem, SparseCodes.of(z.astype(dtype)), dtype)
    M = naive.synthesis_matrix(D.atoms.astype("f8"), (13,), mode, D.geometry.stride)
    column = np.ravel_multi_index(active.codes.coordinates[1:], problem.code_shape[1:])
    seen = mask.ravel() > 0
    M, target = M[:, column][seen], x.ravel()[seen]
    lmbda, l1 = group_lmbdas(penalty)
    z, groups = active.codes.values.astype("f8"), np.arange(len(column)).reshape(-1, active.size)

    hessian, gradient = M.T @ M, M.T @ (target - M @ z)
    for g in groups:
        norm, w = np.linalg.norm(z[g]), gradient[g] - l1 * np.sign(z[g])
        outer = np.outer(z[g] / norm, w / max(np.linalg.norm(w), lmbda))
        hessian[np.ix_(g, g)] += lmbda / norm * (np.eye(len(g)) - (outer + outer.T) / 2)
        gradient[g] = w - lmbda * z[g] / norm
    active.cg_steps = 300
    step = active._newton_step(active.columns, active.codes.values)
    tol = 2e-3 if dtype == "float32" else 1e-7
    np.testing.assert_allclose(step, np.linalg.solve(hessian, gradient), rtol=tol, atol=tol)

    active.descend(2)
    whole = D.atoms.astype("f8").reshape(-1, active.size, 8)
    curvatures = np.linalg.norm(whole, 2, axis=(1, 2)) ** 2
    for _ in range(2):
        for g in groups:
            L = curvatures[active.codes.coordinates[1][g[0]] // active.size]
            ahead = naive.soft(z[g] + M[:, g].T @ (target - M @ z) / L, l1 / L)
            z[g] = ahead * max(1 - lmbda / L / max(np.linalg.norm(ahead), 1e-300), 0)
    tol = 1e-4 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(active.codes.values, z, atol=tol)
    r = active.layout.samples(active.observed(active.r)).ravel()[seen]
    np.testing.assert_allclose(r, target - M @ z, atol=tol)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 4.0, None])
@pytest.mark.parametrize("make", [colour, two_sizes])
def test_scores_bound_dual_norms_and_decide_feasibility(make, ratio, rng):
    penalty = csc.GroupL21(0.2, 3) if ratio is None else csc.SparseGroupL21(0.2, 3, ratio)
    problem = problem_of(make, penalty, rng)
    layout = PaddedSignals(problem.dictionary, problem.x.shape, "float64")
    r, _ = layout.observed(problem.x, None)
    scores = GroupScores(layout, penalty)
    q = problem.dictionary.adjoint(problem.x)
    rows = np.moveaxis(q.reshape(len(q), -1, 3, *q.shape[2:]), (1, 2), (-2, -1)).reshape(
        -1, 1, 3, 1
    )
    norms = np.array([penalty.dual_norm(row)[0] for row in rows]).reshape(-1, q.shape[1] // 3)
    largest = scores.dual_infeasibility(r).ravel()
    np.testing.assert_array_equal(largest > 1, norms.max(axis=1) > 1)
    above = largest > 1
    assert (largest >= norms.max(axis=1) * (1 - 1e-9))[above].all()
    excess = np.sqrt(3) if ratio == 0.0 or ratio else 1  # at most, of a group of three
    assert (largest - 1 <= excess * (norms.max(axis=1) - 1) * (1 + 1e-9))[above].all()
    positions = np.arange(1, len(norms), 2)
    found = scores.violating_groups(r, positions, np.ones(len(positions)))
    row, group = np.nonzero(norms[positions] > 1)
    np.testing.assert_array_equal(found, positions[row] * norms.shape[1] + group)


@pytest.mark.parametrize("make", [one_channel, colour, volume])
@pytest.mark.parametrize("penalty", PENALTIES, ids=IDS)
def test_scores_near_known_ones_are_exact_above_1_and_never_too_small(
    make, penalty, rng, monkeypatch
):
    monkeypatch.setattr(_support_operator, "MAX_UNCERTAIN_FRACTION", 1.0)
    problem = problem_of(make, penalty, rng)
    layout = PaddedSignals(problem.dictionary, problem.x.shape, "float64")
    x = problem.x
    change = rng.standard_normal(x.shape) * (rng.random(x.shape) < 0.05)
    top = float(abs(problem.dictionary.adjoint(x)).max())
    for signal in (0.5 / top * x, x):  # few scores above 1, and most of them
        scores = GroupScores(layout, penalty)
        r, changed = (layout.observed(a, None)[0] for a in (signal, signal + change))
        known = KnownInfeasibility(r, scores.dual_infeasibility(r))
        largest = scores.dual_infeasibility_near(changed, known)
        exact = scores.dual_infeasibility(changed)
        np.testing.assert_array_equal(largest[exact > 1], exact[exact > 1])
        assert (largest >= exact).all()
        assert (largest[exact <= 1] <= 1).all()


@pytest.mark.parametrize("penalty", PENALTIES, ids=IDS)
def test_float32_one_start_and_zero_signals(penalty, rng):
    problem = problem_of(one_channel, penalty, rng, "float32")
    solution = csc.solve(problem, tol=1e-5)
    assert solution.converged, solution.message
    assert solution.codes.dtype == "float32"
    start = 10 * rng.standard_normal(problem.code_shape).astype("float32")
    again = csc.solve(problem, tol=1e-5, init=start)
    assert again.objective == pytest.approx(solution.objective, rel=2e-5)
    zero = csc.Problem(0 * problem.x, problem.dictionary, penalty)
    assert not csc.solve(zero).codes.any()


def test_weighted_samples_are_solved_by_others(rng):
    x, atoms, *_ = one_channel(rng)
    term = csc.data_terms.LeastSquares(np.full(x.shape, 0.5))
    weighted = csc.Problem(x, csc.Dictionary(atoms), csc.GroupL21(0.6, 2), data_term=term)
    assert not isinstance(fastest(weighted), GroupDescent)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_gaps_of_small_and_large_signals(scale, rng):
    x, atoms = rng.standard_normal((1, 1, 700)), rng.standard_normal((4, 1, 5))
    solutions = [
        csc.solve(csc.Problem(s * x, csc.Dictionary(atoms), csc.GroupL21(2.0 * s, 2)))
        for s in (1.0, scale)
    ]
    assert all(solution.converged for solution in solutions)
    np.testing.assert_allclose(solutions[1].objective / scale**2, solutions[0].objective, rtol=1e-4)


@pytest.mark.parametrize("penalty", [csc.GroupL21, csc.SparseGroupL21])
def test_groups_of_a_coherent_series_need_few_steps(penalty, rng):
    t = (np.arange(41) - 20) * 0.2
    ricker = (1 - t * t) * np.exp(-t * t / 2)  # neighbours have a correlation of 0.98
    waves = np.stack([ricker, np.gradient(ricker)])[:, None]
    D = csc.Dictionary(csc.constraints.UnitSphere().project(waves), "same")
    z = rng.standard_normal((1, 2, 800)) * (rng.random((1, 1, 800)) < 0.05)
    x = D(z) + 0.01 * rng.standard_normal((1, 1, 800))
    problem = csc.Problem(x, D, penalty(csc.Relative(3e-3), 2))
    solution = csc.solve(problem, tol=1e-6, max_iter=1)  # without blocks more than 3
    assert solution.converged


@pytest.mark.parametrize(
    "penalty",
    [csc.GroupL21(csc.Relative(0.02), 2), csc.SparseGroupL21(csc.Relative(0.02), 2, 0.5)],
    ids=IDS,
)
def test_coherent_pictures_need_few_steps(penalty, rng):
    bell = np.exp(-(np.linspace(-1.5, 1.5, 7) ** 2))
    slope = np.gradient(bell)
    pairs = (slope, bell), (bell, slope), (bell, bell), (slope, slope)
    atoms = np.stack([np.outer(*pair) for pair in pairs])[:, None]
    D = csc.Dictionary(csc.constraints.UnitSphere().project(atoms))
    problem = csc.Problem(rng.standard_normal((1, 1, 24, 24)), D, penalty)
    solution = csc.solve(problem, tol=1e-6, max_iter=4)
    assert solution.converged, solution.message  # without Newton steps more than 20


@pytest.mark.parametrize("size", [2, 60, 100])
def test_blocks_have_whole_groups(size):
    numbers = np.arange(6 * size)
    blocks = _blocks._split(0, len(numbers), 0.34, size)
    assert all(len(block) % size == 0 for block in blocks)
    np.testing.assert_array_equal(np.sort(np.concatenate(blocks)), numbers)
    assert max(map(len, blocks)) <= _blocks.BLOCK_SIZE


@pytest.mark.parametrize("shape", [(6,), (30,), (7, 8)], ids=["patches", "series", "pictures"])
@pytest.mark.parametrize("penalty", PENALTIES, ids=IDS)
def test_small_signals_with_a_mask_each_are_solved_exactly(shape, penalty, dtype, rng):
    atoms = rng.standard_normal((6, 2, *(min(n, 6) for n in shape))).astype(dtype)
    x = rng.standard_normal((3, 2, *shape)).astype(dtype)
    mask = rng.random(x.shape) < 0.7
    problem = csc.Problem(x, csc.Dictionary(atoms), penalty, mask)
    assert isinstance(fastest(problem), GroupDescent)
    tol = 1e-8 if dtype == "float64" else 1e-4
    ours = csc.solve(problem, tol=tol, max_iter=5)
    assert ours.converged, ours.message
    alone = [
        csc.Problem(x[i : i + 1], problem.dictionary, penalty, mask[i : i + 1]) for i in range(3)
    ]
    assert all(p.structure.is_small for p in alone)  # solved by another method
    theirs = sum(csc.solve(p, tol=tol).objective for p in alone)
    assert ours.objective == pytest.approx(theirs, rel=2 * tol)
