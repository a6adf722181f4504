"""Kernels of restoration against NumPy: groups, masked OMP, overlapping patches."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from csc.kernels.cpu import (
    GroupRule,
    add_patches,
    fill_groups,
    filter_groups,
    omp_masked,
    omp_seen,
    similar_patches,
)

RULE = GroupRule(4, 12, 5)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def windows(image, size):
    view = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(-2, -1))
    return np.moveaxis(view, 0, -3) if image.ndim == 3 else view


def nearest(guide, at, rule):
    """Positions of the patches nearest to the one at ``at``, and their squared distances."""
    size, members, reach = rule
    view = windows(guide, size)
    sides = [min(2 * reach + 1, n) for n in view.shape[:2]]
    first = [
        min(max(p - reach, 0), n - side)
        for p, n, side in zip(at, view.shape[:2], sides, strict=True)
    ]
    area = view[first[0] : first[0] + sides[0], first[1] : first[1] + sides[1]]
    distances = ((area - view[tuple(at)]) ** 2).sum(axis=(-2, -1))
    order = np.argsort(distances, axis=None)[:members]
    rows, columns = np.unravel_index(order, distances.shape)
    return rows + first[0], columns + first[1], distances.ravel()[order]


@pytest.mark.parametrize("at", [(0, 0), (7, 9), (16, 20), (3, 20)])
def test_similar_patches_are_the_nearest(rng, at):
    guide = rng.standard_normal((20, 24)).astype("float32")
    found = [np.empty((1, RULE.members), t) for t in (np.intp, np.intp, "float32")]
    similar_patches(guide, np.array([at]), RULE, *found)
    for ours, theirs in zip(found, nearest(guide, at, RULE), strict=True):
        assert_allclose(ours[0], theirs, rtol=1e-5)
    assert (found[0][0, 0], found[1][0, 0]) == at


def reference_groups(noisy, pilot, guide, grid, estimate):
    """Sums and weights, one group after another; ``estimate`` gives patches with weights."""
    sums, weights = np.zeros(noisy.shape), np.zeros(noisy.shape[1:])
    p = RULE.size
    for i in grid[0]:
        for j in grid[1]:
            rows, columns, _ = nearest(guide, (i, j), RULE)
            q = windows(pilot, p)[rows, columns].reshape(len(rows), -1).astype("float64")
            y = windows(noisy, p)[rows, columns].reshape(len(rows), -1).astype("float64")
            mean = q.mean(axis=0)
            C = (q - mean).T @ (q - mean) / len(q)
            for r, c, patch, weight in zip(
                rows, columns, *estimate(y, mean, C, rows, columns), strict=False
            ):
                sums[:, r : r + p, c : c + p] += weight * patch.reshape(-1, p, p)
                weights[r : r + p, c : c + p] += weight
    return sums, weights


@pytest.mark.parametrize("channels", [1, 3])
def test_groups_are_filtered_by_their_gaussian(rng, channels):
    noisy, pilot = rng.standard_normal((2, channels, 30, 21)).astype("float32")
    guide, variance = pilot.mean(axis=0), 0.3
    grid = np.array([0, 2, 5, 9, 12, 14, 15, 20, 23, 26]), np.array([0, 8, 17])

    def estimate(y, mean, C, *_):
        F = np.linalg.solve(C + variance * np.eye(len(C)), C)
        return (y - mean) @ F + mean, np.full(len(y), 1 / (1 + np.trace(F)))

    ours = filter_groups(noisy, pilot, guide, grid, RULE, variance)
    for a, b in zip(ours, reference_groups(noisy, pilot, guide, grid, estimate), strict=True):
        assert_allclose(a, b, rtol=2e-4, atol=2e-4)


def test_groups_are_filled_from_the_pixels_seen(rng):
    image, pilot = rng.standard_normal((2, 2, 22, 21)).astype("float32")
    seen = (rng.random(image.shape) < 0.6).astype("float32")
    guide, noise, ridge = pilot.mean(axis=0), 0.1, 0.05
    grid = np.array([0, 4, 9, 13, 18]), np.array([0, 8, 17])

    def estimate(y, mean, C, rows, columns):
        masks = windows(seen, RULE.size)[rows, columns].reshape(len(rows), -1) > 0
        C = C + ridge * np.eye(len(C))
        patches = [
            mean + C[:, m] @ np.linalg.solve(C[m][:, m] + noise * np.eye(m.sum()), (a - mean)[m])
            for a, m in zip(y[:3], masks, strict=False)
        ]
        return patches, np.ones(3)

    ours = fill_groups((image * seen, seen), pilot, guide, grid, RULE, (noise, ridge), 3)
    for a, b in zip(ours, reference_groups(image, pilot, guide, grid, estimate), strict=True):
        assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_whole_patches_need_not_be_filled(rng):
    image = rng.standard_normal((1, 16, 16)).astype("float32")
    _, weights = fill_groups(
        (image, np.ones_like(image)), image, image[0], (np.arange(12),) * 2, RULE, (0.1, 0.1), 3
    )
    assert not weights.any()


def masked_pursuit(x, seen, atoms, energy, most):
    """OMP on the pixels seen, by least squares at each step."""
    D, r = atoms[:, seen], x[seen].copy()
    worth = (D**2).sum(axis=1)
    taken = []
    while len(taken) < min(most, max(1, seen.sum() // 2)) and r @ r > energy * seen.sum():
        gains = np.where(worth > 0.15**2, (D @ r) ** 2 / worth, 0)
        gains[taken] = 0
        taken.append(int(gains.argmax()))
        z = np.linalg.lstsq(D[taken].T, x[seen], rcond=None)[0]
        r = x[seen] - z @ D[taken]
    return (z @ atoms[taken] if taken else np.zeros(len(x))), len(taken)


@pytest.mark.slow
@pytest.mark.parametrize("energy", [0.0, 0.05])
def test_masked_omp_codes_by_the_pixels_seen(rng, energy):
    atoms = rng.standard_normal((20, 16)).astype("float32")
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    x, seen = rng.standard_normal((50, 16)).astype("float32"), rng.random((50, 16)) < 0.7
    out, counts = np.empty_like(x), np.empty(50, np.intp)
    omp_masked(x * seen, seen.astype("float32"), atoms, energy, 4, out, counts)
    for i in range(50):
        expected, n = masked_pursuit(x[i], seen[i], atoms, energy, 4)
        assert counts[i] == n
        assert_allclose(out[i], expected, atol=1e-4)


def test_what_has_no_pixel_seen_takes_no_atom():
    x, atoms = np.zeros((1, 16), "float32"), np.eye(16, dtype="float32")
    out, counts = np.empty_like(x), np.empty(1, np.intp)
    omp_masked(x, x, atoms, 0.0, 4, out, counts)
    assert_array_equal(counts, 0)
    assert_array_equal(out, 0)


def test_codes_from_what_was_seen_are_those_of_the_seen_part(rng):
    atoms, x = rng.standard_normal((9, 6)), rng.standard_normal((4, 6)).astype("float32")
    seen = np.array([1, 0, 1, 1, 1, 0], "float32")
    whole, part = np.empty((2, 4, 9), "float32")
    ends = omp_seen(x, np.tile(seen, (4, 1)), atoms, 0.1, 3, 0.0, whole)
    on = seen > 0
    omp_seen(x[:, on], np.ones((4, 4), "float32"), atoms[:, on], 0.1, 3, 0.0, part)
    assert_array_equal(whole, part)
    assert_array_equal(ends, 0)
    assert (whole != 0).any()


def test_patches_add_up(rng):
    patches, weights = rng.random((2, 3, 2, 4, 4), "float32"), rng.random((2, 3))
    rows, columns = np.array([0, 3]), np.array([1, 2, 6])
    sums, totals = np.zeros((2, 8, 11)), np.zeros((8, 11))
    add_patches(patches, weights, rows, columns, sums, totals)
    expected = np.zeros_like(sums)
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            expected[:, r : r + 4, c : c + 4] += weights[i, j] * patches[i, j]
    assert_allclose(sums, expected)
    assert totals.sum() == pytest.approx(16 * weights.sum())
