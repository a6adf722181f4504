"""What float32 and codes of weight 0 may cost: neither digits nor steps without end."""

import numpy as np
import pytest
from skimage import data

import csc


def raw_patches(rng, n, dtype):
    """Photo patches with their means, which all atoms correlate with."""
    windows = np.lib.stride_tricks.sliding_window_view(data.camera()[::2, ::2] / 255, (8, 8))
    rows = windows.reshape(-1, 64)
    return rows[rng.choice(len(rows), n, replace=False)].reshape(n, 1, 8, 8).astype(dtype)


def unit_atoms(rng, shape, dtype):
    atoms = rng.standard_normal(shape)
    norms = np.sqrt((atoms**2).sum(axis=tuple(range(1, atoms.ndim)), keepdims=True))
    return (atoms / norms).astype(dtype)


@pytest.mark.parametrize("positive", [True, False])
def test_patches_in_float32_need_about_the_steps_of_float64(rng, positive):
    x, atoms = raw_patches(rng, 200, "float64"), unit_atoms(rng, (100, 1, 8, 8), "float64")
    found = []
    for dtype in ("float64", "float32"):
        D = csc.Dictionary(atoms.astype(dtype))
        penalty = csc.L1(csc.Relative(1e-3), positive=positive)
        found.append(csc.solve(csc.Problem(x.astype(dtype), D, penalty), max_iter=4))
    assert all(one.converged for one in found), [one.message for one in found]
    assert found[1].objective == pytest.approx(found[0].objective, rel=2e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_patches_of_weight_0_end(rng, dtype):
    x, atoms = raw_patches(rng, 50, dtype), unit_atoms(rng, (100, 1, 8, 8), dtype)
    solution = csc.solve(csc.Problem(x, csc.Dictionary(atoms), csc.L1(0.0)), max_iter=10)
    assert solution.message.startswith(("converged", "stalled"))
    assert solution.n_iter < 6
    assert solution.objective < 1e-9 * (x**2).sum()


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("spatial_shape", [(6,), (14,)], ids=["patches", "signals"])
def test_codes_of_weight_0_have_a_certificate(rng, spatial_shape, positive):
    D = csc.Dictionary(unit_atoms(rng, (3, 1, 6), "float64"), "valid")
    x = rng.standard_normal((2, 1, *spatial_shape))
    weights = np.array([0.0, 1.0, 2.0])[:, None]
    problem = csc.Problem(x, D, csc.L1(0.3, weights, positive))
    solution = csc.solve(problem, tol=1e-5, max_iter=5000)
    assert solution.converged, solution.message
    assert solution.codes[:, 0].any()
    moved = [problem.value(solution.codes + d) for d in near(rng, solution.codes, positive)]
    assert solution.objective <= min(moved) + solution.gap


def near(rng, z, positive):
    """Small moves that keep the sign where codes must not be negative."""
    for size in (1e-1, 1e-3):
        for _ in range(20):
            d = size * rng.standard_normal(z.shape)
            yield np.maximum(z + d, 0) - z if positive else d


def test_a_gap_of_codes_of_weight_0_bounds_the_excess_also_far_away(rng):
    D = csc.Dictionary(unit_atoms(rng, (3, 1, 5), "float64"), "full")
    x, weights = rng.standard_normal((2, 1, 12)), np.array([0.0, 1.0, 1.0])[:, None]
    problem = csc.Problem(x, D, csc.L1(0.2, weights))
    best = csc.solve(problem, tol=1e-9, max_iter=20_000).objective
    for size in (0.0, 0.01, 1.0):
        z = size * rng.standard_normal(problem.code_shape)
        value, gap = problem.certificate(z)
        assert value - gap <= best * (1 + 1e-9)
        assert gap < value  # a bound that says something


def test_iterations_end_where_nothing_but_rounding_is_left(rng):
    D = csc.Dictionary(unit_atoms(rng, (2, 1, 5), "float32"), "full")
    x = D(rng.standard_normal((1, 2, 4)).astype("float32"), (8,))
    solution = csc.solve(csc.Problem(x, D, csc.L1(0.0)), csc.solvers.FISTA(), max_iter=5000)
    assert solution.converged
    assert solution.n_iter < 5000


def test_coherent_atoms_are_pursued_to_the_end_in_float32(rng):
    atoms = rng.standard_normal(64) + 1e-3 * rng.standard_normal((40, 64))
    x = rng.standard_normal((20, 1, 64))
    for dtype in ("float32", "float64"):
        D = csc.Dictionary(unit_from(atoms).astype(dtype))
        solution = csc.solve(
            csc.Problem(x.astype(dtype), D, csc.L0(0.0)), csc.solvers.OMP(n_nonzero=10)
        )
        assert ((solution.codes != 0).sum(axis=1) == 10).all()
        assert solution.converged


def unit_from(atoms):
    return (atoms / np.linalg.norm(atoms, axis=1, keepdims=True))[:, None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_pursuit_that_dependent_atoms_end_says_so(rng, dtype):
    plane = rng.standard_normal((2, 16))
    atoms = unit_from(rng.standard_normal((6, 2)) @ plane + 1e-9 * rng.standard_normal((6, 16)))
    x = rng.standard_normal((5, 1, 16)).astype(dtype)
    solution = csc.solve(
        csc.Problem(x, csc.Dictionary(atoms.astype(dtype)), csc.L0(0.0)),
        csc.solvers.OMP(n_nonzero=5),
    )
    assert solution.message.startswith("stalled in 5 of 5 signals")
    assert not solution.converged
