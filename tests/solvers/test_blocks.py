"""Exact solves of blocks of active codes."""

import numpy as np
import pytest

import csc
from csc.kernels.cpu import gram_active
from csc.operators import SparseCodes
from csc.solvers import _blocks
from csc.solvers._active_set import ActiveSet
from reference import lasso as naive

CASES = {
    "inside": ("full", 1, (17,), (4,)),
    "cropped": ("same", 2, (17,), (4,)),
    "wraps": ("circular", 1, (7,), (4,)),  # atoms meet their own copies
    "wraps, stride": ("circular", 2, (12,), (5,)),
    "picture": ("valid", 1, (5, 6), (2, 3)),
}


def active_set(case, rng, dtype, *, masked=True, share=0.6):
    """Some active codes with random values, and the dense columns of them, per sample."""
    mode, stride, spatial_shape, size = CASES[case]
    D = csc.Dictionary(rng.standard_normal((3, 2, *size)).astype(dtype), mode, stride)
    x = rng.standard_normal((2, 2, *spatial_shape)).astype(dtype)
    mask = (rng.random(x.shape) < 0.8).astype(dtype) if masked else None
    problem = csc.Problem(x, D, csc.L1(0.4), mask)
    z = rng.standard_normal(problem.code_shape) * (rng.random(problem.code_shape) < share)
    active = ActiveSet(problem, SparseCodes.of(z.astype(dtype)), dtype)
    M = naive.synthesis_matrix(D.atoms.astype("f8"), spatial_shape, mode, D.geometry.stride)
    n, *where = active.codes.coordinates
    column = np.ravel_multi_index(where, z.shape[1:])
    whole = np.zeros((2, len(M), len(n)))
    whole[n, :, np.arange(len(n))] = M.T[column]
    seen = np.ones(x.shape) if mask is None else mask
    return active, whole.reshape(-1, len(n)) * seen.reshape(-1, 1)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("masked", [True, False])
def test_the_gram_matrix_of_columns_is_that_of_the_dense_ones(case, masked, rng):
    active, M = active_set(case, rng, "float64", masked=masked)
    layout, shape = active.layout, active.r.shape
    mask = np.ones(shape) if active.mask is None else active.mask
    scratch, some = np.zeros(active.r.size), np.arange(1, M.shape[1], 2)
    columns, gram = active.columns.at(some), np.empty((len(some), len(some)))
    codes = columns.where, columns.atom, *columns.copies
    gram_active(scratch, mask.reshape(-1), layout.padded_atoms, layout.runs, codes, gram)
    np.testing.assert_allclose(gram, M[:, some].T @ M[:, some], atol=1e-12)
    assert abs(scratch).max() < 1e-14


@pytest.mark.parametrize("case", CASES)
def test_one_block_is_solved_exactly(case, rng, dtype, monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK_SIZE", 1000)
    active, M = active_set(case, rng, dtype)
    index = active.codes.index
    _blocks.minimise_in_blocks(active, 1e-12, uneven=False)
    np.testing.assert_array_equal(active.codes.index, index)
    z = active.codes.values
    q = active.columns.adjoint(active.observed(active.r))
    tol = 1e-4 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(q[z != 0], 0.4 * np.sign(z[z != 0]), atol=tol)
    assert (abs(q) <= 0.4 + tol).all()
    own = active.layout.samples(active.observed(active.x)).ravel()
    np.testing.assert_allclose(
        M.T @ (own - M @ z), q, atol=tol
    )  # the residual is that of the codes


@pytest.mark.parametrize("case", CASES)
def test_a_block_keeps_the_residual_and_its_energy(case, rng):
    active, M = active_set(case, rng, "float64")
    mask = active.mask.reshape(-1)
    workspace = mask, active.layout.padded_atoms, np.zeros(mask.size)
    energy = float(active.energies(active.observed(active.r)).sum())
    energy = _blocks._minimise(active, np.arange(3, 14), workspace, energy, 1e-12)
    x = active.layout.samples(active.observed(active.x)).ravel()
    r = x - M @ active.codes.values
    np.testing.assert_allclose(
        active.layout.samples(active.observed(active.r)).ravel(), r, atol=1e-11
    )
    assert energy == pytest.approx(r @ r, rel=1e-9)


@pytest.mark.parametrize("uneven", [False, True])
def test_blocks_lower_the_objective_whatever_their_borders(uneven, rng, monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK_SIZE", 8)
    active, _ = active_set("inside", rng, "float64", share=0.3)
    values = [float(active.certificate()[0].sum())]
    for _ in range(30):
        _blocks.minimise_in_blocks(active, 1e-9, uneven=uneven)
        values.append(float(active.certificate()[0].sum()))
    assert (np.diff(values) <= 1e-12 * values[0]).all()
    monkeypatch.undo()
    _blocks.minimise_in_blocks(active, 1e-12, uneven=uneven)
    assert float(active.certificate()[0].sum()) == pytest.approx(values[-1], rel=1e-3)


@pytest.mark.parametrize("penalty", [csc.L1(1.0), csc.ElasticNet(1.0, 0.5)])
def test_without_active_codes_nothing_happens(penalty, rng):
    D = csc.Dictionary(rng.standard_normal((2, 1, 5)))
    problem = csc.Problem(rng.standard_normal((1, 1, 900)), D, penalty)
    active = ActiveSet(problem, SparseCodes.zeros(problem.code_shape, "f8"), "f8")
    _blocks.minimise_in_blocks(active, 1e-6, uneven=True)
    np.testing.assert_array_equal(active.r, active.x)
    path = csc.lmbda_path(problem.x, D, 3, penalty=penalty, ratio=0.5)  # from lmbda_max on
    assert all(solution.converged for solution in path)
    assert path[0].codes.max() < 1e-9 < path[-1].codes.max()


def test_a_coherent_series_needs_few_rounds(rng):
    t = (np.arange(41) - 20) * 0.2
    atom = (1 - t * t) * np.exp(-t * t / 2)  # Ricker: neighbours have a correlation of 0.98
    D = csc.Dictionary((atom / np.linalg.norm(atom))[None, None], "same")
    z = rng.standard_normal((1, 1, 1500)) * (rng.random((1, 1, 1500)) < 0.05)
    x = D(z) + 0.01 * rng.standard_normal(z.shape)
    solution = csc.solve(csc.Problem(x, D, csc.L1(csc.Relative(1e-3))))
    assert solution.converged
    assert solution.n_iter <= 3  # without blocks more than 20
