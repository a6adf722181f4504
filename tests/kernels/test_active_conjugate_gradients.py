"""`conjugate_gradients_active`: all steps in one call, compared with those of a dense matrix."""

import numba
import numpy as np
import pytest

import csc
from csc.kernels.cpu import active_conjugate_gradients, threads
from csc.operators import PaddedSignals, RestrictedDictionary, SparseCodes


def system(mode, shape, atom_shape, dtype, rng):
    """Columns of some codes, and the same as a dense matrix."""
    D = csc.Dictionary(rng.standard_normal((3, *atom_shape)), mode=mode)
    x_shape = (2, atom_shape[0], *shape)
    code_shape = PaddedSignals(D, x_shape, dtype).code_shape
    index = np.sort(rng.choice(np.prod(code_shape), 40, replace=False))
    dense = []
    for i in index:
        unit = SparseCodes(code_shape, np.array([i]), np.ones(1))
        dense.append(D(unit.dense(), shape).ravel())
    layout = PaddedSignals(csc.Dictionary(D.atoms.astype(dtype), mode=mode), x_shape, dtype)
    return RestrictedDictionary(layout, index), np.stack(dense, axis=1)


def dense_steps(A, b, n_steps):
    """Hestenes and Stiefel, (3:1a) to (3:1f)."""
    x = np.zeros_like(b)
    r = p = b
    for _ in range(n_steps):
        length = (r @ r) / (p @ A @ p)
        x, before, r = x + length * p, r, r - length * A @ p
        p = r + (r @ r) / (before @ before) * p
    return x


@pytest.mark.parametrize("ridge", [0.0, 0.5])
@pytest.mark.parametrize(
    ("mode", "shape", "atom_shape", "dtype"),
    [
        ("full", (13, 11), (1, 3, 2), "float64"),
        ("circular", (12, 9), (2, 5, 4), "float32"),
        ("full", (31,), (3, 10), "float32"),
        ("circular", (6, 5, 7), (1, 2, 3, 2), "float64"),
    ],
)
def test_steps_are_those_of_a_dense_matrix(mode, shape, atom_shape, dtype, ridge):
    rng = np.random.default_rng(0)
    columns, D = system(mode, shape, atom_shape, dtype, rng)
    b = rng.standard_normal(len(columns.where)).astype(dtype)
    weights = rng.random((2, atom_shape[0], *shape))
    for w in (None, weights):
        W = np.ones(len(D)) if w is None else w.ravel()
        A = D.T @ (W[:, None] * D) + ridge * np.eye(len(b))
        padded = None if w is None else columns.layout.buffer(columns.layout.dictionary.pad(w))
        for n_steps in (1, 5):
            found = columns.solve(b, n_steps, padded, ridge)
            assert found.dtype == dtype
            expected = dense_steps(A, b.astype("float64"), n_steps)
            tolerance = (1e-4 if dtype == "float32" else 1e-10) * abs(expected).max()
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.usefixtures("all_threads")
def test_threads_and_the_length_of_calls_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    columns, _ = system("full", (40, 30), (1, 3, 2), "float32", rng)
    b = rng.standard_normal(len(columns.where)).astype("float32")
    monkeypatch.setattr(threads, "MULTIPLICATIONS_PER_THREAD", 1)
    most, found = numba.get_num_threads(), []
    for n_threads, per_call in ((1, 2**31), (most, 2**31), (most, 1)):
        numba.set_num_threads(n_threads)
        monkeypatch.setattr(active_conjugate_gradients, "MULTIPLICATIONS_PER_CALL", per_call)
        found.append(columns.solve(b, 9))
    numba.set_num_threads(most)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_no_right_side_and_no_curvature_give_zeros():
    rng = np.random.default_rng(2)
    columns, _ = system("full", (13, 11), (1, 3, 2), "float64", rng)
    b = rng.standard_normal(len(columns.where))
    assert not columns.solve(np.zeros_like(b), 3).any()
    unseen = np.zeros(columns.layout.buffer_shape)
    assert not columns.solve(b, 3, unseen).any()
    assert columns.solve(b, 100).shape == b.shape  # converged long before: no division by 0
    assert np.isfinite(columns.solve(b, 100)).all()
