"""Maxima and sums over windows, next to SciPy's filter and NumPy's views of all windows."""

from itertools import product

import numpy as np
import pytest
from scipy.ndimage import maximum_filter

from csc.operators import _windows
from csc.operators._windows import slabs, window_max, window_sum

SHAPES = [(1, 1, 9), (1, 7, 9), (5, 6, 7), (3, 1, 8)]
WINDOWS = [(1, 1, 1), (1, 1, 6), (1, 3, 2), (2, 3, 4), (1, 5, 7), (3, 1, 8)]
CASES = [
    (shape, window)
    for shape, window in product(SHAPES, WINDOWS)
    if all(n >= e for n, e in zip(shape, window, strict=True))
]


@pytest.mark.parametrize("slab_size", [1, 60, 2**17])
@pytest.mark.parametrize(("shape", "window"), CASES)
def test_maxima_are_those_of_scipy(shape, window, slab_size, rng, monkeypatch):
    monkeypatch.setattr(_windows, "SLAB_SIZE", slab_size)
    before = tuple(e // 3 for e in window)
    after = tuple(e - 1 - b for e, b in zip(window, before, strict=True))
    shift = tuple(b - e // 2 for b, e in zip(before, window, strict=True))  # as SciPy's origin
    for n, (wraps, mode) in product((1, 3), ((True, "wrap"), (False, "constant"))):
        a = rng.random((n, *shape)).astype("float32")
        expected = maximum_filter(a, (1, *window), mode=mode, origin=(0, *shift))
        np.testing.assert_array_equal(window_max(a, before, after, wraps=wraps), expected)


@pytest.mark.parametrize("slab_size", [1, 60, 2**17])
@pytest.mark.parametrize(("shape", "window"), CASES)
def test_sums_of_slabs_are_those_of_all_windows(shape, window, slab_size, rng, monkeypatch):
    monkeypatch.setattr(_windows, "SLAB_SIZE", slab_size)
    a = rng.random((2, *shape))
    windows = np.lib.stride_tricks.sliding_window_view(a, window, (1, 2, 3))
    expected, out = windows.sum(axis=(-3, -2, -1)), np.empty(windows.shape[:4])
    for slab in slabs(len(a), out.shape[1:], window):
        slab.of(out)[...] = window_sum(slab.of(a, window[slab.axis] - 1), window)
    np.testing.assert_allclose(out, expected, rtol=1e-13)


@pytest.mark.parametrize("shape", [(1, 1, 1000), (1, 40, 50), (10, 20, 30)])
def test_slabs_cover_everything_once_and_are_small(shape, monkeypatch):
    monkeypatch.setattr(_windows, "SLAB_SIZE", 500)
    covered = np.zeros((7, *shape), int)
    for slab in slabs(7, shape, (1, 1, 1)):
        part = slab.of(covered)
        assert 0 < part.size <= max(500, covered[0].size // shape[slab.axis])
        part += 1
    assert (covered == 1).all()
