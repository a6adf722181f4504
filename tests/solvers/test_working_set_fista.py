"""The l1 ball on signals: equal to FISTA's minimum, and never a gap that is too small."""

import numpy as np
import pytest

import csc
from csc.solvers import FISTA, WorkingSetFISTA, fastest

BALL = csc.L1Ball(6.0)


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
def test_it_is_the_default_and_has_the_minimum_of_fista(make, rng):
    problem = problem_of(make, BALL, rng)
    assert isinstance(fastest(problem), WorkingSetFISTA)
    ours, theirs = csc.solve(problem, tol=1e-8), csc.solve(problem, FISTA(), tol=1e-7)
    assert ours.converged, ours.message
    assert theirs.converged
    assert ours.objective <= theirs.objective * (1 + 2e-8)
    assert theirs.objective - theirs.gap <= ours.objective
    assert problem.value(ours.codes) == pytest.approx(ours.objective, rel=1e-12)
    assert problem.value(ours.z) == pytest.approx(ours.objective, rel=1e-12)
    assert abs(ours.codes - theirs.codes).max() < 1e-2


def test_gaps_bound_the_distance_to_the_minimum(rng):
    problem = problem_of(colour, BALL, rng)
    best = csc.solve(problem, tol=1e-9)
    for distance in (1e-4, 1e-2, 1.0):
        codes = best.codes * rng.uniform(1 - distance, 1, problem.code_shape)
        objective, gap = problem.certificate(codes)
        plain = csc.certificates.duality_gap(problem.x, problem.dictionary, codes, BALL).sum()
        assert objective == pytest.approx(problem.value(codes), rel=1e-12)
        assert objective - best.objective <= gap * (1 + 1e-9) + 1e-8 * objective
        assert gap <= plain * (1 + 1e-6) + 1e-12 * objective


def test_float32_one_start_and_zero_signals(rng):
    problem = problem_of(one_channel, BALL, rng, "float32")
    solution = csc.solve(problem, tol=1e-5)
    assert solution.converged, solution.message
    assert solution.codes.dtype == "float32"
    start = 10 * rng.standard_normal(problem.code_shape).astype(
        "float32"
    )  # far, and outside a ball
    again = csc.solve(problem, tol=1e-5, init=start)
    assert again.objective == pytest.approx(solution.objective, rel=2e-5)
    zero = csc.Problem(0 * problem.x, problem.dictionary, BALL)
    assert not csc.solve(zero).codes.any()


def test_codes_outside_of_the_ball_have_an_infinite_objective(rng):
    problem = problem_of(colour, csc.L1Ball(6.0), rng)
    assert problem.certificate(np.ones(problem.code_shape)) == (np.inf, np.inf)


def test_few_codes_are_solved_by_others(rng):
    x, atoms, *_ = one_channel(rng)
    D = csc.Dictionary(atoms)
    assert not isinstance(fastest(csc.Problem(x[..., :90], D, csc.L1Ball(1.0))), WorkingSetFISTA)


def test_gaps_of_a_ball_of_large_codes(rng):
    scale, x, atoms = 1e100, rng.standard_normal((1, 1, 700)), rng.standard_normal((4, 1, 5))
    solutions = [
        csc.solve(csc.Problem(unit * x, csc.Dictionary(atoms), csc.L1Ball(5.0 * unit)))
        for unit in (1.0, scale)
    ]
    assert all(solution.converged for solution in solutions)
    np.testing.assert_allclose(solutions[1].objective / scale**2, solutions[0].objective, rtol=1e-4)


def test_coherent_pictures_need_few_steps(rng):
    bell = np.exp(-(np.linspace(-1.5, 1.5, 7) ** 2))
    slope = np.gradient(bell)
    pairs = (slope, bell), (bell, slope), (bell, bell), (slope, slope)
    atoms = np.stack([np.outer(*pair) for pair in pairs])[:, None]
    D = csc.Dictionary(csc.constraints.UnitSphere().project(atoms))
    problem = csc.Problem(rng.standard_normal((1, 1, 24, 24)), D, csc.L1Ball(400.0))
    assert csc.solve(problem, tol=1e-6, max_iter=15).converged  # without Newton steps more than 50
