"""Data terms and new penalties on CuPy arrays."""

import numpy as np
import pytest

import csc
from csc.data_terms import Huber, LeastAbsolute, LeastSquares, Logistic, Poisson
from csc.problems import with_gradient_term

pytestmark = pytest.mark.usefixtures("cupy")


KINDS = [
    (LeastSquares, ()),
    (Huber, (0.3,)),
    (LeastAbsolute, ()),
    (Poisson, (0.5,)),
    (Logistic, ()),
]
CASES = [(*kind, csc.L1(0.1, positive=True)) for kind in KINDS]
CASES += [(Huber, (0.3,), penalty) for penalty in (csc.SparseGroupL21(0.1, 2), csc.L1Ball(2.0))]


@pytest.mark.parametrize(("kind", "numbers", "penalty"), CASES)
def test_problems_agree(kind, numbers, penalty, rng):
    term = kind(*numbers, rng.uniform(0.5, 1, (1, 15)))
    D = csc.Dictionary(abs(rng.standard_normal((4, 1, 3))))
    x = rng.random((2, 1, 15))
    here = csc.Problem(x, D, penalty, data_term=term)
    on_device = csc.to_device(term.weights, "gpu")
    there = csc.Problem(
        csc.to_device(x, "gpu"),
        csc.to_device(D, "gpu"),
        penalty,
        data_term=kind(*numbers, on_device),
    )
    solver = csc.solvers.FISTA() if term.smooth else csc.solvers.PrimalDual()
    ours, theirs = (csc.solve(p, solver, max_iter=40, tol=1e-12) for p in (here, there))
    np.testing.assert_allclose(csc.to_device(theirs.codes, "cpu"), ours.codes, atol=1e-8)
    assert theirs.objective == pytest.approx(ours.objective, rel=1e-9)
    if not np.isinf(ours.gap):
        assert theirs.gap >= -1e-12


def test_a_gradient_term_stays_on_the_device(rng):
    D, x = (
        csc.Dictionary(rng.standard_normal((2, 1, 3)), "circular"),
        rng.standard_normal((1, 1, 12)),
    )
    here = with_gradient_term(csc.Problem(x, D, csc.L1(0.1)), np.array([0.5, 0]))
    plain = csc.Problem(csc.to_device(x, "gpu"), csc.to_device(D, "gpu"), csc.L1(0.1))
    there = with_gradient_term(plain, np.array([0.5, 0]))
    assert csc.solve(there).objective == pytest.approx(csc.solve(here).objective, rel=1e-3)
