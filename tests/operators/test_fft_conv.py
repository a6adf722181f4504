"""The way through the Fourier domain equals the direct one."""

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import csc
from csc.operators import _fft_conv as fourier


@st.composite
def cases(draw):
    axes = draw(st.integers(1, 3))
    s = tuple(draw(st.integers(1, 4)) for _ in range(axes))
    stride = tuple(draw(st.integers(1, 2)) for _ in range(axes))
    mode = draw(st.sampled_from(["full", "valid", "same", "circular"]))
    S = tuple(e + draw(st.integers(0, 5)) for e in s)
    if mode == "circular":
        S = tuple(-(-a // t) * t for a, t in zip(S, stride, strict=True))
    n, k, c = (draw(st.integers(1, 3)) for _ in range(3))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    D = csc.Dictionary(rng.standard_normal((k, c, *s)).astype(dtype), mode, stride)
    x = rng.standard_normal((n, c, *S)).astype(dtype)
    return D, x, rng.standard_normal((n, k, *D.spatial_code_shape(S))).astype(dtype)


@settings(max_examples=80, deadline=None)
@given(case=cases())
def test_both_ways_agree(case):
    D, x, z = case
    tol = {"atol": 1e-4 if D.dtype == "float32" else 1e-11}

    def maps():
        fresh = csc.Dictionary(D.atoms, D.mode, D.stride)  # a dictionary plans once
        return fresh(z, x.shape[2:]), fresh.adjoint(x), fresh.adjoint_atoms(x, z)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fourier, "is_faster", lambda *_, **__: False)
        direct = maps()
        patch.setattr(fourier, "is_faster", lambda *_, **__: True)
        transformed = maps()
    for a, b in zip(direct, transformed, strict=True):
        assert a.dtype == b.dtype == D.dtype
        np.testing.assert_allclose(a, b, **tol)


def test_small_atoms_go_directly_and_large_ones_do_not(rng):
    small, large = rng.standard_normal((64, 1, 8, 8)), rng.standard_normal((16, 1, 64, 64))
    assert not fourier.is_faster([small.shape], (249, 249), (256, 256))
    assert fourier.is_faster([large.shape], (193, 193), (256, 256))
    colour = rng.standard_normal((16, 3, 12, 12))
    sizes = (117, 117), (128, 128)
    assert not fourier.is_faster([colour.shape], *sizes, for_atoms=True)
    series = rng.standard_normal((10, 1, 2000))
    assert fourier.is_faster([series.shape], (18001,), (20000,))


def test_a_long_atom_is_transformed_once(rng, monkeypatch):
    D = csc.Dictionary(rng.standard_normal((4, 1, 3000)))
    x, calls = rng.standard_normal((1, 1, 8000)), []
    spectra = fourier.spectra
    monkeypatch.setattr(fourier, "spectra", lambda *a: calls.append(1) or spectra(*a))
    D.adjoint(x)
    D(D.adjoint(x))
    assert calls == [1]


def test_spectra_are_not_pickled(rng):
    D = csc.Dictionary(rng.standard_normal((4, 1, 3000)))
    before = len(pickle.dumps(D))
    D.adjoint(rng.standard_normal((1, 1, 8000)))
    assert len(pickle.dumps(D)) < before + 1000


def test_memory_is_that_of_codes_and_spectra(rng):
    D = csc.Dictionary(rng.standard_normal((32, 1, 40, 40)))
    x = rng.standard_normal((1, 1, 160, 160))
    z = D.adjoint(x)
    tracemalloc.start()
    D.adjoint(x)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 5 * z.nbytes
