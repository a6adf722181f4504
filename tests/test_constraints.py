"""Projections onto atom constraints are feasible, nearest and idempotent."""

import numpy as np
import pytest

import csc

CONSTRAINTS = [
    csc.constraints.UnitBall(),
    csc.constraints.UnitSphere(),
    csc.constraints.ZeroMean(),
    csc.constraints.ZeroMean() & csc.constraints.UnitBall(),
    csc.constraints.ZeroMean() & csc.constraints.UnitSphere(),
]


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
def test_projection_is_no_farther_than_any_feasible_point(constraint, rng):
    atoms = rng.standard_normal((5, 2, 3, 2)) * rng.uniform(0.1, 3, (5, 1, 1, 1))
    near = constraint.project(atoms)
    distance = np.linalg.norm((near - atoms).reshape(5, -1), axis=1)
    for _ in range(300):
        other = constraint.project(near + 0.3 * rng.standard_normal(atoms.shape))
        assert (np.linalg.norm((other - atoms).reshape(5, -1), axis=1) >= distance - 1e-9).all()


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
def test_projecting_twice_changes_nothing_and_keeps_precision(constraint, dtype, rtol, rng):
    atoms = rng.standard_normal((4, 1, 5)).astype(dtype)
    once = constraint.project(atoms)
    assert once.dtype == dtype
    np.testing.assert_allclose(constraint.project(once), once, atol=rtol)


def test_sets_are_what_they_say(rng):
    atoms = 3 * rng.standard_normal((6, 2, 4, 4))
    flat = (csc.constraints.ZeroMean() & csc.constraints.UnitSphere()).project(atoms)
    np.testing.assert_allclose(flat.sum(axis=(2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose((flat**2).sum(axis=(1, 2, 3)), 1)
    inside = 0.1 * atoms / 30
    np.testing.assert_array_equal(csc.constraints.UnitBall().project(inside), inside)
