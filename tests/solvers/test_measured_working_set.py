"""The working set on measured signals, against the dense matrix of all measured atoms."""

import numpy as np
import pytest

import csc
from csc.solvers import MeasuredWorkingSet, _measured_working_set, fastest
from reference import lasso as naive

SHAPE = (6, 196)  # atoms, positions


def problem_of(penalty, rng, dtype="float64", *, masked=False, m=60):
    D = csc.Dictionary(rng.standard_normal((6, 1, 5)).astype(dtype))
    A = rng.standard_normal((m, 200)).astype(dtype) / 8
    measured = csc.operators.MeasuredDictionary(D, A, (200,))
    y = rng.standard_normal((2, m)).astype(dtype)
    mask = (rng.random(y.shape) < 0.8).astype(dtype) if masked else None
    M = A @ naive.synthesis_matrix(D.atoms.astype("f8"), (200,), "full", (1,))
    return csc.Problem(y, measured, penalty, mask), M


def assert_minimal(problem, M, codes, tol=1e-6):
    """Optimality of the lasso of each signal, whose ridge is further rows of the matrix."""
    penalty = problem.penalty
    weights = 1.0 if getattr(penalty, "weights", None) is None else penalty.weights
    lmbda = np.broadcast_to(penalty.lmbda * weights, (1, *SHAPE)).ravel()
    ridge = penalty.lmbda * getattr(penalty, "ridge", 0.0)
    for i, z in enumerate(codes.reshape(2, -1).astype("f8")):
        seen = 1.0 if problem.mask is None else problem.mask[i]
        q = M.T @ (seen * (problem.x[i] - M @ z)) - ridge * z
        assert z.any()
        np.testing.assert_allclose(q[z != 0], lmbda[z != 0] * np.sign(z[z != 0]), atol=tol)
        assert ((q if penalty.positive else abs(q)) <= lmbda + tol).all()
        assert not penalty.positive or (z >= 0).all()


PENALTIES = {
    "l1": csc.L1(0.5),
    "positive": csc.L1(0.5, positive=True),
    "weights": csc.L1(0.5, np.where(np.arange(196) < 50, np.inf, np.linspace(0.5, 2, 196))),
    "elastic net": csc.ElasticNet(0.5, 0.4),
    "positive elastic net": csc.ElasticNet(0.5, 0.4, positive=True),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_codes_are_minimal_by_dense_matrices(penalty, masked, rng):
    problem, M = problem_of(PENALTIES[penalty], rng, masked=masked)
    assert isinstance(fastest(problem), MeasuredWorkingSet)
    solution = csc.solve(problem, tol=1e-10)
    assert solution.converged
    assert_minimal(problem, M, solution.codes)
    assert solution.n_iter <= 2


def assert_minimal_groups(q, z, lmbda, l1):
    """Optimality of groups, from correlations and codes ``(groups, members)`` of a signal."""
    used = z.any(axis=1)
    u = z[used] / np.linalg.norm(z[used], axis=1, keepdims=True)
    rest = q[used] - lmbda * u
    np.testing.assert_allclose(rest[z[used] != 0], l1 * np.sign(z[used][z[used] != 0]), atol=1e-5)
    assert (abs(rest) <= l1 + 1e-5).all()
    shrunk = np.maximum(abs(q[~used]) - l1, 0)
    assert (np.linalg.norm(shrunk, axis=1) <= lmbda + 1e-5).all()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "penalty", [csc.GroupL21(0.6, 3), csc.SparseGroupL21(0.3, 2, 0.7), csc.L1Ball(4.0)], ids=repr
)
def test_groups_and_balls_are_minimal_by_dense_matrices(penalty, masked, rng):
    problem, M = problem_of(penalty, rng, masked=masked)
    assert isinstance(fastest(problem), MeasuredWorkingSet)
    solution = csc.solve(problem, tol=1e-11)
    assert solution.n_iter <= 2
    for i, codes in enumerate(solution.codes):
        objective, gap, _ = _measured_working_set._Signal(problem, i, solution.codes).certificate()
        assert gap <= 1e-9 * objective
        seen = 1.0 if problem.mask is None else problem.mask[i]
        q, z = (M.T @ (seen * (problem.x[i] - M @ codes.ravel()))).reshape(SHAPE), codes
        assert z.any()
        if isinstance(penalty, csc.L1Ball):
            assert abs(z).sum() == pytest.approx(4.0, rel=1e-12)
            np.testing.assert_allclose((np.sign(z) * q)[z != 0], abs(q).max(), rtol=1e-6)
            continue
        size = penalty.group_size
        q, z = (a.reshape(-1, size, SHAPE[1]).swapaxes(1, 2).reshape(-1, size) for a in (q, z))
        ratio = getattr(penalty, "ratio", None)
        lmbdas = (penalty.lmbda, 0.0) if ratio is None else (penalty.lmbda * ratio, penalty.lmbda)
        assert_minimal_groups(q, z, *lmbdas)
    again = csc.solve(problem, tol=1e-8, init=1.1 * solution.codes)
    assert again.objective == pytest.approx(solution.objective, rel=1e-7)


def test_codes_outside_of_a_ball_are_not_taken_for_its_minimum():
    A = csc.MeasuredDictionary(csc.Dictionary(np.eye(2)[:, None]), np.eye(2), (2,))
    problem = csc.Problem(np.array([[3.0, 0.0]]), A, csc.L1Ball(1.0))
    solver, outside = MeasuredWorkingSet(), np.zeros(problem.code_shape)
    outside[0, 0, 0] = 1.5  # its data term is below the minimum in the ball
    z = solver.step(problem, solver.init(problem, outside)).z
    np.testing.assert_allclose(z[0, 0, 0], 1.0)


def test_single_precision_and_any_start(rng):
    problem, M = problem_of(csc.L1(0.3), rng, "float32")
    solution = csc.solve(problem, tol=1e-5)
    assert solution.converged
    assert solution.codes.dtype == "float32"
    assert_minimal(problem, M, solution.codes, 1e-3)
    start = rng.standard_normal(solution.codes.shape).astype("f4")
    for init in (solution.codes, start, start * (rng.random(start.shape) < 0.05)):
        again = csc.solve(problem, tol=1e-5, init=init)
        assert again.objective == pytest.approx(solution.objective, rel=2e-5)


def test_fista_takes_over_from_sets_that_are_too_large(rng, monkeypatch):
    problem, M = problem_of(csc.L1(0.5), rng)
    monkeypatch.setattr(_measured_working_set, "MAX_COLUMNS", 20)
    solution = csc.solve(problem, tol=1e-8, max_iter=3000)
    assert solution.converged
    assert solution.n_iter > 2
    assert_minimal(problem, M, solution.codes, 1e-3)


def test_zeros_are_found_and_others_are_not_supported(rng):
    problem, _ = problem_of(csc.L1(csc.Relative(1.01)), rng)
    with pytest.warns(UserWarning, match="all codes are zero"):
        solution = csc.solve(problem)
    assert solution.converged
    assert not solution.codes.any()
    for penalty in (csc.L1(0.0), csc.GroupL21(0.0, 2), csc.L1(1.0, np.eye(6, 196))):
        assert not MeasuredWorkingSet().supports(problem_of(penalty, rng)[0])
    unmeasured = csc.Problem(
        rng.standard_normal((1, 1, 9)), csc.Dictionary(np.ones((2, 1, 3))), csc.L1(1.0)
    )
    assert not MeasuredWorkingSet().supports(unmeasured)


def test_a_step_that_leaves_codes_of_a_small_gap_goes_on(rng):
    problem, _ = problem_of(csc.SparseGroupL21(0.3, 3, 0.5), rng)
    first = csc.solve(problem, MeasuredWorkingSet(1e-5), tol=1e-5, max_iter=1)
    assert 1e-10 < first.relative_gap < 1e-5
    loose = MeasuredWorkingSet(200 * first.relative_gap)  # the second step is within its tolerance
    assert csc.solve(problem, loose, tol=1e-10, init=first.codes).converged
