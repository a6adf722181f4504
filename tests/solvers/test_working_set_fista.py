"""Groups and the l1 ball on signals: equal to FISTA's minimum, and never a gap that is too small."""

import numpy as np
import pytest

import csc
from csc.certificates import GroupScores, _group_duals
from csc.operators import KnownInfeasibility, PaddedSignals
from csc.solvers import FISTA, WorkingSetFISTA, _blocks, fastest

PENALTIES = [csc.GroupL21(0.6, 2), csc.SparseGroupL21(0.4, 3, 0.7), csc.L1Ball(6.0)]
IDS = ["groups", "sparse groups", "ball"]


def one_channel(rng):
    """Two series, some samples not observed."""
    x = rng.standard_normal((2, 1, 200))
    return x, rng.standard_normal((6, 1, 9)), {}, (rng.random(x.shape) > 0.2).astype(x.dtype)


def colour(rng):
    return (
        rng.standard_normal((2, 3, 15, 17)),
        rng.standard_normal((6, 3, 3, 4)),
        {"mode": "circular"},
        None,
    )


def volume(rng):
    x = rng.standard_normal((1, 2, 14, 12, 13))[..., ::-1]  # not contiguous
    return x, rng.standard_normal((6, 2, 3, 2, 3)), {"mode": "same", "stride": (2, 2, 1)}, None


def problem_of(make, penalty, rng, dtype="float64"):
    x, atoms, where, mask = make(rng)
    atoms = csc.constraints.UnitSphere().project(atoms).astype(dtype)
    return csc.Problem(x.astype(dtype), csc.Dictionary(atoms, **where), penalty, mask)


@pytest.mark.parametrize("make", [one_channel, colour, volume])
@pytest.mark.parametrize("penalty", PENALTIES, ids=IDS)
def test_it_is_the_default_and_has_the_minimum_of_fista(make, penalty, rng):
    problem = problem_of(make, penalty, rng)
    assert isinstance(fastest(problem), WorkingSetFISTA)
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


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0, 4.0])
def test_scores_of_sparse_groups_are_their_dual_norms(ratio, rng):
    penalty = csc.SparseGroupL21(0.2, 3, ratio)
    problem = problem_of(colour, penalty, rng)
    layout = PaddedSignals(problem.dictionary, problem.x.shape, "float64")
    r, _ = layout.observed(problem.x, None)
    largest = GroupScores(layout, penalty).dual_infeasibility(r)
    ours = largest.reshape(len(r), -1).max(axis=1)
    np.testing.assert_allclose(
        ours, penalty.dual_norm(problem.dictionary.adjoint(problem.x)), rtol=1e-9
    )


@pytest.mark.parametrize("make", [one_channel, colour, volume])
@pytest.mark.parametrize("penalty", PENALTIES[:2], ids=IDS[:2])
def test_scores_near_known_ones_are_exact_above_1_and_never_too_small(
    make, penalty, rng, monkeypatch
):
    monkeypatch.setattr(_group_duals, "MAX_UNCERTAIN_FRACTION", 1.0)
    problem = problem_of(make, penalty, rng)
    layout = PaddedSignals(problem.dictionary, problem.x.shape, "float64")
    x = problem.x
    change = rng.standard_normal(x.shape) * (rng.random(x.shape) < 0.05)
    top = float(abs(problem.dictionary.adjoint(x)).max())
    for signal in (0.5 / top * x, x):  # few scores above 1, and most of them
        scores = GroupScores(layout, penalty)
        r, changed = (layout.observed(a, None)[0] for a in (signal, signal + change))
        known = KnownInfeasibility(r, scores.dual_infeasibility(r))
        largest, positions, of_groups = scores.near(changed, known)
        q = problem.dictionary.adjoint(signal + change)
        n, k, *v = q.shape
        groups = np.moveaxis(q, 1, -1).reshape(-1, 1, k // penalty.group_size, penalty.group_size)
        exact = [penalty.dual_norm(g.reshape(1, -1, 1))[0] for g in groups]
        exact = np.reshape(exact, (n, *v))
        np.testing.assert_allclose(largest[exact > 1], exact[exact > 1], rtol=1e-9)
        assert (largest >= exact * (1 - 1e-9)).all()
        np.testing.assert_array_equal(of_groups.max(axis=1), largest.ravel()[positions])
    assert 0 < len(positions) <= largest.size


@pytest.mark.parametrize("penalty", PENALTIES, ids=IDS)
def test_float32_one_start_and_zero_signals(penalty, rng):
    problem = problem_of(one_channel, penalty, rng, "float32")
    solution = csc.solve(problem, tol=1e-5)
    assert solution.converged, solution.message
    assert solution.codes.dtype == "float32"
    start = 10 * rng.standard_normal(problem.code_shape).astype(
        "float32"
    )  # far, and outside a ball
    again = csc.solve(problem, tol=1e-5, init=start)
    assert again.objective == pytest.approx(solution.objective, rel=2e-5)
    zero = csc.Problem(0 * problem.x, problem.dictionary, penalty)
    assert not csc.solve(zero).codes.any()


def test_codes_outside_of_the_ball_have_an_infinite_objective(rng):
    problem = problem_of(colour, csc.L1Ball(6.0), rng)
    assert problem.certificate(np.ones(problem.code_shape)) == (np.inf, np.inf)


def test_few_codes_weights_and_measurements_are_solved_by_others(rng):
    x, atoms, *_ = one_channel(rng)
    D = csc.Dictionary(atoms)
    assert not isinstance(fastest(csc.Problem(x[..., :90], D, csc.L1Ball(1.0))), WorkingSetFISTA)
    term = csc.data_terms.LeastSquares(np.full(x.shape, 0.5))
    weighted = csc.Problem(x, D, csc.GroupL21(0.6, 2), data_term=term)
    assert not isinstance(fastest(weighted), WorkingSetFISTA)


def test_gaps_of_a_ball_of_large_codes(rng):
    scale, x, atoms = 1e100, rng.standard_normal((1, 1, 700)), rng.standard_normal((4, 1, 5))
    solutions = [
        csc.solve(csc.Problem(unit * x, csc.Dictionary(atoms), csc.L1Ball(5.0 * unit)))
        for unit in (1.0, scale)
    ]
    assert all(solution.converged for solution in solutions)
    np.testing.assert_allclose(solutions[1].objective / scale**2, solutions[0].objective, rtol=1e-4)


def test_groups_of_a_coherent_series_need_few_steps(rng):
    t = (np.arange(41) - 20) * 0.2
    ricker = (1 - t * t) * np.exp(-t * t / 2)  # neighbours have a correlation of 0.98
    waves = np.stack([ricker, np.gradient(ricker)])[:, None]
    D = csc.Dictionary(csc.constraints.UnitSphere().project(waves), "same")
    z = rng.standard_normal((1, 2, 800)) * (rng.random((1, 1, 800)) < 0.05)
    x = D(z) + 0.01 * rng.standard_normal((1, 1, 800))
    problem = csc.Problem(x, D, csc.GroupL21(csc.Relative(3e-3), 2))
    solution = csc.solve(problem, tol=1e-6, max_iter=3)  # without blocks more than 30
    assert solution.converged


@pytest.mark.parametrize(
    "penalty",
    [
        csc.GroupL21(csc.Relative(0.02), 2),
        csc.SparseGroupL21(csc.Relative(0.02), 2, 0.5),
        csc.L1Ball(400.0),
    ],
    ids=IDS,
)
def test_coherent_pictures_need_few_steps(penalty, rng):
    bell = np.exp(-(np.linspace(-1.5, 1.5, 7) ** 2))
    slope = np.gradient(bell)
    pairs = (slope, bell), (bell, slope), (bell, bell), (slope, slope)
    atoms = np.stack([np.outer(*pair) for pair in pairs])[:, None]
    D = csc.Dictionary(csc.constraints.UnitSphere().project(atoms))
    problem = csc.Problem(rng.standard_normal((1, 1, 24, 24)), D, penalty)
    assert csc.solve(problem, tol=1e-6, max_iter=15).converged  # without Newton steps more than 50


@pytest.mark.parametrize("size", [2, 60, 100])
def test_blocks_have_whole_groups(size):
    numbers = np.arange(6 * size)
    blocks = _blocks._split(np.repeat(np.arange(6.0), size)[None], numbers, 0.34, size)
    assert all(len(block) % size == 0 for block in blocks)
    np.testing.assert_array_equal(np.sort(np.concatenate(blocks)), numbers)
    assert max(map(len, blocks)) <= _blocks.BLOCK_SIZE
