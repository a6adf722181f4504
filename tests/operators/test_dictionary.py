"""Every map of a dictionary against its dense matrix; bounds of its norm; what is refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import csc
from reference import lasso as naive


@st.composite
def geometries(draw):
    """(N, C, K, s, S, mode, stride), atoms up to the signal's own size or larger where allowed."""
    n, c, k = (draw(st.integers(1, 3)) for _ in range(3))
    axes = draw(st.integers(1, 3))
    s = tuple(draw(st.integers(1, 4)) for _ in range(axes))
    mode = draw(st.sampled_from(["full", "valid", "same", "circular"]))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    least = 0 if mode in {"full", "circular"} else -2
    S = tuple(max(1, e + draw(st.integers(least, 4))) for e in s)
    if mode == "circular":
        S = tuple(-(-e // t) * t for e, t in zip(S, stride, strict=True))
    return n, c, k, s, S, mode, stride


def problem_arrays(geometry, dtype, seed=0):
    n, c, k, s, S, mode, stride = geometry
    rng = np.random.default_rng(seed)
    D = csc.Dictionary(rng.standard_normal((k, c, *s)).astype(dtype), mode, stride)
    x = rng.standard_normal((n, c, *S)).astype(dtype)
    return D, x, rng.standard_normal((n, k, *D.spatial_code_shape(S))).astype(dtype)


def dense(D, x, atoms=None):
    atoms = D.atoms.astype("float64") if atoms is None else atoms
    return naive.synthesis_matrix(atoms, x.shape[2:], D.mode, D.stride)


@pytest.mark.parametrize("mode", ["full", "valid", "same", "circular"])
@pytest.mark.parametrize("spatial_shape", [(31,), (12, 9), (5, 6, 7)])
def test_all_maps_are_adjoint_where_the_arrays_are(mode, spatial_shape, rng, dtype, xp):
    atoms = rng.standard_normal((3, 2, *(3, 4, 2)[: len(spatial_shape)])).astype(dtype)
    csc.testing.dot_test(csc.Dictionary(xp.asarray(atoms), mode), spatial_shape, rng=0)


@settings(max_examples=40, deadline=None)
@given(geometry=geometries(), dtype=st.sampled_from(["float32", "float64"]))
def test_every_map_equals_its_dense_matrix(geometry, dtype):
    D, x, z = problem_arrays(geometry, dtype)
    M = dense(D, x)
    tol = {"rtol": 1e-4, "atol": 1e-4} if dtype == "float32" else {"atol": 1e-12}
    flat = z.reshape(len(z), -1)
    S = x.shape[2:]
    np.testing.assert_allclose(D(z, S).reshape(len(x), -1), flat @ M.T, **tol)
    np.testing.assert_allclose(D.adjoint(x).reshape(len(x), -1), x.reshape(len(x), -1) @ M, **tol)
    g = D.adjoint_atoms(x, z)
    assert D(z, S).dtype == D.adjoint(x).dtype == g.dtype == dtype
    directions = np.random.default_rng(1).standard_normal((5, *g.shape))
    for d in directions:
        synthesised = flat @ dense(D, x, d).T
        inner_product = np.sum(synthesised * x.reshape(len(x), -1))
        atol = (1e-5 if dtype == "float32" else 1e-13) * np.linalg.norm(d) * np.linalg.norm(g)
        np.testing.assert_allclose(np.sum(d * g), inner_product, rtol=0, atol=atol)
    assert D.spatial_code_shape(D.signal_shape(z.shape[2:])) == z.shape[2:]
    csc.testing.dot_test(D, S, rng=0)


@settings(max_examples=40, deadline=None)
@given(geometry=geometries(), seed=st.integers(0, 99))
def test_lipschitz_is_exact_for_patches_and_circles_and_never_too_small(geometry, seed):
    D, x, _ = problem_arrays(geometry, "float64", seed)
    true = np.linalg.norm(dense(D, x), 2) ** 2
    for bound in (D.lipschitz(x.shape[2:]), D.lipschitz()):
        assert bound >= true * (1 - 1e-12)
    if D.is_patch(x.shape[2:]) or D.mode == "circular":
        assert D.lipschitz(x.shape[2:]) == pytest.approx(true)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "valid", "same", "circular"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_lipschitz_stays_tight_for_all_modes_and_strides(mode, stride, rng):
    D = csc.Dictionary(rng.standard_normal((4, 2, 5)), mode, (stride,))
    x = np.zeros((1, 2, 120))
    true = np.linalg.norm(dense(D, x), 2) ** 2
    assert true * (1 - 1e-12) <= D.lipschitz((120,)) <= 1.05 * true


@pytest.mark.parametrize(
    ("mode", "stride", "signal", "message"),
    [
        ("wrap", 1, 9, "mode"), ("full", 0, 9, "stride"), ("full", (1, 1), 9, "stride"),
        ("circular", 2, 9, "multiples of the stride"), ("circular", 1, 3, "larger"),
        ("full", 1, 3, "larger"),
    ],
)  # fmt: skip
def test_impossible_geometries_are_refused(mode, stride, signal, message):
    with pytest.raises(ValueError, match=message):
        csc.Dictionary(np.ones((1, 1, 4)), mode, stride).adjoint(np.ones((1, 1, signal)))


def test_shape_must_agree_with_the_codes():
    D = csc.Dictionary(np.ones((1, 1, 4)), "full", 3)
    z = np.ones((1, 1, 2))
    assert D(z).shape == (1, 1, 7)
    assert D(z, (9,)).shape == (1, 1, 9)
    with pytest.raises(ValueError, match="shape"):
        D(z, (10,))


def test_lipschitz_of_large_signals_is_nearly_tight(rng):
    D = csc.Dictionary(rng.standard_normal((4, 1, 5)))
    true = np.linalg.norm(naive.synthesis_matrix(D.atoms, (400,)), 2) ** 2
    assert true <= D.lipschitz((400,)) <= 1.03 * true


def test_gram_holds_the_correlations_of_shifted_atoms(rng):
    D = csc.Dictionary(rng.standard_normal((3, 2, 2, 3)))
    gram = D.gram()
    assert gram.shape == (3, 3, 3, 5)
    np.testing.assert_allclose(gram[:, :, 1, 2], D.matrix @ D.matrix.T)
    for (j, k), a, b in itertools.product([(0, 1), (2, 2)], range(-1, 2), range(-2, 3)):
        total = sum(
            D.atoms[j, c, u + a, v + b] * D.atoms[k, c, u, v]
            for c, u, v in np.ndindex(2, 2, 3)
            if 0 <= u + a < 2 and 0 <= v + b < 3
        )
        assert gram[j, k, a + 1, b + 2] == pytest.approx(total)


def test_atoms_are_copied_and_frozen(rng):
    atoms = rng.standard_normal((2, 1, 3))
    D = csc.Dictionary(atoms)
    atoms[:] = 0
    assert D.atoms.any()
    with pytest.raises(ValueError, match="read-only"):
        D.atoms[0] = 0


def test_non_contiguous_input_gives_the_same(rng):
    D = csc.Dictionary(rng.standard_normal((3, 2, 4, 4)))
    x = rng.standard_normal((7, 7, 2, 2)).transpose(2, 3, 0, 1)
    z = rng.standard_normal((4, 4, 3, 2)).transpose(3, 2, 0, 1)
    np.testing.assert_array_equal(D.adjoint(x), D.adjoint(x.copy()))
    np.testing.assert_array_equal(D(z), D(z.copy()))
    np.testing.assert_array_equal(D.adjoint_atoms(x, z), D.adjoint_atoms(x.copy(), z.copy()))


ATOMS = np.ones((2, 1, 3, 3))


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ({"atoms": np.ones((2, 3))}, ValueError, r"atoms\[:, None\]"),
        (
            {"atoms": np.ones((2, 1, 3), int)},
            TypeError,
            "atoms must be float32 or float64, got int64",
        ),
        ({"atoms": np.zeros((2, 1, 3))}, ValueError, "atoms are all zero"),
        ({"atoms": np.ones((0, 1, 3))}, ValueError, r"atoms is empty: shape \(0, 1, 3\)"),
        ({"atoms": np.full((2, 1, 3), np.nan)}, ValueError, "atoms holds NaN"),
        ({"atoms": [[1.0]]}, TypeError, "atoms must be an array .* got a list of list"),
        (
            {"atoms": ATOMS, "mode": "reflect"},
            ValueError,
            "mode must be one of 'full', 'valid', 'same', 'circular', got 'reflect'",
        ),
        ({"atoms": ATOMS, "stride": 0}, ValueError, "stride must be >= 1, got 0"),
    ],
)
def test_bad_dictionaries_are_refused(bad, error, words):
    with pytest.raises(error, match=words):
        csc.Dictionary(**bad)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.ones((8, 8)), ValueError, r"got shape \(8, 8\); .* x\[None, None\]"),
        (np.ones((5, 8, 8)), ValueError, r"x\[None\], for single-channel ones x\[:, None\]"),
        (np.ones((1, 3, 8, 8)), ValueError, "x has 3 channels"),
        (
            np.ones((1, 1, 2, 8)),
            ValueError,
            r"shape \(3, 3\) are larger than x of shape \(2, 8\)",
        ),
        (np.full((1, 1, 8, 8), np.inf), ValueError, "x holds inf"),
        (np.ones((1, 1, 8, 8), np.uint8), TypeError, "img_as_float32"),
        (np.ones((1, 1, 8, 8), np.float32), TypeError, "x is float32 but the atoms are float64"),
    ],
)
def test_bad_signals_are_refused(x, error, words):
    with pytest.raises(error, match=words):
        csc.Dictionary(ATOMS).adjoint(x)


def test_bad_codes_are_refused():
    D = csc.Dictionary(ATOMS)
    with pytest.raises(ValueError, match="K = 2"):
        D(np.ones((1, 3, 4, 4)))
    with pytest.raises(ValueError, match="shape must be"):
        D(np.ones((1, 2, 4, 4)), shape=(5, 5))
    with pytest.raises(ValueError, match="does not fit codes"):
        D.adjoint_atoms(np.ones((1, 1, 8, 8)), np.ones((1, 2, 5, 6)))


def test_repr_tells_the_shape():
    assert (
        repr(csc.Dictionary(ATOMS)) == "Dictionary(2 atoms 3x3, 1 channel(s), mode='full', float64)"
    )
