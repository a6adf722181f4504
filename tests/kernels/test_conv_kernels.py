"""The convolution kernels against transcriptions, each other, and the number of threads."""

import doctest
from copy import copy

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csc.kernels.cpu import conv
from reference import conv as naive_conv


class Case:
    """Random arrays of one geometry; whole numbers, so that every sum is exact in float32."""

    def __init__(
        self, sizes, grid, spatial_shape, stride=(1, 1, 1), slack=(0, 0, 0), dtype="float32"
    ):
        n, c, k = sizes
        rng = np.random.default_rng(0)
        axes = zip(grid, stride, spatial_shape, slack, strict=True)
        signal = tuple((v - 1) * t + s + extra for v, t, s, extra in axes)
        self.x, self.atoms, self.z = (
            rng.integers(-3, 4, shape).astype(dtype)
            for shape in ((n, c, *signal), (k, c, *spatial_shape), (n, k, *grid))
        )
        self.stride = stride

    def maps(self):
        """All three maps, into arrays that hold NaN."""
        out = [np.full_like(a, np.nan) for a in (self.z, self.x, self.atoms)]
        conv.correlate(self.x, self.atoms, self.stride, out[0])
        conv.synthesize(self.z, self.atoms, self.stride, out[1])
        conv.correlate_atoms(self.x, self.z, self.stride, out[2])
        return out

    def naive_maps(self):
        x, d, z, t = self.x, self.atoms, self.z, self.stride
        return [
            naive_conv.correlate(x, d, t, z.shape[2:]),
            naive_conv.synthesize(z, d, t, x.shape[2:]),
            naive_conv.correlate_atoms(x, z, t, d.shape[2:]),
        ]


# Larger than a tile of positions, a group of samples or a block of synthesis, in odd numbers.
LARGE = {
    "1-D": Case((2, 1, 5), (1, 1, 1501), (1, 1, 33)),
    "2-D": Case((1, 1, 9), (1, 61, 53), (1, 8, 7)),
    "3-D": Case((1, 2, 3), (9, 10, 11), (4, 3, 5)),
    "many samples": Case((1, 5, 6), (1, 21, 22), (1, 8, 9)),
    "many signals": Case((101, 1, 3), (1, 2, 5), (1, 3, 3)),
    "patches": Case((900, 1, 6), (1, 1, 1), (1, 5, 5)),
    "strides": Case((2, 3, 7), (1, 31, 33), (1, 5, 5), (1, 2, 3), (0, 1, 2)),
    "float64": Case((1, 2, 9), (1, 41, 43), (1, 6, 5), dtype="float64"),
}


@st.composite
def cases(draw):
    def three(low, high):
        return draw(st.tuples(*[st.integers(low, high)] * 3))

    dtype = draw(st.sampled_from(["float32", "float64"]))
    return Case(three(1, 5), three(1, 4), three(1, 4), three(1, 3), three(0, 2), dtype)


def assert_equal(maps, expected):
    for ours, theirs in zip(maps, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_maps_equal_their_transcriptions(case):
    maps = case.maps()
    assert {a.dtype for a in maps} == {case.x.dtype}
    assert_equal(maps, case.naive_maps())


@pytest.mark.parametrize("name", LARGE)
def test_large_maps_equal_their_transcriptions(name):
    assert_equal(LARGE[name].maps(), LARGE[name].naive_maps())


@pytest.mark.parametrize("name", LARGE)
def test_maps_are_adjoint(name):
    case = LARGE[name]  # whole numbers: the three inner products are one number, exactly
    codes, signal, atoms = (a.astype(float) for a in case.maps())
    products = np.vdot(codes, case.z), np.vdot(signal, case.x), np.vdot(atoms, case.atoms)
    assert products[0] == products[1] == products[2] != 0


@pytest.mark.usefixtures("all_threads")
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS == 1, reason="Numba has one thread only")
@pytest.mark.parametrize("name", ["1-D", "2-D", "3-D", "many samples", "float64"])
def test_number_of_threads_changes_no_bit(name):
    case, default = copy(LARGE[name]), numba.get_num_threads()
    case.x, case.atoms, case.z = (np.sqrt(np.abs(a)) for a in (case.x, case.atoms, case.z))
    try:
        numba.set_num_threads(1)
        alone = case.maps()
    finally:
        numba.set_num_threads(default)
    for _ in range(10):
        assert_equal(case.maps(), alone)


@given(
    grid=st.tuples(*[st.integers(1, 5)] * 3),
    spatial_shape=st.tuples(*[st.integers(1, 4)] * 3),
    stride=st.tuples(*[st.integers(1, 3)] * 3),
)
def test_blocks_of_one_colour_share_no_sample(grid, spatial_shape, stride):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv, "TILE_POSITIONS", 1)  # whole tiles would hide a block that is too small
        block = conv._disjoint_block(grid, spatial_shape, stride)
    touched = {}  # sample -> the blocks that add to it
    for position, v in enumerate(np.ndindex(*grid)):
        for offset in np.ndindex(*spatial_shape):
            sample = tuple(t * a + b for t, a, b in zip(stride, v, offset, strict=True))
            touched.setdefault(sample, set()).add(position // block)
    assert all(max(blocks) - min(blocks) <= 1 for blocks in touched.values())


def test_sums_over_tiles_are_float64():
    """One atom of one sample; half the products cancel 2^15 times what remains."""
    rng = np.random.default_rng(2)
    small = rng.integers(
        0, 8, 200 * conv.TILE_POSITIONS
    )  # a tile sums to less than 2^24: exact in float32
    z = np.concatenate([small + 2**15, np.full_like(small, -(2**15))])
    z = z.astype("float32").reshape(1, 1, 1, 1, -1)
    out = np.empty((1, 1, 1, 1, 1), "float32")
    conv.correlate_atoms(np.ones_like(z), z, (1, 1, 1), out)
    assert out.item() == small.sum()


def test_left_over_memory_does_not_leak_in():
    """Scratch is not cleared: NaN that one call leaves there must not reach the next."""
    case = Case((1, 1, 5), (1, 19, 23), (1, 3, 3))
    clean, sick = case.maps(), Case((1, 1, 8), (1, 28, 30), (1, 6, 6))
    sick.x.fill(np.nan)
    sick.z.fill(np.nan)
    sick.maps()
    assert_equal(case.maps(), clean)


def test_examples_run():
    results = doctest.testmod(conv)
    assert results.attempted
    assert not results.failed
