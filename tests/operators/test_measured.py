"""Dictionaries seen through measurements, against dense matrices."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

import csc
from reference import lasso as naive
from reference import patches as naive_patch

CASES = [
    ("full", (9,), (4,), 1, 1),
    ("same", (5, 6), (3, 2), 2, 1),
    ("circular", (6, 4), (2, 3), 1, 2),
]


def measured(rng, case, m=7, dtype="float64"):
    mode, S, s, c, stride = case
    D = csc.Dictionary(rng.standard_normal((3, c, *s)).astype(dtype), mode, stride)
    A = rng.standard_normal((m, c * int(np.prod(S))))
    M = naive.synthesis_matrix(D.atoms.astype("float64"), S, mode, (stride,) * len(S))
    return csc.MeasuredDictionary(D, A, S), A @ M


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_product_of_both_matrices(rng, case):
    AD, M = measured(rng, case)
    z = rng.standard_normal((2, 3, *AD.spatial_code_shape()))
    y = rng.standard_normal((2, 7))
    np.testing.assert_allclose(AD(z), z.reshape(2, -1) @ M.T, atol=1e-10)
    np.testing.assert_allclose(AD.adjoint(y).reshape(2, -1), y @ M, atol=1e-10)
    norm = np.linalg.norm(M, 2) ** 2
    assert norm <= AD.lipschitz() <= 1.021 * norm


@pytest.mark.parametrize("m", [1, 2, 3])
def test_few_measurements_have_a_norm_too(rng, m):
    AD, M = measured(rng, CASES[0], m=m)
    assert np.linalg.norm(M, 2) ** 2 <= AD.lipschitz() <= 1.021 * np.linalg.norm(M, 2) ** 2


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("positive", [False, True])
def test_codes_and_gap_are_those_of_the_dense_lasso(rng, case, positive):
    AD, M = measured(rng, case)
    y = rng.standard_normal((1, 7))
    problem = csc.Problem(y, AD, csc.L1(csc.Relative(0.2), positive=positive))
    q = y @ M
    top = q.max() if positive else abs(q).max()
    assert problem.penalty.lmbda == pytest.approx(0.2 * top)
    solution = csc.solve(problem, tol=1e-9, max_iter=100_000)
    assert solution.converged
    lmbdas = np.full(M.shape[1], problem.penalty.lmbda)
    theirs = naive_patch.shooting(M, y[0], lmbdas, positive, 3000)
    best = naive_patch.lasso_value(M, y[0], theirs, lmbdas)
    assert solution.objective == pytest.approx(best, rel=1e-7)
    dense = naive_patch.lasso_gap(M, y[0], solution.codes.ravel(), lmbdas, positive)
    assert solution.gap == pytest.approx(dense, abs=1e-9 * best)
    assert csc.solve(problem, csc.solvers.GreedyFISTA(), tol=1e-6).converged


def test_operators_of_every_kind_agree(rng):
    AD, _ = measured(rng, CASES[0])
    A = AD.operator.A
    kinds = [csr_array(A), LinearOperator(A.shape, lambda v: A @ v, lambda v: A.T @ v)]
    z = rng.standard_normal((2, 3, *AD.spatial_code_shape()))
    for kind in kinds:
        np.testing.assert_allclose(csc.MeasuredDictionary(AD.dictionary, kind, (9,))(z), AD(z))


def test_missing_measurements_and_single_precision(rng):
    AD, _ = measured(rng, CASES[1], dtype="float32")
    y = rng.standard_normal((2, 7)).astype("float32")
    mask = np.ones((2, 7), "float32")
    mask[:, 3] = 0
    holes = np.where(mask == 1, y, np.nan).astype("float32")
    solution = csc.solve(csc.Problem(holes, AD, csc.L1(csc.Relative(0.3)), mask), tol=1e-4)
    assert solution.converged
    assert solution.codes.dtype == "float32"
    assert solution.reconstruction().shape == (2, 2, 5, 6)
    assert solution.reconstruction().dtype == "float32"


def test_sparse_codes_come_back_from_few_measurements(rng):
    D = csc.Dictionary(np.linalg.qr(rng.standard_normal((64, 64)))[0][:, None])
    z = np.zeros((1, 64, 1))
    z[0, [3, 20, 41]] = [[2.0], [-1.0], [1.5]]
    AD = csc.MeasuredDictionary(D, rng.standard_normal((24, 64)) / 24**0.5, (64,))
    solution = csc.solve(csc.Problem(AD(z), AD, csc.L1(csc.Relative(1e-4))), tol=1e-6)
    np.testing.assert_allclose(solution.codes, z, atol=1e-2)
    np.testing.assert_allclose(solution.reconstruction(), D(z), atol=1e-2)


def test_errors_name_what_is_wrong(rng):
    AD, _ = measured(rng, CASES[0])
    with pytest.raises(ValueError, match="operator must take C . prod.S. = 9 samples"):
        csc.MeasuredDictionary(AD.dictionary, np.ones((3, 8)), (9,))
    with pytest.raises(TypeError, match="dictionary must be"):
        csc.MeasuredDictionary(np.ones((3, 1, 3)), np.ones((3, 9)), (9,))
    for kind in (np.asarray, csr_array):  # the imaginary part was left out
        with pytest.raises(TypeError, match="operator must be real, got complex128"):
            csc.MeasuredDictionary(AD.dictionary, kind(np.eye(9) * 1j), (9,))
        with pytest.raises(ValueError, match="operator holds NaN"):
            csc.MeasuredDictionary(AD.dictionary, kind(np.full((3, 9), np.nan)), (9,))
    with pytest.raises(TypeError, match="signal_shape must be a tuple"):
        csc.MeasuredDictionary(AD.dictionary, np.ones((3, 9)), 9)
    with pytest.raises(ValueError, match="m = 7 measurements"):
        csc.Problem(np.ones((1, 6)), AD, csc.L1(0.1))
    with pytest.raises(TypeError, match="float32 but the atoms are float64"):
        csc.Problem(np.ones((1, 7), "float32"), AD, csc.L1(0.1))
    with pytest.raises(ValueError, match="must be a number where signals are measured"):
        csc.Problem(np.ones((1, 7)), AD, csc.L0(csc.Relative(0.1)))
    for solver in (csc.solvers.OMP(), csc.solvers.ADMM()):
        with pytest.raises(ValueError, match="cannot solve this problem"):
            csc.solve(csc.Problem(np.ones((1, 7)), AD, csc.L1(0.1)), solver)
