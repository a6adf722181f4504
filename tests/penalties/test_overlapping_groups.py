"""Overlapping groups: the prox and the dual norm against grids that do not know the answer."""

import numpy as np
import pytest

import csc
from csc.kernels.cpu import shrink_overlapping
from csc.penalties import neighbourhoods

GROUPS = ((0, 1), (1, 2), (0, 2))
AXIS = np.linspace(-2, 2, 41)
GRID = np.stack(np.meshgrid(AXIS, AXIS, AXIS), axis=-1).reshape(-1, 3)


def value(z):
    """``sum_g ||z_g||`` of rows of three, written out."""
    a, b, c = z.T**2
    return np.sqrt(a + b) + np.sqrt(b + c) + np.sqrt(a + c)


@pytest.mark.parametrize("threshold", [0.05, 0.4, 1.0])
def test_prox_is_no_worse_than_any_point_of_a_grid(threshold, rng):
    for v in 1.5 * rng.standard_normal((8, 3)):
        u = csc.GroupL21(threshold / 0.7, groups=GROUPS).prox(v[None, :, None], 0.7)[0, :, 0]
        around = u + np.append(0, 10.0 ** -np.arange(1, 7))[:, None, None] * rng.normal(
            size=(40, 3)
        )
        points = np.vstack([GRID, around.reshape(-1, 3), v, 0 * v])
        cost = threshold * value(points) + 0.5 * ((points - v) ** 2).sum(axis=1)
        ours = threshold * value(u[None])[0] + 0.5 * ((u - v) ** 2).sum()
        assert ours <= cost.min() + 1e-12


def test_lmbda_max_is_that_of_a_grid(rng):
    penalty, values = csc.GroupL21(1.0, groups=GROUPS), value(GRID)
    for q in rng.standard_normal((6, 3)):
        best = ((GRID @ q)[values > 0] / values[values > 0]).max()  # the dual norm, from below
        assert best * 0.999 <= penalty.lmbda_max(q[None, :, None]) <= best * 1.03
        assert penalty.dual_norm(q[None, :, None]) >= best * 0.999
    assert penalty.lmbda_max(np.zeros((1, 3, 1))) == 0


@pytest.mark.slow
def test_groups_without_overlaps_are_those_of_a_size(dtype, rng):
    size = csc.GroupL21(0.5, 2)
    groups = csc.GroupL21(0.5, groups=[[0, 1], [2, 3], [4, 5]])
    z, q = (rng.standard_normal((2, 6, 3, 4)).astype(dtype) for _ in range(2))
    tol = {"rtol": 1e-5} if dtype == "float32" else {"rtol": 1e-12}
    u = size.prox(z, 1.5)
    assert groups.prox(z, 1.5).dtype == dtype
    assert (groups.prox(z, 1.5) == 0).mean() == (u == 0).mean() > 0
    np.testing.assert_allclose(groups.prox(z, 1.5), u, atol=1e-6, **tol)
    np.testing.assert_allclose(groups.values(z), size.values(z), **tol)
    np.testing.assert_allclose(groups.dual_norm(q), size.dual_norm(q), **tol)
    np.testing.assert_allclose(
        groups.subdiff_distance(u, q), size.subdiff_distance(u, q), rtol=1e-5
    )


@pytest.mark.parametrize("shape", [(4, 1, 3, 3), (2, 1, 5, 4)])
def test_solutions_are_certified(shape, rng):
    D, x = csc.Dictionary(rng.standard_normal((9, 1, 3, 3))), rng.standard_normal(shape)
    penalty = csc.GroupL21(csc.Relative(0.5), groups=neighbourhoods((3, 3), 2))
    problem = csc.Problem(x, D, penalty)
    solution = csc.solve(problem, tol=1e-3, max_iter=500)
    assert solution.status.converged
    assert (solution.codes == 0).mean() > 0.1
    for scale in (1e-2, 1.0):  # the gap of other codes bounds how much worse they are
        other = solution.codes * (1 + scale * rng.standard_normal(problem.code_shape))
        excess = problem.value(other) - solution.objective
        assert -solution.gap <= excess <= problem.gap(other)
    top, zero = problem.lmbda_max(), problem.zeros()
    q = D.adjoint(x)
    assert csc.GroupL21(1.001 * top, groups=penalty.groups).subdiff_distance(zero, q).max() < 1e-3
    assert csc.GroupL21(0.98 * top, groups=penalty.groups).subdiff_distance(zero, q).max() > 1e-3


def test_atoms_are_learned_and_saved_with_overlapping_groups(tmp_path, rng):
    X, groups = rng.laplace(size=(20, 1, 5)), neighbourhoods((2, 3), 2)
    learner = csc.DictionaryLearning(
        6,
        (5,),
        penalty=csc.GroupL21(0.3, groups=groups),
        max_iter=4,
        batch_size=None,
        random_state=0,
    ).fit(X)
    objectives = [line.objective for line in learner.history_]
    assert objectives[-1] < 0.95 * objectives[0]
    csc.save(tmp_path / "a.npz", learner)
    assert csc.load(tmp_path / "a.npz").penalty_ == learner.penalty_
    assert "groups=6 groups" in repr(learner.penalty_)
    assert "<svg" in learner.penalty_._repr_html_()


def test_neighbourhoods_wrap_around():
    assert neighbourhoods((3,), 3) == ((0, 1, 2),) * 3
    groups = neighbourhoods((4, 5), 3)
    assert sorted(groups[0]) == [0, 1, 4, 5, 6, 9, 15, 16, 19]
    assert all(k in group for k, group in enumerate(groups))


def test_the_kernel_leaves_out_groups_of_radius_zero():
    v, members, starts = np.array([[3.0, 4.0]]), np.array([0, 1, 0, 1]), np.array([0, 2, 4])
    u, bound = np.empty_like(v), np.empty(1)
    table = members, starts, np.array([2.0, 2.0])
    shrink_overlapping(v, table, np.array([[0.0, 2.5]]), (1e-15, 100), 0 * v, u, bound)
    np.testing.assert_allclose(u, [[1.5, 2.0]])


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: csc.GroupL21(1.0), ValueError, "give either group_size or groups"),
        (lambda: csc.GroupL21(1.0, 2, ((0, 1),)), ValueError, "give either group_size or groups"),
        (lambda: csc.GroupL21(1.0, groups=[(0, 2)]), ValueError, "atom 1 is in none"),
        (lambda: csc.GroupL21(1.0, groups=[(0, 0)]), ValueError, "different atoms' numbers"),
        (lambda: csc.GroupL21(1.0, groups=[(0, 1.5)]), TypeError, "sequences of atoms' numbers"),
        (lambda: csc.GroupL21(1.0, groups=[0, 1]), TypeError, "sequences of atoms' numbers"),
        (lambda: csc.GroupL21(1.0, groups=[]), ValueError, "at least one"),
        (lambda: neighbourhoods((2, 5), 3), ValueError, "width must be at most the shortest side"),
        (
            lambda: csc.Problem(
                np.ones((1, 1, 2)),
                csc.Dictionary(np.ones((3, 1, 2))),
                csc.GroupL21(1.0, groups=[(0, 1)]),
            ),
            ValueError,
            "groups hold 2 atoms, but the dictionary has 3",
        ),
    ],
)
def test_groups_that_cannot_be_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
