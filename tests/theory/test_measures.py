"""Coherence and local sparsity against dense matrices."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import csc
from csc import theory
from reference import lasso as naive

GEOMETRY = {
    "dims": st.integers(1, 2), "channels": st.integers(1, 2), "stride": st.integers(1, 2),
    "mode": st.sampled_from(["full", "valid", "circular"]), "seed": st.integers(0, 99),
}  # fmt: skip


def setup(dims, channels, stride, mode, seed):
    rng = np.random.default_rng(seed)
    size, spatial_shape = (4, 3)[:dims], (20, 14)[:dims]
    atoms = rng.standard_normal((3, channels, *size))
    D = csc.Dictionary(atoms, mode, stride)
    unit = atoms / np.sqrt((atoms**2).sum(axis=tuple(range(1, atoms.ndim)), keepdims=True))
    M = naive.synthesis_matrix(unit, spatial_shape, "circular", D.geometry.stride)
    boxes = np.ones((1, 1, *size))
    B = naive.synthesis_matrix(boxes, spatial_shape, mode, D.geometry.stride)
    z = rng.standard_normal((2, 3, *D.spatial_code_shape(spatial_shape)))
    return D, abs(M.T @ M), B != 0, z * (rng.random(z.shape) < 0.1)


@settings(max_examples=15, deadline=None)
@given(**GEOMETRY)
def test_coherence_is_that_of_the_columns(**geometry):
    D, gram, _, _ = setup(**geometry)
    np.fill_diagonal(gram, 0)
    assert theory.mutual_coherence(D) == pytest.approx(gram.max())
    for k in (1, 2, 7):
        dense = np.sort(gram, axis=1)[:, -k:].sum(axis=1).max()
        assert theory.babel(D, k) == pytest.approx(dense)
    bound = theory.welch_bound(3, D.atom_shape, D.atoms.shape[1], D.geometry.stride)
    assert bound <= theory.mutual_coherence(D) + 1e-12


@settings(max_examples=15, deadline=None)
@given(**GEOMETRY)
def test_stripes_hold_the_codes_whose_atoms_overlap(**geometry):
    D, _, covers, z = setup(**geometry)
    if geometry["mode"] == "valid":  # atoms may overlap outside of the signal
        steps = D.geometry.stride
        boxes = naive.synthesis_matrix(
            np.ones((1, 1, *D.atom_shape)), [40] * len(steps), "full", steps
        )
        covers = boxes[:, _corner(z.shape[2:], D, 40)] != 0
    overlap = covers.T.astype(int) @ covers > 0
    counts = (z != 0).sum(axis=1).reshape(2, -1)
    np.testing.assert_array_equal(theory.stripe_norm(z, D), (counts @ overlap).max(axis=1))
    assert theory.patch_norm(z, z.shape[2:])[0] == counts[0].sum()


def _corner(spatial_code_shape, D, extent):
    """Flat positions of the first codes of a larger signal."""
    positions = [
        (extent - s) // t + 1 for s, t in zip(D.atom_shape, D.geometry.stride, strict=True)
    ]
    grid = np.arange(np.prod(positions)).reshape(positions)
    return grid[tuple(map(slice, spatial_code_shape))].ravel()


def test_patch_norm_looks_through_every_window(rng):
    z = rng.standard_normal((2, 3, 7, 6)) * (rng.random((2, 3, 7, 6)) < 0.3)
    windows = itertools.product(range(6), range(4))
    most = [(z[:, :, i : i + 2, j : j + 3] != 0).sum(axis=(1, 2, 3)) for i, j in windows]
    np.testing.assert_array_equal(theory.patch_norm(z, (2, 3)), np.max(most, axis=0))


@pytest.mark.parametrize("mode", ["full", "circular"])
def test_windows_wrap_around_where_atoms_do(mode, rng):
    z, e = np.zeros((1, 2, 9)), rng.standard_normal((1, 2, 9))
    z[0, 0, 0] = z[0, 1, 8] = 1
    e[..., [0, 8]] += 5
    box = csc.Dictionary(np.ones((1, 2, 4)), mode)
    assert theory.patch_norm(z, (4,), mode)[0] == box.adjoint((z != 0).astype(float)).max()
    assert theory.local_noise(e, (4,), mode)[0] == pytest.approx(box.adjoint(e**2).max() ** 0.5)
    assert theory.patch_norm(z, (20,), mode)[0] == 2
    with pytest.raises(ValueError, match="mode must be one of"):
        theory.local_noise(e, (4,), "wrap")


def test_stripe_coherence_adds_the_shifts(rng):
    D = csc.Dictionary(rng.standard_normal((2, 1, 3)))
    z = rng.standard_normal((1, 2, 9)) * (rng.random((1, 2, 9)) < 0.4)
    mu, counts = theory.shifted_coherence(D), (z[0] != 0).sum(axis=0)
    for i, zeta in enumerate(theory.stripe_coherence(z, D)[0]):
        near = [(j, j - i + 2) for j in range(9) if abs(j - i) < 3]
        assert zeta == pytest.approx(sum(counts[j] * mu[s] for j, s in near))
    assert theory.stripe_coherence(z, D).max() <= D.n_atoms * 5


def test_low_coherence_and_gabor_like_coherence():
    rng = np.random.default_rng(0)
    assert 0.2 < theory.mutual_coherence(csc.Dictionary(rng.standard_normal((8, 1, 256)))) < 0.4
    t = np.linspace(-2, 2, 16)
    gabors = [np.exp(-t * t) * np.cos(3 * t + phase) for phase in (0, np.pi / 2)]
    assert theory.mutual_coherence(csc.Dictionary(np.array(gabors)[:, None])) > 0.8


def test_what_has_no_direction_is_refused(rng):
    atoms = rng.standard_normal((3, 1, 4))
    atoms[1] = 0
    with pytest.raises(ValueError, match="atom 1 is zero"):
        theory.mutual_coherence(csc.Dictionary(atoms))
    with pytest.raises(TypeError, match=r"for layers use\s+effective"):
        theory.mutual_coherence(atoms)
    with pytest.raises(ValueError, match="codes must be"):
        theory.stripe_norm(np.ones((1, 2, 5)), csc.Dictionary(atoms))
    with pytest.raises(ValueError, match="k must be >= 1"):
        theory.babel(csc.Dictionary(atoms), 0)
    with pytest.raises(TypeError, match="dictionary must be a csc.Dictionary"):
        theory.stripe_norm(np.ones((1, 3, 5)), atoms)
    for window, match in [((-1,), "atom_shape"), ((2, 2), "each of 1 axes")]:
        with pytest.raises(ValueError, match=match):
            theory.patch_norm(np.ones((1, 3, 5)), window)
    for codes in (np.ones((0, 3, 5)), np.full((1, 3, 5), np.nan), np.ones((3, 5))):
        with pytest.raises(ValueError, match="codes"):
            theory.patch_norm(codes, (2,))
    with pytest.raises(ValueError, match="noise holds NaN"):
        theory.local_noise(np.full((1, 1, 5), np.nan), (2,))


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e160, 1e200])
def test_measures_do_not_depend_on_the_scale(scale, rng):
    atoms, noise = rng.standard_normal((3, 2, 4)), rng.standard_normal((2, 2, 9))
    noise[0] /= 1e30  # the signals of one array may differ in scale
    D, scaled = csc.Dictionary(atoms), csc.Dictionary(scale * atoms)
    assert theory.mutual_coherence(scaled) == pytest.approx(theory.mutual_coherence(D))
    energies = np.lib.stride_tricks.sliding_window_view((noise**2).sum(axis=1), 4, axis=1)
    largest = scale * np.sqrt(energies.sum(axis=2).max(axis=1))
    np.testing.assert_allclose(theory.local_noise(scale * noise, (4,)), largest)
