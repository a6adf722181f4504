"""Kernels of active groups, compared with dense matrices, and the same on any number of threads."""

import numba
import numpy as np
import pytest

import csc
from csc.kernels.cpu import bend_groups, descend_groups, group_squares, threads
from csc.operators import SparseCodes, SparseResidual


@pytest.mark.parametrize("size", [1, 2, 3])
def test_group_squares_are_those_of_dense_products(size, dtype, rng):
    matrix = rng.standard_normal((2 * 3 * size, 5)).astype(dtype)  # no multiple of four
    residual, places = rng.standard_normal(1000).astype(dtype), np.arange(0, 900, 2)
    offsets = np.array([0, 1, 2, 7, 9])
    q = abs(residual[places[:, None] + offsets] @ matrix.T)
    squares = (np.maximum(q - 0.5, 0) ** 2).reshape(len(places), -1, size).sum(axis=2)
    thresholds = rng.uniform(0, 9, len(places)).astype(dtype)
    largest, exceeds = np.empty(len(places), dtype), np.empty((len(places), 6), bool)
    settings = size, 0.5
    group_squares(residual, matrix, offsets, places, settings, thresholds, largest, exceeds)
    np.testing.assert_allclose(
        largest, squares.max(axis=1), rtol=1e-4 if dtype == "float32" else 1e-12
    )
    clear = abs(squares - thresholds[:, None]) > 1e-4
    np.testing.assert_array_equal(exceeds[clear], (squares > thresholds[:, None])[clear])


def test_bent_groups_are_products_with_dense_blocks(rng):
    u, w, fit, codes = rng.standard_normal((4, 5, 3))
    u, used = u / np.linalg.norm(u, axis=1, keepdims=True), rng.integers(0, 2, 15).astype(float)
    across, bend = rng.uniform(0.1, 1, 5), rng.uniform(1, 9, 5)
    outer = u[:, :, None] * w[:, None, :]
    B = bend[:, None, None] * (np.eye(3) - (outer + outer.transpose(0, 2, 1)) / 2)
    along = u[:, :, None] * u[:, None, :]
    S = across[:, None, None] * (np.eye(3) - along) + along
    expected = used * np.einsum("gij,gj->gi", S, fit + np.einsum("gij,gj->gi", B, codes)).ravel()
    out, model = np.empty(15), (u.ravel(), w.ravel(), used, across, bend)
    bend_groups(fit.ravel(), codes.ravel(), model, out)
    np.testing.assert_allclose(out, expected, atol=1e-12)


@pytest.mark.usefixtures("all_threads")
def test_sweeps_over_groups_do_not_depend_on_threads(rng, monkeypatch):
    monkeypatch.setattr(threads, "MULTIPLICATIONS_PER_THREAD", 1)
    D, x = csc.Dictionary(rng.standard_normal((6, 1, 9))), rng.standard_normal((1, 1, 600))
    index = np.flatnonzero(np.repeat(rng.random(592) < 0.5, 6))
    results = []
    for n_threads in {1, numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(n_threads)
        codes = SparseCodes((1, 6, 592), index, np.zeros(len(index)))
        residual = SparseResidual(x, D, codes, "f8")
        columns, layout = residual.columns, residual.layout
        z, r = residual.codes.values, residual.r.reshape(-1)
        parts = columns.where, columns.atom, *columns.copies, np.full(3, 40.0), z
        columns_of = layout.padded_atoms, layout.runs, parts, columns.pieces
        descend_groups(r, np.empty(0), *columns_of, (2, 0.4, 0.1, 3))
        assert z.any()
        results.append(np.concatenate([z, r]))
    for result in results:
        np.testing.assert_array_equal(result, results[0])
