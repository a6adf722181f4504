"""What the patch kernels promise beyond agreeing with other solvers (see test_gram_kernels)."""

import time

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from csc.kernels.cpu import (
    certify_patches,
    correlate_patches,
    inner_products,
    inverse_cholesky,
    lasso_gram,
    lasso_masked,
    omp_gram,
    statistics,  # fmt: skip
)
from csc.kernels.cpu.threads import MIN_SIGNALS_PER_BATCH, in_batches
from doubles.inner_kernels import from_python
from reference import patches as naive

shapes = {"seed": st.integers(0, 10**6), "n": st.integers(1, 12), "k": st.integers(1, 25)}


def problem(seed, n, k, n_signals=4, dtype="float64"):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, k)).astype(dtype), rng.standard_normal((n_signals, n)).astype(
        dtype
    )


def gram_form(D, X):
    return D.T @ D, X @ D, (X * X).sum(axis=1, dtype="float64")


def lasso(D, X, weights, positive=False, tol=1e-12, max_rounds=1000, start=None):
    z = np.zeros((len(X), D.shape[1]), X.dtype) if start is None else start.copy()
    gap = np.full(len(X), np.nan)
    weights = np.broadcast_to(np.asarray(weights, X.dtype), D.shape[1]).copy()
    lasso_gram(*gram_form(D, X), weights, positive, tol, max_rounds, z, z, gap)
    return z, gap


def omp(D, X, lmbda=0.0, n_nonzero=10**6, energy=0.0):
    z = np.full((len(X), D.shape[1]), 9, X.dtype)
    omp_gram(*gram_form(D, X), lmbda, n_nonzero, energy, z)
    return z


def values(D, X, z, weights):
    return np.array([naive.lasso_value(D, x, c, weights) for x, c in zip(X, z, strict=True)])


@settings(max_examples=40, deadline=None)
@given(**shapes, positive=st.booleans(), share=st.floats(0.05, 1.1))
def test_weighted_lasso_equals_shooting(seed, n, k, positive, share):
    D, X = problem(seed, n, k)
    rng = np.random.default_rng(seed + 1)
    D *= rng.uniform(0.3, 3, k)  # atoms of any norm
    weights = share * np.abs(X @ D).max() * rng.uniform(0.2, 1, k)
    z, gap = lasso(D, X, weights, positive)
    theirs = np.array([naive.shooting(D, x, weights, positive, 200) for x in X])
    ours, others = values(D, X, z, weights), values(D, X, theirs, weights)
    assert (ours <= others + 1e-12 * (1 + others)).all()
    assert (gap <= 1e-12 * (1 + ours)).all()
    assert not positive or (z >= 0).all()
    dense = [naive.lasso_gap(D, x, c, weights, positive) for x, c in zip(X, theirs, strict=True)]
    sharp = np.array(dense) < 1e-13
    np.testing.assert_allclose(z[sharp], theirs[sharp], atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(**shapes, positive=st.booleans(), max_rounds=st.integers(0, 4))
def test_gap_is_that_of_the_dense_matrix_after_any_number_of_rounds(
    seed, n, k, positive, max_rounds
):
    D, X = problem(seed, n, k)
    weights = np.random.default_rng(seed + 1).uniform(0.05, 0.5, k)
    z, gap = lasso(D, X, weights, positive, max_rounds=max_rounds)
    dense = [naive.lasso_gap(D, x, c, weights, positive) for x, c in zip(X, z, strict=True)]
    np.testing.assert_allclose(gap, dense, atol=1e-11)
    best = values(D, X, lasso(D, X, weights, positive)[0], weights)
    assert (values(D, X, z, weights) - best <= gap + 1e-11).all()


@pytest.mark.parametrize("tol", [0.1, 0.01, 0.001])
def test_each_signal_stops_at_the_gap_asked_for(tol, dtype):
    D, X = problem(11, 30, 60, n_signals=1000, dtype=dtype)
    z, gap = lasso(D, X, 2.0, tol=tol)
    relative = gap / values(D, X, z, 2.0)
    assert (relative <= tol * (1 + 1e-5)).all()
    assert relative.max() > 0.9 * tol


def test_no_round_leaves_the_start_and_measures_it():
    D, X = problem(0, 8, 12)
    start = np.random.default_rng(1).standard_normal((4, 12))
    z, gap = lasso(D, X, 0.3, max_rounds=0, start=start)
    np.testing.assert_array_equal(z, start)
    assert (gap > 1).all()
    z, _ = lasso(D, X, 0.3, positive=True, max_rounds=0, start=start)
    np.testing.assert_array_equal(z, np.maximum(start, 0))


def test_an_optimal_start_stays_bit_for_bit(dtype):
    D, X = problem(1, 15, 30, n_signals=50, dtype=dtype)
    best, _ = lasso(D, X, 0.7, tol=1e-5)
    again, _ = lasso(D, X, 0.7, tol=1e-5 * (1 + 1e-3), start=best)
    np.testing.assert_array_equal(again, best)
    assert best.any()


def test_free_atoms_are_fitted_by_least_squares():
    D, X = problem(2, 12, 6, n_signals=20)
    np.testing.assert_allclose(lasso(D, X, 0.0)[0].T, np.linalg.lstsq(D, X.T)[0], atol=1e-10)
    theirs = [nnls(D, x)[0] for x in X]
    np.testing.assert_allclose(lasso(D, X, 0.0, positive=True)[0], theirs, atol=1e-10)
    weights = np.array([0, 0, 0.4, 0.4, 0.4, 0.4])
    z, _ = lasso(D, X, weights)
    slopes = (X - z @ D.T) @ D
    np.testing.assert_allclose(slopes[:, :2], 0, atol=1e-10)
    assert (np.abs(slopes[:, 2:]) <= 0.4 + 1e-10).all()


def test_dependent_atoms_give_a_minimum_whoever_is_used(dtype):
    D, X = problem(3, 6, 5, n_signals=30, dtype=dtype)
    twice = np.concatenate([D, D, -D, D[:, :1] + D[:, 1:2], 0 * D[:, :1]], axis=1)
    weights = np.tile(np.linspace(0.3, 0.2, 5), 4)[:17]
    weights[5:10] *= 0.5  # the second copies are cheaper
    z, gap = lasso(twice, X, weights, tol=1e-6)
    cost = values(twice, X, z, weights)
    dense = [naive.lasso_gap(twice, x, c, weights, False) for x, c in zip(X, z, strict=True)]
    assert (dense <= 1e-5 * cost).all()
    assert (gap <= 1e-5 * cost).all()
    assert not z[:, -1].any()
    used = z[:, :5].any(axis=0)
    assert not used.any()  # the dearer of two like atoms


def test_ties_between_whole_numbers():
    rng = np.random.default_rng(4)
    D = rng.integers(-1, 2, (6, 40)).astype("float64")
    X = rng.integers(-3, 4, (200, 6)).astype("float64")
    for weight in (0.5, 1.0, 2.0):
        z, gap = lasso(D, X, weight)
        assert (gap <= 1e-11 * (1 + values(D, X, z, weight))).all()


@pytest.mark.parametrize("share", [0.3, 0.1, 0.03])
def test_float32_reaches_a_small_gap(share):
    D, X = problem(5, 60, 90, n_signals=100, dtype="float32")
    D /= np.linalg.norm(D, axis=0)
    weight = np.float32(share * np.abs(X @ D).max())
    z, gap = lasso(D, X, weight, tol=1e-7)
    assert z.dtype == np.float32
    D, X, z = D.astype("f8"), X.astype("f8"), z.astype("f8")
    cost = values(D, X, z, weight)
    dense = [naive.lasso_gap(D, x, c, weight, False) for x, c in zip(X, z, strict=True)]
    assert (dense <= 1e-5 * cost).all()
    assert (gap <= 1e-5 * cost).all()


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_units_do_not_matter(scale):
    D, X = problem(6, 10, 20)
    np.testing.assert_allclose(lasso(D, X * scale, 0.4 * scale)[0], lasso(D, X, 0.4)[0] * scale)
    np.testing.assert_allclose(omp(D, X * scale, n_nonzero=5), omp(D, X, n_nonzero=5) * scale)


def test_rounding_that_makes_the_gram_matrix_indefinite_is_survived():
    rng = np.random.default_rng(7)
    D = (0.01 * rng.standard_normal((20, 200)) + rng.standard_normal((20, 1))).astype("f4")
    X = rng.standard_normal((40, 20)).astype("f4")
    weight = 1e-6 * np.abs(X @ D).max()
    z, gap = lasso(D, X, weight, tol=1e-6)
    assert np.linalg.eigvalsh(D.T @ D)[0] < 0
    assert np.isfinite(z).all()
    assert np.isfinite(gap).all()
    assert np.isfinite(omp(D, X)).all()


append, remove, solve = (
    from_python(getattr(inverse_cholesky, name)) for name in ("append", "remove", "solve")
)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 40), length=st.integers(1, 80))
def test_the_factor_inverts_what_is_left_after_any_history(seed, size, length):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((size + 3, size))
    gram, active = A.T @ A, []
    factor = np.full((size + 4, inverse_cholesky.spaced(size, np.float64)), np.nan)
    g, u, carry = np.zeros((3, factor.shape[1]))
    for _ in range(length):
        m, k = len(active), int(rng.integers(size))
        g[:] = 0
        if k in active:
            remove(active.index(k), m, factor, carry)
            active.remove(k)
        else:
            g[:m] = gram[k, active]
            fit = solve(m, factor, g, u)
            append(gram[k, k] - fit, m, factor, u)
            active.append(k)
    m = len(active)
    left, inverse = gram[np.ix_(active, active)], np.tril(factor[:m, :m])
    np.testing.assert_allclose(inverse @ left @ inverse.T, np.eye(m), atol=1e-6)
    g[:] = 0
    g[:m] = rng.standard_normal(m)
    right = g[:m].copy()
    energy = solve(m, factor, g, u)
    np.testing.assert_allclose(left @ u[:m], right, atol=1e-6)
    assert energy == pytest.approx(right @ u[:m], rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(**shapes | {"n": st.integers(2, 12)}, data=st.data())
def test_omp_equals_least_squares_from_scratch(seed, n, k, data):
    D, X = problem(seed, n, k)
    D *= np.random.default_rng(seed + 1).uniform(0.3, 3, k)
    rules = data.draw(
        st.sampled_from([(0.0, 3, 0.0), (0.3, 99, 0.0), (0.0, 99, 1.0), (0.1, 4, 0.5)])
    )
    theirs = np.array([naive.omp(D, x, *rules) for x in X])
    np.testing.assert_allclose(omp(D, X, *rules), theirs, atol=1e-6)


def test_omp_finds_sparse_codes_and_stops_there(dtype):
    rng = np.random.default_rng(8)
    D, _ = problem(8, 60, 90, dtype=dtype)
    D /= np.linalg.norm(D, axis=0)
    z = np.zeros((30, 90), dtype)
    for codes in z:
        codes[rng.choice(90, 3, replace=False)] = rng.choice([-2, -1, 1, 2], 3)
    np.testing.assert_allclose(omp(D, z @ D.T), z, atol=1e-4 if dtype == "float32" else 1e-12)


def test_omp_leaves_zero_signals_zero_atoms_and_copies_alone(dtype):
    D, X = problem(9, 8, 4, n_signals=20, dtype=dtype)
    X[3] = 0
    z = omp(np.concatenate([D, D, 0 * D[:, :1]], axis=1), X)
    assert not z[3].any()
    assert not z[:, -1].any()
    assert ((z[:, :4] == 0) | (z[:, 4:8] == 0)).all()
    np.testing.assert_allclose(z[:, :4] + z[:, 4:8], omp(D, X), rtol=1e-3, atol=1e-5)
    assert not omp(D, X, n_nonzero=0).any()


@pytest.mark.usefixtures("all_threads")
def test_batches_cover_all_signals_and_pass_errors_on():
    seen = np.zeros(5 * MIN_SIGNALS_PER_BATCH + 3, int)
    most = numba.get_num_threads()

    def count(start, stop, step):
        seen[start:stop] += step

    def fail(start, stop):
        raise ZeroDivisionError(f"{start} {stop}")

    for n_threads in (1, most):
        numba.set_num_threads(n_threads)
        in_batches(count, len(seen), n_threads)
        with pytest.raises(ZeroDivisionError):
            in_batches(fail, len(seen))
    numba.set_num_threads(most)
    in_batches(count, 7, 1)
    np.testing.assert_array_equal(seen, 1 + most + (np.arange(len(seen)) < 7))


@pytest.mark.usefixtures("all_threads")
def test_the_number_of_threads_changes_neither_codes_nor_gaps(dtype):
    D, X = problem(10, 20, 40, n_signals=3 * MIN_SIGNALS_PER_BATCH + 5, dtype=dtype)
    most, answers = numba.get_num_threads(), []
    for n_threads in (1, most):
        numba.set_num_threads(n_threads)
        answers.append((*lasso(D, X, 0.5, tol=1e-6), omp(D, X, n_nonzero=8)))
    numba.set_num_threads(most)
    for one, many in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, many)
        assert one.any()


@settings(max_examples=60, deadline=None)
@given(**shapes, positive=st.booleans(), free=st.booleans(), dtype=st.sampled_from(["f4", "f8"]))
def test_certificate_is_that_of_the_dense_matrix(seed, n, k, positive, free, dtype):
    D, X = problem(seed, n, k, dtype=dtype)
    rng = np.random.default_rng(seed + 2)
    weights = rng.uniform(0.2, 2, k).astype(dtype)
    z = (rng.standard_normal((len(X), k)) * (rng.random((len(X), k)) < 0.3)).astype(dtype)
    z = abs(z) if positive else z
    if free:
        weights[0] = 1e-30  # the naive gap divides by it
    objective, gap = np.empty(len(X)), np.empty(len(X))
    atoms = np.ascontiguousarray(D.T)
    certify_patches(X, atoms, D.T @ D, X @ D, weights, positive, z, objective, gap)
    exact = D.astype("f8"), X.astype("f8"), z.astype("f8"), weights.astype("f8")
    np.testing.assert_allclose(objective, values(*exact), rtol=1e-12)
    theirs = [
        naive.lasso_gap(exact[0], x, c, exact[3], positive)
        for x, c in zip(*exact[1:3], strict=True)
    ]
    np.testing.assert_allclose(gap, theirs, rtol=1e-9, atol=1e-12)
    if free:
        weights[0], again = 0, np.empty(len(X))
        certify_patches(X, atoms, D.T @ D, X @ D, weights, positive, z, objective, again)
        np.testing.assert_allclose(again, gap, rtol=1e-9, atol=1e-12)


def test_negative_codes_have_no_finite_objective_where_they_must_be_positive():
    D, X = problem(0, 4, 3, n_signals=1)
    objective, gap = np.empty(1), np.empty(1)
    atoms = np.ascontiguousarray(D.T)
    z = np.array([[-1.0, 0, 0]])
    certify_patches(X, atoms, D.T @ D, X @ D, np.ones(3), True, z, objective, gap)
    assert np.isinf(objective[0])


@pytest.mark.parametrize("k", [1, 5, 383, 384, 385, 800])
@pytest.mark.parametrize("n", [1, 4, 31])
def test_products_are_those_of_the_matrices(k, n):
    rng = np.random.default_rng(k)
    x, d = rng.standard_normal((301, n)), rng.standard_normal((k, n))
    out = np.full((301, k), np.nan)
    correlate_patches(x, d, out)
    np.testing.assert_allclose(out, x @ d.T, atol=1e-12)
    z = out * (abs(out) > 1)
    phi, psi, norms = np.full((k, k), np.nan), np.full((k, n), np.nan), np.full(301, np.nan)
    statistics(x, z, phi, psi)
    np.testing.assert_allclose(phi, z.T @ z, atol=1e-9)
    np.testing.assert_allclose(psi, z.T @ x, atol=1e-9)
    other = rng.standard_normal(x.shape)
    inner_products(x, other, norms)
    np.testing.assert_allclose(norms, (x * other).sum(axis=1), atol=1e-12)


def test_an_error_in_one_batch_leaves_no_thread_at_work():
    running = set()

    def kernel(start, _stop):
        if start == 0:
            raise KeyboardInterrupt
        running.add(start)
        time.sleep(0.01)
        running.remove(start)

    with pytest.raises(KeyboardInterrupt):
        in_batches(kernel, 100 * MIN_SIGNALS_PER_BATCH)
    assert not running


def test_a_start_of_codes_that_all_must_leave_is_left():
    """All codes go in the first round: the next gap need not be smaller than that of the start."""
    atoms = np.eye(3)
    x, start, z = np.array([[0.1, 0.1, 2.0]]), np.array([[0.2, 0.0, 0.0]]), np.zeros((1, 3))
    gap = np.zeros(1)
    weights, energies = np.full(3, 0.5), (x * x).sum(axis=1)
    lasso_gram(atoms, x @ atoms, energies, weights, True, 1e-9, 100, start, z, gap)
    np.testing.assert_allclose(z, [[0, 0, 1.5]], atol=1e-12)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 20), (30, 9)])
def test_lassos_with_a_mask_each_are_those_of_the_masked_atoms(n, k, positive, ridge, rng):
    matrix, x = rng.standard_normal((k, n)), 3 * rng.standard_normal((12, n))
    seen = rng.random(x.shape) < 0.7
    weights = rng.uniform(0.1, 1, (12, k))
    x = x * seen
    z, gap = np.zeros((12, k)), np.empty(12)
    products = x @ matrix.T, (x * x).sum(axis=1), weights
    lasso_masked(matrix, seen, ridge, *products, positive, 1e-12, 1000, z, z, gap)
    for i, row in enumerate(seen):
        below = np.sqrt(ridge) * np.eye(k)  # a ridge is more samples, all zero
        D = np.vstack([matrix.T * row[:, None], below])
        target = np.append(x[i], np.zeros(k))
        dense = naive.lasso_gap(D, target, z[i], weights[i], positive)
        assert dense <= 1e-11 * naive.lasso_value(D, target, z[i], weights[i])
        assert gap[i] == pytest.approx(dense, abs=1e-11)


def test_a_gram_matrix_may_be_read_only(dtype):
    D, X = problem(0, 6, 4, dtype=dtype)
    gram, correlations, energies = gram_form(D, X)
    gram.flags.writeable = False
    z, gap, weights = np.zeros((4, 4), dtype), np.empty(4), np.full(4, 0.1, dtype)
    lasso_gram(gram, correlations, energies, weights, False, 1e-4, 100, z, z, gap)
    np.testing.assert_array_equal(z, lasso(D, X, 0.1, tol=1e-4, max_rounds=100)[0])
