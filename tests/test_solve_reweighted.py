"""Lassos whose weights follow the codes."""

import numpy as np
import pytest

import csc
from csc.penalties import InverseSize, LateralInhibition


def test_each_round_lowers_the_logarithm_of_the_sizes(rng):
    D = csc.Dictionary(csc.constraints.UnitSphere().project(rng.standard_normal((4, 1, 5))))
    x, epsilon, lmbda = rng.standard_normal((2, 1, 40)), 0.2, 0.1
    problem = csc.Problem(x, D, csc.L1(lmbda))
    values, counts = [], []
    for n in range(1, 6):
        z = csc.solve_reweighted(problem, InverseSize(epsilon), n_rounds=n, tol=1e-8).codes
        fit = 0.5 * ((x - D(z, (40,))) ** 2).sum()
        values.append(fit + lmbda * epsilon * np.log1p(abs(z) / epsilon).sum())
        counts.append((z != 0).sum())
    assert (np.diff(values) < 1e-6).all()
    assert counts[-1] < counts[0]


def test_inhibition_lowers_the_number_of_atoms_at_a_place(rng):
    D = csc.Dictionary(csc.constraints.UnitSphere().project(rng.standard_normal((6, 1, 4, 4))))
    problem = csc.Problem(rng.standard_normal((1, 1, 16, 16)), D, csc.L1(0.2))
    plain = csc.solve(problem).codes
    rule = LateralInhibition(5 / abs(plain).max(), (3, 3))
    inhibited = csc.solve_reweighted(problem, rule).codes

    def atoms_at_a_place(z):
        return (z != 0).sum(axis=1)[(z != 0).any(axis=1)].mean()

    assert atoms_at_a_place(inhibited) < 0.95 * atoms_at_a_place(plain)
    z = rng.standard_normal((1, 3, 6, 5)) * (rng.random((1, 3, 6, 5)) < 0.3)
    weights, padded = rule.weights_of(z), np.pad(abs(z), ((0, 0), (0, 0), (1, 1), (1, 1)))
    for k, i, j in [(0, 0, 0), (1, 3, 4), (2, 5, 2)]:
        window = padded[0, :, i : i + 3, j : j + 3].mean(axis=(1, 2))
        assert weights[0, k, i, j] == pytest.approx(1 + rule.strength * np.delete(window, k).sum())


def test_own_weights_multiply_and_precision_stays():
    D = csc.Dictionary(np.eye(2, dtype="float32")[:, None])
    x, own = np.array([[[3.0, 3.0]]], "float32"), np.array([[1.0], [2.0]], "float32")
    problem = csc.Problem(x, D, csc.L1(0.5, own))
    solution = csc.solve_reweighted(problem, InverseSize(1.0), n_rounds=2, tol=1e-6)
    assert solution.codes.dtype == "float32"
    np.testing.assert_allclose(solution.codes.ravel(), [3 - 0.5 / 3.5, 3 - 1.0 / 3], rtol=1e-5)


def test_what_does_not_fit_is_refused():
    D = csc.Dictionary(np.eye(2)[:, None])
    x = np.ones((1, 1, 2))
    with pytest.raises(TypeError, match="csc.L1 penalty"):
        csc.solve_reweighted(csc.Problem(x, D, csc.L0(0.1)), InverseSize(0.1))
    with pytest.raises(TypeError, match="rule must be a rule such as"):
        csc.solve_reweighted(csc.Problem(x, D, csc.L1(0.1)), 3)
    with pytest.raises(TypeError, match="window must be a tuple"):
        LateralInhibition(1.0, 3)
    with pytest.raises(ValueError, match="window must have 1 numbers"):
        csc.solve_reweighted(csc.Problem(x, D, csc.L1(0.1)), LateralInhibition(1.0, (3, 3)))


def test_an_interrupt_ends_all_rounds(rng):
    class Interrupted(csc.data_terms.Huber):
        def majoriser_curvature(self, *_):
            raise KeyboardInterrupt

    class NextRound(InverseSize):
        def weights_of(self, *_):
            raise AssertionError("the rounds go on")

    D = csc.Dictionary(rng.standard_normal((2, 1, 3)))
    problem = csc.Problem(rng.standard_normal((1, 1, 9)), D, csc.L1(0.1), None, Interrupted(1.0))
    solution = csc.solve_reweighted(problem, NextRound(1.0))
    assert solution.status is csc.solvers.Status.INTERRUPTED
