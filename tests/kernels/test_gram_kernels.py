"""The patch kernels next to independent solvers: scikit-learn's lasso and its OMP."""

import warnings

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, orthogonal_mp

from csc.kernels.cpu import lasso_gram, log_gram, omp_gram


def random_problem(seed, n_signals=4, n=6, k=9, dtype="float64"):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_signals, n)).astype(dtype), rng.standard_normal((k, n)).astype(
        dtype
    )


def gram_form(X, D):
    return D @ D.T, X @ D.T, (X * X).sum(axis=1, dtype="float64")


def lasso(X, D, lmbdas, positive=False, tol=1e-12, start=None):
    z = np.zeros((len(X), len(D)), X.dtype) if start is None else start.copy()
    gap = np.empty(len(X))
    lmbdas = np.broadcast_to(np.asarray(lmbdas, X.dtype), len(D)).copy()
    lasso_gram(*gram_form(X, D), lmbdas, positive, tol, 1000, z, z, gap)
    return z, gap


def sklearn_lasso(X, D, lmbda, positive=False):
    """Friedman's coordinate descent, signal by signal, in float64."""
    model = Lasso(
        alpha=lmbda / D.shape[1],
        fit_intercept=False,
        tol=1e-14,
        max_iter=200_000,
        positive=positive,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # asked for more than float64 holds
        return np.array([model.fit(D.T, x).coef_ for x in X])


def value(X, D, z, lmbdas):
    X, D, z = (a.astype("float64") for a in (X, D, z))
    return 0.5 * ((X - z @ D) ** 2).sum(axis=1) + (lmbdas * abs(z)).sum(axis=1)


def dense_gap(X, D, z, lmbdas):
    X, D, z = (a.astype("float64") for a in (X, D, z))
    r = X - z @ D
    scale = 1 / np.maximum(1, (abs(r @ D.T) / lmbdas).max(axis=1))
    dual = 0.5 * (X**2).sum(axis=1) - 0.5 * ((X - r * scale[:, None]) ** 2).sum(axis=1)
    return value(X, D, z, lmbdas) - dual


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), n=st.integers(1, 12), k=st.integers(1, 30),
    share=st.floats(0.02, 1.2), positive=st.booleans(),
)  # fmt: skip
def test_codes_are_those_of_an_independent_lasso(seed, n, k, share, positive):
    X, D = random_problem(seed, n=n, k=k)
    lmbda = share * np.median(abs(X @ D.T).max(axis=1)) + 1e-3
    z, gap = lasso(X, D, lmbda, positive)
    theirs = sklearn_lasso(X, D, lmbda, positive)
    np.testing.assert_allclose(z, theirs, atol=1e-6 * max(1, abs(theirs).max()))
    assert (gap <= 1e-12 * value(X, D, z, lmbda) + 1e-14).all()


def test_many_signals_many_atoms_as_in_the_demo():
    X, D = random_problem(1, n_signals=300, n=64, k=128)
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    z, _ = lasso(X, D, 0.8)
    np.testing.assert_allclose(z, sklearn_lasso(X, D, 0.8), atol=1e-6)
    assert 10 < (z != 0).sum(axis=1).mean() < 64


def test_duplicated_atoms_share_one_reconstruction():
    X, D = random_problem(2, n_signals=20)
    twice = np.concatenate([D, D, -D[:2], 0 * D[:1]])
    z, gap = lasso(X, twice, 0.3)
    single, _ = lasso(X, D, 0.3)
    np.testing.assert_allclose(z @ twice, single @ D, atol=1e-6)
    np.testing.assert_allclose(value(X, twice, z, 0.3), value(X, D, single, 0.3), rtol=1e-9)
    assert not z[:, -1].any()
    assert (gap <= 1e-9).all()


def test_zero_signals_and_large_lmbdas_give_exact_zeros(dtype):
    X, D = random_problem(3, dtype=dtype)
    X[1] = 0
    top = abs(X @ D.T).max()
    for lmbda in (1.0001 * top, 10 * top):
        z, gap = lasso(X, D, lmbda)
        assert not z.any()
        assert not gap.any()
    assert not lasso(X, D, 0.1)[0][1].any()


def test_lmbdas_differ_between_atoms():
    X, D = random_problem(4, n_signals=10)
    lmbdas = np.random.default_rng(0).uniform(0.1, 2, len(D))
    z, gap = lasso(X, D, lmbdas)
    np.testing.assert_allclose(z, sklearn_lasso(X, D / lmbdas[:, None], 1.0) / lmbdas, atol=1e-7)
    np.testing.assert_allclose(gap, dense_gap(X, D, z, lmbdas), atol=1e-12)


def test_a_free_code_is_least_squares():
    X, D = random_problem(5, n=8, k=5)
    z, _ = lasso(X, D, 0.0)
    np.testing.assert_allclose(z, np.linalg.lstsq(D.T, X.T)[0].T, atol=1e-6)


@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-6])
def test_the_gap_is_true_and_met(tol, dtype):
    X, D = random_problem(6, n_signals=200, n=20, k=40, dtype=dtype)
    z, gap = lasso(X, D, 0.5, tol=tol)
    noise = 1e-5 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(gap, dense_gap(X, D, z, 0.5), atol=noise * 20)
    assert (gap <= tol * value(X, D, z, 0.5) + noise).all()
    best = value(X, D, lasso(X.astype("f8"), D.astype("f8"), 0.5)[0], 0.5)
    assert (value(X, D, z, 0.5) - best <= gap + noise * 20).all()
    if tol == 1e-1:
        assert gap.max() > 1e-3  # it does stop early


def test_any_start_ends_at_the_same_codes(dtype):
    X, D = random_problem(7, n_signals=50, n=15, k=30, dtype=dtype)
    best, _ = lasso(X, D, 0.7, tol=1e-9)
    start = np.random.default_rng(1).standard_normal(best.shape).astype(dtype)
    atol = 1e-3 if dtype == "float32" else 1e-8
    np.testing.assert_allclose(lasso(X, D, 0.7, tol=1e-9, start=start)[0], best, atol=atol)
    np.testing.assert_allclose(lasso(X, D, 0.7, tol=1e-6, start=best)[0], best, atol=atol)


@pytest.mark.usefixtures("all_threads")
@pytest.mark.parametrize("kernel", ["lasso", "omp", "log"])
def test_the_number_of_threads_changes_no_bit(kernel, dtype):
    X, D = random_problem(8, n_signals=700, n=20, k=40, dtype=dtype)
    form, answers, most = gram_form(X, D), [], numba.get_num_threads()
    for n_threads in (1, most):
        numba.set_num_threads(n_threads)
        z = np.zeros((len(X), len(D)), dtype)
        if kernel == "lasso":
            lasso_gram(*form, np.full(40, 0.5, dtype), False, 1e-6, 1000, z, z, np.empty(len(X)))
        elif kernel == "omp":
            omp_gram(*form, 0.3, 10, 0.0, z)
        else:
            log_gram(*form[:2], (0.5, 0.3, 1e-4, 50), z)
        answers.append(z)
    numba.set_num_threads(most)
    np.testing.assert_array_equal(*answers)
    assert answers[0].any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), k=st.integers(1, 30), data=st.data())
def test_omp_is_that_of_scikit_learn(seed, n, k, data):
    X, D = random_problem(seed, n=n, k=k)
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    most = data.draw(st.integers(1, min(n, k)))
    z = np.zeros((len(X), k))
    omp_gram(*gram_form(X, D), 0.0, most, 0.0, z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it too stops at dependent atoms
        theirs = np.atleast_2d(orthogonal_mp(D.T, X.T, n_nonzero_coefs=most).T)
    np.testing.assert_allclose(z @ D, theirs.reshape(z.shape) @ D, atol=1e-4)
    regular = (z != 0).sum(axis=1) == most
    np.testing.assert_allclose(z[regular], theirs.reshape(z.shape)[regular], atol=1e-6)


def test_omp_ends_by_lmbda_energy_or_dependence(dtype):
    X, D = random_problem(9, n_signals=30, n=8, k=20, dtype=dtype)
    form = gram_form(X, D)
    for rules in ((0.4, 20, 0.0), (0.0, 20, 1.0), (0.0, 20, 0.0)):
        z = np.full((30, 20), 9, dtype)
        omp_gram(*form, *rules, z)
        r = (X - z @ D).astype("float64")
        lmbda, _, energy = rules
        gain = (r @ D.T) ** 2 / 2 / (D**2).sum(axis=1)
        exact = (r**2).sum(axis=1) <= max(energy, 1e-5)
        assert (exact | (gain <= lmbda + 1e-4).all(axis=1)).all()
        assert np.isfinite(z).all()
    twice = np.concatenate([D[:3], D[:3], 0 * D[:1]])
    z = np.zeros((30, 7), dtype)
    omp_gram(*gram_form(X, twice), 0.0, 7, 0.0, z)
    assert ((z != 0).sum(axis=1) <= 3).all()


def test_log_codes_are_stationary_and_never_worse_than_their_start():
    X, D = random_problem(10, n_signals=40)
    start = np.random.default_rng(0).standard_normal((40, len(D)))

    def cost(z):
        return 0.5 * ((X - z @ D) ** 2).sum(axis=1) + 0.4 * np.log1p((z / 0.5) ** 2).sum(axis=1)

    z = start.copy()
    log_gram(*gram_form(X, D)[:2], (0.4, 0.5, 1e-12, 5000), z)
    assert (cost(z) <= cost(start)).all()
    slope = (z @ D - X) @ D.T + 0.8 * z / (0.25 + z**2)
    np.testing.assert_allclose(slope, 0, atol=1e-7)
