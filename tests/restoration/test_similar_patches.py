"""The public parts: the search for similar patches, and estimates of groups."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_allclose, assert_array_equal

from csc.restoration import group_estimate, similar_patches


@pytest.fixture
def image():
    return np.random.default_rng(0).random((3, 19, 23))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_positions_sorted_by_distance(image, channels, dtype):
    """With a reach beyond the image and n of all positions, all are found, by distance."""
    image = image[:channels].astype(dtype)
    luminance = image.sum(axis=0) / channels**0.5
    windows = sliding_window_view(luminance, (5, 5))
    found = similar_patches(image, [(3, 4), (14, 18)], size=5, n=1000, reach=30)
    assert found.rows.shape == (2, 15 * 19)
    for g, at in enumerate([(3, 4), (14, 18)]):
        squares = ((windows - windows[at]) ** 2).sum(axis=(2, 3))
        assert (found.rows[g, 0], found.columns[g, 0]) == at
        assert_allclose(found.distances[g], squares[found.rows[g], found.columns[g]], atol=1e-4)
        assert_allclose(found.distances[g], np.sort(squares, axis=None), atol=1e-4)


def test_no_position_gives_no_patches(image):
    assert similar_patches(image[0], np.empty((0, 2), int), n=3).rows.shape == (0, 3)


@pytest.mark.parametrize("channels", [1, 2])
def test_one_group_of_all_patches_is_the_formula(image, channels):
    y, pilot = image[:channels, :9, :10], image[-channels:, 9:18, :10]
    n, sums, counts = 16 * channels, np.zeros(y.shape), np.zeros(y.shape)
    q, v = (
        sliding_window_view(a, (4, 4), axis=(1, 2)).transpose(1, 2, 0, 3, 4).reshape(-1, n)
        for a in (pilot, y)
    )
    mean, C = q.mean(axis=0), np.cov(q.T, bias=True)
    F = C @ np.linalg.inv(C + 0.3**2 * np.eye(n))
    for k, patch in enumerate((v - mean) @ F.T + mean):
        where = np.s_[:, k // 7 : k // 7 + 4, k % 7 : k % 7 + 4]
        sums[where] += patch.reshape(-1, 4, 4)
        counts[where] += 1
    ours = group_estimate(y, pilot, 0.3, size=4, members=1000, reach=20)
    assert ours.dtype == "float64"
    assert_allclose(ours, sums / counts, atol=1e-5)


def test_a_mask_keeps_what_cannot_be_reached(image):
    y, pilot = image[:2].astype("float32")
    mask = np.ones(y.shape, bool)
    mask[2, 3] = False
    options = {"mask": mask, "size": 4, "members": 9, "reach": 2}
    ours = group_estimate(np.where(mask, y, np.nan), pilot, 0.1, **options)
    assert ours.dtype == "float32"
    assert ours[2, 3] != pilot[2, 3]
    other = group_estimate(np.where(mask, y, 0.7), pilot, 0.1, **options)
    assert_array_equal(ours, other)
    assert_array_equal(ours[-1], pilot[-1])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"positions": [(0.5, 1)]}, TypeError, "integers"),
        ({"positions": [1, 2]}, TypeError, r"\(G, 2\)"),
        ({"positions": [(0, 16)]}, ValueError, r"from \(0, 0\) to \(11, 15\)"),
        ({"positions": [(-1, 0)]}, ValueError, "stay in the image"),
        ({"size": 20}, ValueError, "size = 20 is larger"),
        ({"n": 0}, ValueError, "members|n must be >= 1"),
        ({"reach": 0}, ValueError, "reach must be >= 1"),
        ({"image": np.ones((3, 9), int)}, TypeError, "image must be float"),
    ],
)
def test_bad_searches_are_refused(image, options, error, words):
    with pytest.raises(error, match=words):
        similar_patches(**{"image": image, "positions": [(0, 0)], **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pilot": np.ones((9, 9))}, "they must be equal"),
        ({"sigma": 0}, "sigma"),
        ({"step": 9}, "step = 9 is larger than size = 8"),
        ({"mask": np.zeros((19, 23))}, "nothing was observed"),
    ],
)
def test_bad_groups_are_refused(image, options, words):
    with pytest.raises(ValueError, match=words):
        group_estimate(**{"y": image[0], "pilot": image[0], "sigma": 0.1, **options})
