"""Greedy FISTA follows its published iteration and its safeguard."""

import numpy as np
import pytest

import csc
from reference import lasso as naive
from reference import penalties as naive_penalties


@pytest.mark.parametrize("scale", [0.0, 1e-3])
def test_greedy_fista_walks_as_its_paper(scale, rng):
    D = csc.Dictionary(rng.standard_normal((4, 2, 3, 2)))
    problem = csc.Problem(rng.standard_normal((1, 2, 9, 7)), D, csc.L1(0.3))
    M, L = naive.synthesis_matrix(D.atoms, (9, 7)), problem.lipschitz()
    start = scale * rng.standard_normal(problem.code_shape)
    theirs, steps = naive_penalties.greedy_fista(M, problem.x.ravel(), start.ravel(), 0.3, L, 100)
    solver = csc.solvers.GreedyFISTA()
    state = solver.init(problem, start)
    for z, step_size in zip(theirs, steps, strict=True):
        state = solver.step(problem, state)
        np.testing.assert_allclose(state.z.ravel(), z, atol=1e-9)
        assert state.step_size == pytest.approx(step_size)


def test_a_move_as_long_as_the_safeguard_shortens_the_step_to_one_over_L(rng):
    D = csc.Dictionary(rng.standard_normal((4, 1, 3)))
    problem = csc.Problem(rng.standard_normal((1, 1, 12)), D, csc.L1(0.1))
    solver, L = csc.solvers.GreedyFISTA(step_factor=1.9), problem.lipschitz()
    state = solver.init(problem, problem.zeros())._replace(first=0.0)
    seen = []
    for _ in range(20):
        state = solver.step(problem, state)
        seen.append(state.step_size * L)
    assert seen[:2] == pytest.approx([1.9 * 0.96, 1.9 * 0.96**2])
    assert seen[-1] == pytest.approx(1.0)


def test_greedy_fista_keeps_single_precision_and_solves(dtype, rng):
    D = csc.Dictionary(rng.standard_normal((4, 1, 3)).astype(dtype))
    problem = csc.Problem(rng.standard_normal((2, 1, 30)).astype(dtype), D, csc.L1(0.3))
    solver = csc.solvers.GreedyFISTA()
    state = solver.step(problem, solver.init(problem, problem.zeros()))
    assert state.z.dtype == state.y.dtype == dtype
    assert csc.solve(problem, solver, tol=1e-5).converged


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"step_factor": 2.0}, "step_factor"),
        ({"divergence_factor": 1.0}, "divergence_factor"),
        ({"step_decay": 1.0}, "step_decay"),
    ],
)
def test_bad_rules_are_refused(options, word):
    with pytest.raises(ValueError, match=f"{word} must be"):
        csc.solvers.GreedyFISTA(**options)
