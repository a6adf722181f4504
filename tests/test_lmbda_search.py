"""Choosing lmbda, against closed forms and scikit-learn's path."""

import numpy as np
import pytest
import scipy.optimize
from sklearn.linear_model import lasso_path

import csc


def orthonormal(n=40, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return csc.Dictionary(Q[:, None].astype(dtype)), rng.standard_normal((1, 1, n)).astype(dtype)


def image(dtype="float32", shape=(40, 37), seed=0):
    rng = np.random.default_rng(seed)
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((6, 1, 5, 4)))
    z = rng.standard_normal((1, 6, 36, 34)) * (rng.random((1, 6, 36, 34)) < 0.01)
    x = csc.Dictionary(atoms)(z) + 0.05 * rng.standard_normal((1, 1, *shape))
    return csc.Dictionary(atoms.astype(dtype)), x.astype(dtype)


def soft(a, t):
    return np.sign(a) * np.maximum(abs(a) - t, 0)


def test_a_path_is_that_of_scikit_learn(rng):
    atoms, x = rng.standard_normal((15, 1, 10)), rng.standard_normal((1, 1, 10))
    path = csc.lmbda_path(x, csc.Dictionary(atoms), 8, tol=1e-10)
    lmbdas = [s.problem.penalty.lmbda for s in path]
    np.testing.assert_allclose(lmbdas[-1] / lmbdas[0], 1e-2)
    theirs = lasso_path(atoms[:, 0].T, x[0, 0], alphas=np.array(lmbdas) / 10, tol=1e-12)[1]
    ours = np.stack([s.codes.ravel() for s in path], axis=1)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert not ours[:, 0].any()


def test_a_path_starts_each_solve_from_the_one_before():
    D, x = image()
    lmbdas = csc.lmbda_max(x, D) * np.array([0.05, 0.0499])
    first, second = csc.lmbda_path(x, D, lmbdas, tol=1e-3)
    started = csc.solve(second.problem, init=first.z, tol=1e-3)
    np.testing.assert_array_equal(second.codes, started.codes)
    cold = csc.solve(second.problem, tol=1e-3)
    assert not np.array_equal(second.codes, cold.codes)


@pytest.mark.parametrize("part", [0.9, 0.3, 0.02])
def test_noise_constrained_is_soft_thresholding_where_atoms_are_orthonormal(part):
    D, x = orthonormal()
    epsilon = part * np.linalg.norm(x)
    solution = csc.noise_constrained(x, D, epsilon, tol=1e-5)
    r = np.linalg.norm(solution.problem.residual(solution.z))
    assert (1 - 1e-5) * epsilon <= r <= epsilon
    q = D.adjoint(x)
    np.testing.assert_allclose(
        solution.codes, soft(q, solution.problem.penalty.lmbda), atol=1e-4 * epsilon
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_constrained_on_an_image_with_holes(dtype):
    D, x = image(dtype)
    mask = (np.random.default_rng(1).random(x.shape) < 0.7).astype(dtype)
    holes = np.where(mask == 1, x, np.nan).astype(dtype)
    epsilon = 0.05 * np.sqrt(mask.sum())
    solution = csc.noise_constrained(holes, D, epsilon, mask=mask)
    r = np.linalg.norm(mask * (x - D(solution.codes)))
    assert 0.999 * epsilon <= r <= epsilon * (1 + 1e-6)
    assert solution.codes.dtype == dtype
    # The bound of the docstring, tried on codes within the ball that are optimal for another lmbda.
    lmbda = solution.problem.penalty.lmbda
    rival = csc.noise_constrained(holes, D, 0.97 * epsilon, mask=mask)
    slack = solution.gap + 0.5 * (epsilon**2 - r**2)
    assert lmbda * abs(rival.codes).sum() >= lmbda * abs(solution.codes).sum() - slack
    assert solution.constrained_gap == pytest.approx(slack / lmbda, rel=1e-2)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("tol", [0.05, 1e-4])
def test_the_gap_of_the_constrained_problem_holds_against_quadratic_programming(tol, positive, rng):
    atoms = abs(rng.standard_normal((5, 2, 2)))
    x, seen = atoms[:1] + 0.5 * atoms[1:2], np.array([[1, 1], [0, 1]])
    epsilon = 0.3 * float(np.linalg.norm(seen * x))
    penalty = csc.L1(1.0, positive=positive)
    ours = csc.noise_constrained(
        x, csc.Dictionary(atoms), epsilon, tol=tol, mask=seen, penalty=penalty
    )
    A, b = (seen * atoms).reshape(5, 4).T, (seen * x).ravel()
    both = A if positive else np.hstack([A, -A])

    def slack(v):
        return epsilon**2 - ((b - both @ v) ** 2).sum()

    best = scipy.optimize.minimize(
        np.sum, np.linalg.lstsq(A, b)[0] @ np.eye(5, both.shape[1]), method="SLSQP",
        bounds=[(0, None)] * both.shape[1], constraints=[{"type": "ineq", "fun": slack}],
        options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    assert best.success
    assert slack(best.x) > -1e-9
    assert ours.penalty_value == pytest.approx(abs(ours.codes).sum())
    above = ours.penalty_value - best.fun
    assert -1e-6 <= above <= ours.constrained_gap + 1e-6
    assert (
        ours.constrained_gap <= 3 * tol * ours.penalty_value
    )  # residual and penalty fall together


def test_zeros_where_the_signal_is_within_its_noise():
    D, x = orthonormal()
    solution = csc.noise_constrained(x, D, 2 * np.linalg.norm(x))
    assert not solution.codes.any()
    assert solution.constrained_gap == 0
    assert repr(solution).startswith("ConstrainedSolution(objective=")


def test_other_penalties_keep_what_is_their_own():
    D, x = orthonormal()
    penalty = csc.L1(1.0, positive=True)
    solution = csc.noise_constrained(x, D, 0.9 * np.linalg.norm(x), penalty=penalty)
    assert (solution.codes >= 0).all()
    assert solution.problem.penalty.positive


@pytest.mark.parametrize("n", [1, 7, 30])
def test_sparsity_where_atoms_are_orthonormal(n):
    D, x = orthonormal()
    codes = csc.lmbda_for_sparsity(x, D, n, accuracy=0.0).codes
    largest = np.sort(abs(D.adjoint(x)).ravel())[::-1]
    assert (codes != 0).sum() == n
    assert set(np.flatnonzero(codes)) == set(
        np.flatnonzero(abs(D.adjoint(x)).ravel() >= largest[n - 1])
    )


def test_no_code_at_all_is_a_sparsity_too():
    D, x = orthonormal()
    assert not csc.lmbda_for_sparsity(x, D, 0.4).codes.any()


def test_sparsity_of_an_image():
    D, x = image()
    solution = csc.lmbda_for_sparsity(x, D, 100)
    assert abs((solution.codes != 0).sum() - 100) <= 5
    assert solution.converged


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda D, x: csc.lmbda_path(x, D, [1.0, 2.0]), "lmbdas must fall"),
        (lambda D, x: csc.lmbda_path(x, D, ratio=1.0), "ratio must be < 1"),
        (lambda D, x: csc.lmbda_path(0 * x, D), "lmbda_max is 0"),
        (lambda D, x: csc.noise_constrained(np.concatenate([x, x]), D, 1.0), "one signal"),
        (lambda D, x: csc.noise_constrained(x, D, 0.0), "epsilon must be finite and > 0"),
        (lambda D, x: csc.noise_constrained(x, D, 1.0, tol=2.0), "tol must be < 1"),
        (lambda D, x: csc.lmbda_for_sparsity(x, D, 41), "n_nonzero must be <= 40"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(*orthonormal())


def test_what_atoms_cannot_reach_is_an_error():
    D, x = csc.Dictionary(np.eye(3)[:2, None]), np.array([[[1.0, 2.0, 3.0]]])
    with pytest.raises(
        ValueError, match="not reached at 1e-06 lmbda_max, where the residual has norm 3"
    ):
        csc.noise_constrained(x, D, 2.0)
    with pytest.raises(ValueError, match="where 1 codes of a signal"):
        csc.lmbda_for_sparsity(np.array([[[1.0, 0.0, 3.0]]]), D, 2)


def test_signals_of_zeros_have_codes_of_zero():
    D, x = orthonormal()
    assert not csc.noise_constrained(0 * x, D, 1.0).codes.any()
    assert not csc.lmbda_for_sparsity(0 * x, D, 0.4).codes.any()
    path = csc.lmbda_path(0 * x, D, [1.0, 0.5])
    assert [s.problem.penalty.lmbda for s in path] == [1.0, 0.5]
    assert not any(s.codes.any() for s in path)
    assert all(s.converged for s in path)


def test_what_no_atom_correlates_with_is_an_error():
    D, x = csc.Dictionary(np.eye(3)[:2, None]), np.array([[[0.0, 0.0, 3.0]]])
    assert not csc.noise_constrained(x, D, 3.0).codes.any()
    for call in (lambda: csc.noise_constrained(x, D, 2.0), lambda: csc.lmbda_for_sparsity(x, D, 1)):
        with pytest.raises(ValueError, match="lmbda_max is 0"):
            call()


@pytest.mark.parametrize("penalty", [csc.L1Ball(2.0), csc.Simplex()], ids=repr)
def test_constraints_on_codes_have_no_lmbda_to_search(penalty):
    x, D = np.ones((1, 1, 4)), csc.Dictionary(np.ones((1, 1, 2)))
    for call in (
        lambda: csc.noise_constrained(x, D, 0.5, penalty=penalty),
        lambda: csc.lmbda_path(x, D, 3, penalty=penalty),
        lambda: csc.lmbda_for_sparsity(x, D, 2, penalty=penalty),
    ):
        with pytest.raises(TypeError, match="penalty must have a lmbda to search for, got"):
            call()


def test_free_codes_that_explain_the_signal_cost_nothing(rng):
    x, D = rng.standard_normal((1, 1, 12)), csc.Dictionary(rng.standard_normal((2, 1, 3)))
    free = csc.L1(1.0, weights=np.array([[0.0], [1.0]]))
    columns = np.stack([D(z.reshape(1, 2, 10)).ravel() for z in np.eye(20)[:10]], axis=1)
    least = np.linalg.lstsq(columns, x.ravel(), rcond=None)[1] ** 0.5
    solution = csc.noise_constrained(x, D, 1.01 * float(least[0]), penalty=free)
    assert solution.penalty_value < 1e-6


@pytest.mark.parametrize("wrong", [csc.Relative(0.1), "0.1"])
def test_lmbdas_of_a_path_that_are_no_numbers_are_refused(wrong, rng):
    D, x = csc.Dictionary(rng.standard_normal((3, 1, 4))), rng.standard_normal((1, 1, 20))
    with pytest.raises(TypeError, match=f"lmbdas must be a number, got {type(wrong).__name__}"):
        csc.lmbda_path(x, D, [1.0, wrong])


def test_an_epsilon_that_needs_a_smaller_lmbda_is_not_said_to_be_impossible(rng):
    D, x = csc.Dictionary(rng.standard_normal((9, 1, 4))), rng.standard_normal((1, 1, 20))
    with pytest.raises(ValueError, match="only with an even smaller lmbda, or not at all"):
        csc.noise_constrained(x, D, 1e-9 * np.linalg.norm(x))
