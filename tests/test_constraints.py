"""Projections onto atom constraints are feasible, nearest and idempotent."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import nnls

import csc
from csc._backend import kernels
from csc.constraints import _sets as taper

CONSTRAINTS = [
    csc.constraints.UnitBall(),
    csc.constraints.UnitSphere(),
    csc.constraints.ZeroMean(),
    csc.constraints.ZeroMean() & csc.constraints.UnitBall(),
    csc.constraints.ZeroMean() & csc.constraints.UnitSphere(),
    csc.constraints.OrthonormalGroups(1),
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


@pytest.mark.parametrize("size", [2, 3])
def test_groups_become_orthonormal_and_no_orthonormal_ones_are_nearer(size, dtype, rng):
    atoms = rng.standard_normal((2 * size, 2, 3)).astype(dtype)
    constraint = csc.constraints.ZeroMean() & csc.constraints.OrthonormalGroups(size)
    near = constraint.project(atoms)
    assert near.dtype == dtype
    np.testing.assert_allclose(near.sum(axis=2), 0, atol=1e-6)
    for own, given in zip(near.reshape(2, size, 6), atoms.reshape(2, size, 6), strict=True):
        np.testing.assert_allclose(own @ own.T, np.eye(size), atol=1e-6)
        for _ in range(100):
            flat = own.reshape(size, 2, 3) + rng.normal(size=(size, 2, 3)) * 10 ** rng.uniform(
                -3, 1
            )
            flat = (flat - flat.mean(axis=2, keepdims=True)).reshape(size, 6)
            other = np.linalg.qr(flat.T)[0].T
            for signs in ([1, 1, 1], [-1, 1, 1], [-1, -1, 1]):
                other = other * np.array(signs[:size])[:, None]
                assert ((own - given) ** 2).sum() <= ((other - given) ** 2).sum() + 1e-6


def test_groups_that_cannot_be_are_refused():
    groups = csc.constraints.OrthonormalGroups(3)
    with pytest.raises(ValueError, match="group_size must divide the number of atoms, got"):
        groups.project(np.ones((4, 1, 5)))
    with pytest.raises(ValueError, match="group_size must be at most the number of samples"):
        groups.project(np.ones((3, 1, 2)))


@pytest.mark.parametrize("batch_size", [None, 40])
def test_groups_are_learned_together_also_across_blocks_and_dead_atoms(batch_size, rng):
    X = rng.laplace(size=(200, 1, 6))
    constraint, penalty = csc.constraints.OrthonormalGroups(3), csc.GroupL21(0.8, 3)
    learner = csc.DictionaryLearning(
        18, (6,), penalty=penalty, constraint=constraint, batch_size=batch_size, tol=0,
        max_iter=8, replace_after=100 if batch_size else None, random_state=0,
    )  # fmt: skip
    atoms = learner.fit(X).atoms_.reshape(6, 3, 6)
    np.testing.assert_allclose(
        atoms @ atoms.swapaxes(1, 2), np.tile(np.eye(3), (6, 1, 1)), atol=1e-9
    )
    objectives = np.array([line.objective for line in learner.history_])
    if batch_size is None:
        assert (np.diff(objectives) <= 1e-9 * objectives[0]).all()
    assert objectives[-1] < 0.95 * objectives[0]


def test_one_dead_atom_is_replaced_and_its_group_stays_orthonormal(rng):
    from csc.learning._dead_atoms import fill_places

    constraint = csc.constraints.OrthonormalGroups(2)
    atoms = constraint.project(rng.standard_normal((6, 1, 5)))
    found = [(1.0, rng.standard_normal((1, 5)))]
    new, replaced = fill_places(atoms, np.arange(6) == 3, found, constraint)
    assert replaced.nonzero()[0].tolist() == [3]
    pairs = new.reshape(3, 2, 5)
    np.testing.assert_allclose(
        pairs @ pairs.swapaxes(1, 2), np.tile(np.eye(2), (3, 1, 1)), atol=1e-12
    )
    np.testing.assert_array_equal(new[[0, 1, 4, 5]], atoms[[0, 1, 4, 5]])


@pytest.mark.parametrize("size", [0.0, 0.5, 30.0])
def test_the_kernel_taper_multiplier_finds_the_root_of_arrays(size, rng):
    squares, which, levels = taper._tukey_levels(0.8, (6, 9))
    inside = which >= 0
    assert (squares.ravel()[inside] == levels[which[inside]]).all()
    assert not squares.ravel()[~inside].any()
    energies, m = (size * rng.standard_normal((4, 54))) ** 2, np.empty(4)
    kernels(m).taper_multiplier(energies, which, levels, 60, 1e-7, m)
    order = squares.ravel().argsort()[int((~inside).sum()) :]
    w2 = squares.ravel()[order]
    np.testing.assert_allclose(m, taper._multiplier(energies[:, order] * w2, w2), rtol=1e-12)
    phi = (energies[:, order] * w2 / (w2 + m[:, None]) ** 2).sum(axis=1)
    assert (phi <= 1 + 1e-12).all()
    np.testing.assert_allclose(phi[m > 0], 1, rtol=1e-12)
    assert (m > 0).any() == (size > 0)


def test_complex_pairs_are_d_and_i_d_and_no_other_pairs_are_nearer(dtype, rng):
    constraint = csc.constraints.ComplexPairs() & csc.constraints.UnitBall()
    atoms = rng.standard_normal((6, 4, 5)).astype(dtype)
    near = constraint.project(atoms)
    assert (near.dtype, constraint.group_size) == (dtype, 2)
    d = near[:, :2] + 1j * near[:, 2:]
    np.testing.assert_allclose(d[1::2], 1j * d[::2], atol=1e-6)
    given = atoms[:, :2] + 1j * atoms[:, 2:]
    far = (abs(d - given) ** 2).sum()
    for _ in range(300):
        step = rng.standard_normal((3, 2, 5)) + 1j * rng.standard_normal((3, 2, 5))
        other = d[::2] + 10 ** rng.uniform(-3, 0) * step
        other /= np.maximum(np.sqrt((abs(other) ** 2).sum((1, 2), keepdims=True)), 1)
        pairs = np.stack([other, 1j * other], axis=1).reshape(6, 2, 5)
        assert (abs(pairs - given) ** 2).sum() >= far - 1e-5
    with pytest.raises(ValueError, match="ComplexPairs takes an even number of atoms"):
        constraint.project(atoms[:3])


@pytest.mark.parametrize("ball", [csc.constraints.UnitBall(), csc.constraints.TaperedBall(0.8)])
def test_complex_atoms_are_learned_with_complex_codes(ball, rng):
    t = np.arange(12)
    true = np.hanning(12) * np.exp(2j * np.pi * np.array([[0.1], [-0.3]]) * t)
    true = csc.constraints.UnitSphere().project(csc.operators.complex_to_channels(true[:, None]))
    z = rng.standard_normal((8, 2, 100)) + 1j * rng.standard_normal((8, 2, 100))
    z *= 3 * (rng.random(z.shape) < 0.03)
    D = csc.operators.complex_dictionary(csc.operators.channels_to_complex(true))
    learner = csc.DictionaryLearning(
        4, (12,), penalty=csc.GroupL21(0.3, 2), constraint=csc.constraints.ComplexPairs() & ball,
        batch_size=None, max_iter=15, tol=0, coding_tol=1e-6, random_state=2,
    )  # fmt: skip
    learner.fit(D(csc.operators.complex_to_codes(z)))
    objectives = np.array([line.objective for line in learner.history_])
    assert (np.diff(objectives) <= 1e-6 * objectives[0]).all()
    d = csc.operators.channels_to_complex(learner.atoms_)
    np.testing.assert_allclose(d[1::2], 1j * d[::2], atol=1e-9)
    true = csc.operators.channels_to_complex(true)[:, 0]
    found = [
        max(abs(np.correlate(a, b[0], "full")).max() / np.linalg.norm(b) for b in d[::2])
        for a in true
    ]
    assert min(found) > 0.95


@pytest.mark.parametrize("size", [0.1, 3.0, 1e4])
@pytest.mark.parametrize("shape", [(3, 2, 8), (1, 1, 5, 4), (2, 1, 3, 2, 4), (2, 3, 1)])
def test_any_window_tapers_atoms_and_the_projection_is_certified(shape, size, dtype, rng):
    window = np.asfortranarray(rng.uniform(0.1, 2, shape[2:]).astype(dtype))
    window[(0,) * (len(shape) - 2)] = 0 if np.prod(shape[2:]) > 1 else 0.5
    constraint = csc.constraints.TaperedBall(window=window)
    atoms = size * rng.standard_normal(shape).astype(dtype)
    near = constraint.project(atoms)
    assert near.dtype == dtype
    inside, g = window > 0, (atoms - near).astype("float64")
    assert not near[..., ~inside].any()
    c = near[..., inside] / window[inside]
    tol = 1e-5 if dtype == "float32" else 1e-10
    assert ((c**2).reshape(len(c), -1).sum(axis=1) <= 1 + tol).all()
    # the largest <g, y> over the set is ||w g||: the nearest point attains it
    most = np.sqrt(((window * g) ** 2).reshape(len(g), -1).sum(axis=1))
    own = (g * near).reshape(len(g), -1).sum(axis=1)
    np.testing.assert_allclose(own, most, atol=tol * max(size, 1))


def test_a_window_of_edge_one_is_hanns_and_learned_atoms_vanish_at_their_ends(rng, tmp_path):
    hann, v = csc.constraints.TaperedBall(window=np.hanning(9)), 5 * rng.standard_normal((2, 3, 9))
    np.testing.assert_allclose(csc.constraints.TaperedBall(1.0).project(v), hann.project(v))
    X = rng.standard_normal((2, 3, 60))
    for constraint in (hann, csc.constraints.Separable() & hann):
        learner = csc.DictionaryLearning(
            4, (9,), 0.5, constraint=constraint, batch_size=None, max_iter=8, tol=0, random_state=0
        ).fit(X)
        assert not learner.atoms_[..., [0, -1]].any()
        objectives = np.array([line.objective for line in learner.history_])
        assert (np.diff(objectives) <= 1e-9 * objectives[0]).all()
        csc.save(tmp_path / "learner.npz", learner)
        again = csc.load(tmp_path / "learner.npz").constraint
        np.testing.assert_array_equal(again.project(v), constraint.project(v))
    csc.save(tmp_path / "ball.npz", csc.constraints.TaperedBall(window=np.ones((2, 3))))
    other, same = (
        csc.constraints.TaperedBall(window=w) for w in np.ones((2, 2, 3)) * [[[2]], [[1]]]
    )
    assert csc.load(tmp_path / "ball.npz") in {other, same} - {other}
    assert (np.linalg.matrix_rank(learner.atoms_, tol=1e-9) == 1).all()


def test_a_window_changed_later_does_not_change_the_constraint(rng):
    window, atoms = np.hamming(5), 9 * rng.standard_normal((2, 1, 5))
    constraint, same = (csc.constraints.TaperedBall(window=window) for _ in range(2))
    before = constraint.project(atoms)
    window[:] = 1
    assert constraint == same
    for ball in (constraint, same):
        np.testing.assert_array_equal(ball.project(atoms), before)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (np.ones(4, int), "window must be float32 or float64"),
        (-np.ones(4), "window must be >= 0 and not 0 everywhere, got -1"),
        (np.zeros(4), "window must be >= 0 and not 0 everywhere"),
        (np.array([1.0, np.nan]), "window holds NaN"),
        (np.ones(4), "window of shape .4,. does not fit atoms of spatial shape .3,."),
    ],
)
def test_windows_that_cannot_be_are_refused(window, message):
    with pytest.raises((TypeError, ValueError), match=message):
        csc.constraints.TaperedBall(window=window).project(np.ones((1, 1, 3)))


def products_from_many_starts(tensor, rng, n_starts=12):
    """Largest product of unit vectors with a tensor, by alternating maximisation: ``<T, u v w ...>``."""
    letters = "abcd"[: tensor.ndim]
    best = 0.0
    for _ in range(n_starts):
        vectors = [rng.standard_normal(n) for n in tensor.shape]
        size, before = 1.0, 0.0
        while size - before > 1e-10 * size:
            before = size if before else 1e-300
            for i, own in enumerate(letters):
                others = [v for j, v in enumerate(vectors) if j != i]
                names = [a for a in letters if a != own]
                vectors[i] = np.einsum(f"{letters},{','.join(names)}->{own}", tensor, *others)
                size = np.linalg.norm(vectors[i])
                vectors[i] /= size
        best = max(best, size)
    return best


@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 5, 5, 5), (2, 3, 1, 4), (2, 3, 4, 3)])
@pytest.mark.parametrize("noise", [0.3, None])
def test_atoms_of_any_order_become_products_as_near_as_those_of_many_starts(shape, noise, rng):
    axes = [rng.standard_normal((10, n)) for n in shape]
    true = axes[0]
    for v in axes[1:]:
        true = np.einsum("k...,kn->k...n", true, v)
    atoms = rng.standard_normal((10, *shape)) * (noise or 1) + (0 if noise is None else true)
    near = csc.constraints.Separable(share_channels=True).project(atoms)
    for atom, own in zip(atoms, near, strict=True):
        for axis in range(own.ndim):
            rows = np.moveaxis(own, axis, 0).reshape(own.shape[axis], -1)
            assert np.linalg.matrix_rank(rows, tol=1e-9) == 1
        least = (atom**2).sum() - products_from_many_starts(atom.squeeze(), rng) ** 2
        assert ((atom - own) ** 2).sum() <= least * (1 + 1e-6 if noise else 1.03)


def test_channels_are_products_of_their_own_or_share_one(dtype, rtol, rng):
    own, shared = csc.constraints.Separable(), csc.constraints.Separable(share_channels=True)
    atoms = rng.standard_normal((3, 2, 4, 5, 3)).astype(dtype)[..., ::-1]
    near = own.project(atoms)
    assert near.dtype == dtype
    alone = shared.project(np.ascontiguousarray(atoms.reshape(6, 1, 4, 5, 3)))
    np.testing.assert_allclose(near, alone.reshape(near.shape), atol=rtol)
    np.testing.assert_allclose(own.project(near), near, atol=10 * rtol)
    together = shared.project(atoms)
    np.testing.assert_allclose(shared.project(together), together, atol=10 * rtol)
    series = atoms[..., 0, 0]
    np.testing.assert_array_equal(own.project(series), shared.project(series))
    np.testing.assert_array_equal(shared.project(atoms * 0), atoms * 0)
    np.testing.assert_array_equal(shared.project(series[:, :1]), series[:, :1])
    with pytest.raises(TypeError, match="share_channels must be True or False, got 2"):
        csc.constraints.Separable(2)


@pytest.mark.parametrize("shape", [(3, 12, 11), (2, 6, 6, 5)])
def test_learning_from_colour_and_volumes_keeps_products_and_never_rises(shape, rng):
    X = rng.standard_normal((2, *shape))
    size = (3,) * (len(shape) - 1)
    constraint = csc.constraints.Separable(share_channels=True) & csc.constraints.UnitBall()
    learner = csc.DictionaryLearning(
        4, size, 0.5, constraint=constraint, batch_size=None, max_iter=6, tol=0, random_state=0
    ).fit(X)
    np.testing.assert_allclose(constraint.project(learner.atoms_), learner.atoms_, atol=1e-7)
    objectives = np.array([line.objective for line in learner.history_])
    assert (np.diff(objectives) <= 1e-9 * objectives[0]).all()


@pytest.mark.parametrize("n_points", [1, 3, 40])
def test_the_hull_gives_the_mean_of_points_that_is_nearest(n_points, dtype, rtol, rng):
    points = rng.standard_normal((n_points, 2, 3)).astype(dtype)
    points = np.concatenate([points, points[:2]])  # some twice
    hull = csc.constraints.ConvexHull(points)
    atoms = (rng.standard_normal((20, 2, 3)) * rng.choice([0.1, 1, 5], (20, 1, 1))).astype(dtype)
    near, rows = hull.project(atoms), points.reshape(len(points), 6).astype("float64")
    assert near.dtype == dtype
    np.testing.assert_allclose(hull.project(near), near, atol=10 * rtol)
    columns = np.vstack([rows.T, np.full(len(rows), 1e5)])
    for own, given in zip(near.reshape(20, 6), atoms.reshape(20, 6), strict=True):
        best = nnls(columns, np.append(given.astype("float64"), 1e5))[0] @ rows
        np.testing.assert_allclose(own, best, atol=10 * max(rtol, 1e-6))


def _nearest_on_edges(points, row):
    """The nearest point of a polygon's hull to a row outside, in exact fractions."""
    points, row = ([[Fraction(float(v)) for v in p] for p in a] for a in (points, [row]))
    found = []
    for a, b in itertools.product(points, repeat=2):
        edge = [b[0] - a[0], b[1] - a[1]]
        along = sum((y - c) * e for y, c, e in zip(row[0], a, edge, strict=True))
        squared = edge[0] ** 2 + edge[1] ** 2
        share = min(max(along / squared, 0), 1) if squared else 0
        point = [c + share * e for c, e in zip(a, edge, strict=True)]
        found.append((sum((p - y) ** 2 for p, y in zip(point, row[0], strict=True)), point))
    return np.array([float(v) for v in min(found)[1]])


@pytest.mark.parametrize("far", [1e2, 1e4, 1e7, 1e13, 1e30, 1e200])
def test_points_far_from_the_hull_go_to_its_nearest_point(far, rng):
    for _ in range(20):
        points, direction = rng.standard_normal((6, 2)), rng.standard_normal(2)
        row = far * direction / np.hypot(*direction)
        near = csc.constraints.ConvexHull(points[:, None]).project(row[None, None])[0, 0]
        np.testing.assert_allclose(near, _nearest_on_edges(points, row), rtol=1e-9)


def test_far_points_keep_their_place_along_a_face():
    square = np.array([[[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 1.0]]])
    for far in (10, 1e5, 1e8):
        near = csc.constraints.ConvexHull(square).project(np.array([[[far, 0.3]], [[0.6, -far]]]))
        np.testing.assert_allclose(near, [[[1.0, 0.3]], [[0.6, 0.0]]], atol=1e-15 * far)


@pytest.mark.parametrize("offset", [0.1, 0.3, 1e3])
def test_atoms_that_are_nearly_constant_keep_mean_zero_at_norm_one(offset, dtype, rng):
    atoms = np.full((3, 2, 3, 7), offset, dtype)
    atoms[1:] += (1e-3 * rng.standard_normal((2, 2, 3, 7))).astype(dtype)
    found = (csc.constraints.ZeroMean() & csc.constraints.UnitSphere()).project(atoms)
    exact = atoms.astype("float64")
    exact -= exact.mean(axis=(2, 3), keepdims=True)
    exact[1:] /= np.sqrt((exact[1:] ** 2).sum(axis=(1, 2, 3), keepdims=True))
    exact[0] = 0
    np.testing.assert_allclose(found, exact, atol=1e-6)


def test_channels_share_the_mean_of_the_copies(rng):
    shared = csc.constraints.SharedByChannels(3)
    atoms = rng.standard_normal((6, 3, 4))
    near = shared.project(atoms)
    for k in range(2):
        own = atoms[3 * k : 3 * k + 3]
        mean = (own[0, 0] + own[1, 1] + own[2, 2]) / 3
        np.testing.assert_allclose(near[3 * k : 3 * k + 3], mean * np.eye(3)[:, :, None])
    with pytest.raises(ValueError, match="n_channels is 3: atoms must have 3 channels"):
        shared.project(atoms[:5])
    with pytest.raises(ValueError, match="points must be finite"):
        csc.constraints.ConvexHull(np.full((1, 1, 2), np.nan))
    with pytest.raises(ValueError, match="are not of the shape of atoms"):
        csc.constraints.ConvexHull(np.ones((1, 1, 2))).project(np.ones((1, 1, 3)))


@pytest.mark.parametrize("share_channels", [False, True])
def test_separable_refuses_four_spatial_axes(share_channels, rng):
    separable = csc.constraints.Separable(share_channels=share_channels)
    assert separable.project(rng.standard_normal((2, 3, 2, 2, 2))).shape == (2, 3, 2, 2, 2)
    with pytest.raises(ValueError, match="atoms must have at most three spatial axes"):
        separable.project(rng.standard_normal((2, 1, 2, 2, 2, 2)))


EXTREMES = {"float32": (1e-40, 1e-25, 1e25, 1e37), "float64": (1e-310, 1e-200, 1e200, 1e305)}
WINDOW = np.array([0.0, 0.5, 1.0, 0.5])


@pytest.mark.parametrize("dtype", EXTREMES)
def test_atoms_whose_squares_overflow_or_underflow_are_projected(dtype, rng):
    unit = rng.standard_normal((4, 2, 3, 4, 2))
    unit /= np.sqrt((unit**2).sum(axis=(1, 2, 3, 4), keepdims=True))
    ball, sphere = csc.constraints.UnitBall(), csc.constraints.UnitSphere()
    products = csc.constraints.Separable(share_channels=True)
    for scale in EXTREMES[dtype]:
        atoms = (np.longdouble(scale) * unit).astype(dtype)
        np.testing.assert_allclose(sphere.project(atoms), unit, atol=1e-4)
        np.testing.assert_allclose(ball.project(atoms), atoms if scale < 1 else unit, rtol=1e-4)
        found = products.project(atoms).astype(np.longdouble) / scale
        np.testing.assert_allclose(found.astype(float), products.project(unit), atol=1e-4)
    full = np.full((1, 1, 4), np.finfo(dtype).max, dtype)  # its norm is no number of this dtype
    np.testing.assert_allclose(ball.project(full), 0.5, rtol=1e-6)
    np.testing.assert_allclose(sphere.project(full), 0.5, rtol=1e-6)


@pytest.mark.parametrize("dtype", EXTREMES)
def test_large_atoms_are_projected_on_ellipsoids_and_hulls(dtype, rng):
    far = EXTREMES[dtype][-1]
    atoms = (far * rng.uniform(0.1, 1, (3, 1, 4))).astype(dtype)
    atoms[0, 0, 0] = far  # where the window is zero
    found = csc.constraints.TaperedBall(window=WINDOW).project(atoms)
    expected = WINDOW**2 * (atoms.astype(np.longdouble) / far)  # far away: v w^2 / ||v w||
    expected /= np.sqrt((expected[..., 1:] ** 2 / WINDOW[1:] ** 2).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(found, expected.astype(float), rtol=1e-5, atol=1e-12)
    corners = np.array([[[0.0, 0.0]], [[0.4, 0.0]], [[0.0, 0.4]]])
    hull = csc.constraints.ConvexHull((far * corners).astype(dtype))
    near = hull.project((far * np.array([[[0.3, 0.3]]])).astype(dtype)) / far
    np.testing.assert_allclose(near, [[[0.2, 0.2]]], rtol=1e-6)
