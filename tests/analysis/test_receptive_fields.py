"""Gabor fits recover known parameters; population statistics agree with hand calculations."""

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.optimize import least_squares

import csc
from csc.analysis.receptive_fields import (
    MACAQUE,
    MACAQUE_EDGES,
    GaborFit,
    MacaqueDistance,
    Report,
    analyse,
    band_pass_noise,
    chi_squared,
    coverage,
    earth_mover,
    fit_gabor,
    frequency_band,
    phase_scrambled,
    pixel_fields,
    shape_histogram,
    summarise,
)
from csc.analysis.receptive_fields._gabor import _as_fit, _positions, _starts
from csc.kernels.cpu import gabor_fit as kernel
from doubles.inner_kernels import from_python
from reference import gabor as naive

COLUMNS = ("x", "y", "orientation", "frequency", "sigma_x", "sigma_y", "phase", "amplitude")


def random_gabors(n, shape, rng):
    """Parameters (n, 8) of Gabors which the pixels of a patch determine."""
    size = min(shape) / 12
    sigma_x = rng.uniform(1.2, 2, n) * size
    return np.stack(
        [
            rng.uniform(-1.5, 1.5, n) * size,
            rng.uniform(-1.5, 1.5, n) * size,
            rng.uniform(0, np.pi, n),
            np.minimum(rng.uniform(0.35, 0.6, n) / sigma_x, 0.42),
            sigma_x,
            rng.uniform(1, 2.5, n) * size,
            rng.uniform(-np.pi, np.pi, n),
            rng.uniform(0.5, 3, n),
        ],
        axis=1,
    )


def render(parameters, shape):
    return np.array([naive.gabor(shape, *row) for row in parameters])[:, None]


def angle_error(a, b, period):
    return np.abs((a - b + period / 2) % period - period / 2)


def as_fit(**columns):
    """A fit with given columns; the others are those of an ordinary Gabor."""
    usual = dict.fromkeys(COLUMNS, 1.0) | {
        "frequency": 0.2,
        "r2": 0.9,
        "energy_inside": 1.0,
        "component_share": 1.0,
    }
    n = max(np.size(column) for column in columns.values())
    full = {name: np.broadcast_to(value, n) for name, value in (usual | columns).items()}
    return GaborFit(shape=(12, 12), **full)


# ---- kernels against their transcription


def points_and_atoms(n, shape, rng):
    parameters = random_gabors(n, shape, rng)
    points = parameters[:, :6] * rng.uniform(0.85, 1.15, (n, 6))
    points[:, 4:] = np.log(points[:, 4:])
    atoms = render(parameters, shape)[:, 0] + 0.05 * rng.standard_normal((n, *shape))
    return points, atoms / np.linalg.norm(atoms, axis=(1, 2), keepdims=True)


def box(shape):
    low = [-shape[1] / 2, -shape[0] / 2, -np.inf, 0.01, np.log(0.3), np.log(0.3)]
    return np.array([low, [shape[1] / 2, shape[0] / 2, np.inf, 0.7, 3.0, 3.0]])


def solved(p, atom):
    """The kernels' pair, inverse Gram matrix, amplitudes, residual and misfit at p."""
    pair, inverse = np.empty((2, atom.size)), np.empty((2, 2))
    amplitude, residual = np.empty(2), np.empty(atom.size)
    width = atom.shape[1]
    from_python(kernel.quadrature_pair)(p, width, np.empty((2, width)), pair)
    misfit = from_python(kernel.solve_amplitudes)(pair, atom.ravel(), inverse, amplitude, residual)
    return pair, inverse, amplitude, residual, misfit


def test_quadrature_pair_and_amplitudes_are_their_transcription(rng):
    for p, atom in zip(*points_and_atoms(5, (6, 9), rng), strict=True):
        pair, inverse, amplitude, residual, misfit = solved(p, atom)
        theirs = naive.quadrature_pair(p, (6, 9))
        np.testing.assert_allclose(pair.reshape(2, 6, 9), theirs, atol=1e-14)
        np.testing.assert_allclose(inverse @ pair @ pair.T, np.eye(2), atol=1e-6)
        for mine, other in zip((amplitude, residual), naive.fit_at(p, atom), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-8)
        assert misfit == pytest.approx(naive.misfit(p, atom), rel=1e-8)


def test_exponentials_are_exact_but_for_the_last_bit():
    for x in (-np.linspace(0, 1, 500), -np.geomspace(1e-300, 708, 500)):
        ours = np.array([from_python(kernel.exponential)(value) for value in x])
        np.testing.assert_allclose(ours, np.exp(x), rtol=3e-16)
    assert from_python(kernel.exponential)(-1e30) < 1e-300


def test_normal_equations_hold_the_derivatives(rng):
    for p, atom in zip(*points_and_atoms(3, (7, 8), rng), strict=True):
        pair, inverse, amplitude, residual, _ = solved(p, atom)
        derivative, hessian, slope = np.empty((6, 56)), np.empty((6, 6)), np.empty(6)
        from_python(kernel.derivatives)(p, 8, pair, amplitude, derivative)
        rest = hessian.copy(), amplitude, slope, p
        from_python(kernel.normal_equations)(
            kernel._Work(
                np.empty((2, 8)),
                pair,
                derivative,
                residual,
                inverse,
                np.empty((6, 2)),
                hessian,
                *rest,
            )
        )
        theirs = naive.normal_equations(p, atom)
        np.testing.assert_allclose(np.tril(hessian), np.tril(theirs[0]), atol=1e-6)
        np.testing.assert_allclose(slope, theirs[1], atol=1e-7)
        h = 1e-6  # the slope is also that of the misfit, amplitudes following: envelope theorem
        rise = [naive.misfit(p + h * e, atom) - naive.misfit(p - h * e, atom) for e in np.eye(6)]
        np.testing.assert_allclose(slope, -0.5 * np.array(rise) / (2 * h), atol=1e-6)


@pytest.mark.parametrize("bound", [None, 0, 1, 3, 4])
def test_damped_step_stays_in_the_box(bound, rng):
    root = rng.standard_normal((6, 6))
    hessian, slope = root @ root.T, rng.standard_normal(6)
    bounds, p, out = box((9, 9)), np.array([0.3, -0.2, 1.0, 0.2, 0.1, 0.2]), np.empty(6)
    if bound is not None:
        p[bound], slope[bound] = bounds[1, bound], 0.7  # pushed against
        p[3] = min(p[3], naive.highest_frequency(p[2]))
    for damping in (1e-3, 1.0, 50.0):
        from_python(kernel.damped_step)(p, bounds, hessian, slope, damping, np.empty((6, 6)), out)
        theirs = naive.damped_step(p, bounds, hessian, slope, damping)
        np.testing.assert_allclose(out, theirs, rtol=1e-9)
        assert (out >= bounds[0]).all()
        assert (out <= bounds[1]).all()


@pytest.mark.parametrize("n_trials", [1, 2, 3, 5, 8])
def test_fit_gabors_takes_the_steps_of_its_transcription(n_trials, rng):
    start, atoms = points_and_atoms(3, (8, 9), rng)
    points = np.stack([start, start * 1.1], axis=1)
    ours, amplitudes, misfits = points.copy(), np.empty((3, 2, 2)), np.empty((3, 2))
    kernel.fit_gabors(atoms.reshape(3, 72), 9, box((8, 9)), n_trials, ours, amplitudes, misfits)
    theirs = naive.fit_gabors(atoms, box((8, 9)), n_trials, points)
    for mine, other in zip((ours, amplitudes, misfits), theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("all_threads")
def test_any_number_of_threads_gives_the_same_bits(rng):
    import numba

    atoms = rng.standard_normal((6, 1, 8, 8))
    first = fit_gabor(atoms)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        second = fit_gabor(atoms)
    finally:
        numba.set_num_threads(threads)
    for name in (*COLUMNS, "r2"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


# ---- the fit


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(12, 12), (11, 13), (16, 9)])
def test_recovers_the_parameters_of_clean_gabors(shape, rng, dtype):
    true = random_gabors(25, shape, rng)
    fit = fit_gabor(render(true, shape).astype(dtype))
    assert (fit.r2 > 1 - 1e-6).all()
    assert fit.r2.dtype == np.float64
    for name, column in zip(COLUMNS, true.T, strict=True):
        if name not in ("orientation", "phase"):
            np.testing.assert_allclose(getattr(fit, name), column, rtol=2e-2, atol=5e-3)
    assert angle_error(fit.orientation, true[:, 2], np.pi).max() < 0.01
    turned = np.abs(fit.orientation - true[:, 2]) > np.pi / 2  # 0 and pi are one orientation
    phase = np.where(turned, -fit.phase, fit.phase)
    assert angle_error(phase, true[:, 6], 2 * np.pi).max() < 0.05
    assert fit.gabor_like.all()


def test_recovers_gabors_under_noise(rng):
    true = random_gabors(40, (12, 12), rng)
    clean = render(true, (12, 12))
    norms = np.linalg.norm(clean, axis=(2, 3), keepdims=True)
    fit = fit_gabor(clean + 0.3 * norms / 12 * rng.standard_normal(clean.shape))
    assert 0.85 < np.median(fit.r2) < 1 / (1 + 0.3**2) + 0.03  # the noise is 0.09 of the signal
    assert np.median(angle_error(fit.orientation, true[:, 2], np.pi)) < 0.05
    assert np.median(np.abs(fit.frequency / true[:, 3] - 1)) < 0.05
    assert np.median(np.hypot(fit.x - true[:, 0], fit.y - true[:, 1])) < 0.3


def assert_near(fit, true, shape, scale=1.0):
    """All eight numbers to 5 %: of themselves, of the patch's side, of a half or a full turn."""
    side = 0.05 * min(shape)
    turned = np.abs(fit.orientation - true[:, 2]) > np.pi / 2  # 0 and pi are one orientation
    phase = np.where(turned, -fit.phase, fit.phase)
    assert np.abs(fit.x - scale * true[:, 0]).max() < side
    assert np.abs(fit.y - scale * true[:, 1]).max() < side
    assert angle_error(fit.orientation, true[:, 2], np.pi).max() < 0.05 * np.pi
    assert angle_error(phase, true[:, 6], 2 * np.pi).max() < 0.05 * 2 * np.pi
    np.testing.assert_allclose(fit.frequency, true[:, 3] / scale, rtol=0.05)
    np.testing.assert_allclose(fit.sigma_x, scale * true[:, 4], rtol=0.05)
    np.testing.assert_allclose(fit.sigma_y, scale * true[:, 5], rtol=0.05)
    np.testing.assert_allclose(fit.amplitude, true[:, 7], rtol=0.05)


def test_all_parameters_are_known_to_five_percent_under_ten_percent_of_noise(rng):
    shape = (20, 20)
    true = random_gabors(40, shape, rng)
    clean = render(true, shape)
    noise = rng.standard_normal(clean.shape)
    norms = [np.linalg.norm(a, axis=(2, 3), keepdims=True) for a in (clean, noise)]
    assert_near(fit_gabor(clean + 0.1 * noise * norms[0] / norms[1]), true, shape)


def test_the_fit_agrees_between_scales(rng):
    true = random_gabors(20, (12, 12), rng)
    doubled = true * np.array([2, 2, 1, 0.5, 2, 2, 1, 1])
    small, large = fit_gabor(render(true, (12, 12))), fit_gabor(render(doubled, (24, 24)))
    assert_near(small, true, (12, 12))
    assert_near(large, true, (24, 24), scale=2.0)
    for name in ("n_x", "n_y", "bandwidth", "aspect", "parity"):
        np.testing.assert_allclose(getattr(small, name), getattr(large, name), rtol=0.02, atol=0.01)


def test_the_best_of_the_starts_nearly_suffices(rng):
    fit = fit_gabor(render(random_gabors(60, (16, 9), rng), (16, 9)), n_starts=1)
    assert (fit.r2 > 0.999).mean() > 0.9
    places = _positions((16, 9), 0.3)
    np.testing.assert_array_equal(np.abs(places[:, :2]).max(axis=0), [4, 7.5])


def test_starts_are_different_waves_before_neighbours_of_one():
    strong = naive.gabor((16, 16), -4, -4, 0, 0.25, 2, 2, 0, 1)
    weak = naive.gabor((16, 16), 4, 4, np.pi / 2, 0.25, 2, 2, 0, 0.7)
    starts = _starts((strong + weak)[None] / np.linalg.norm(strong + weak), 2)
    assert angle_error(starts[0, :, 2], np.array([0, np.pi / 2]), np.pi).max() < 1e-9


def test_centres_stay_in_the_patch():
    outside = np.tile([0, 0, 0.7, 0.12, 3, 3, 0, 1.0], (4, 1))
    outside[:2, 0], outside[2:, 1] = (8.5, -8.5), (6, -6)
    fit = fit_gabor(render(outside, (9, 14)))
    np.testing.assert_allclose(fit.x[:2], (7, -7), atol=0.01)
    np.testing.assert_allclose(fit.y[2:], (4.5, -4.5), atol=0.01)
    assert (np.abs(fit.x) <= 7).all()
    assert (np.abs(fit.y) <= 4.5).all()
    assert fit.cut_off.all()


def test_white_noise_fits_badly(rng):
    fit = fit_gabor(rng.standard_normal((60, 1, 12, 12)))
    assert 0.05 < np.median(fit.r2) < 0.2
    assert fit.r2.max() < 0.4


def random_start_least_squares(atom, n_starts, rng):
    """R^2 of the best of many bounded scipy descents over all eight numbers."""
    shape, side = atom.shape, max(atom.shape)
    low = [-shape[1] / 2, -shape[0] / 2, -9, 1 / (8 * side), 0.3, 0.3, -9, 0]
    high = [shape[1] / 2, shape[0] / 2, 9, 0.5, 2 * side, 2 * side, 9, 50]
    row, column = np.indices(shape) - (np.reshape(shape, (2, 1, 1)) - 1) / 2

    def residual(q):
        dx, dy = column - q[0], row - q[1]
        u, v = dx * np.sin(q[2]) + dy * np.cos(q[2]), -dx * np.cos(q[2]) + dy * np.sin(q[2])
        envelope = np.exp(-0.5 * (u / q[4]) ** 2 - 0.5 * (v / q[5]) ** 2)
        return (q[7] * envelope * np.cos(2 * np.pi * q[3] * u + q[6]) - atom).ravel()

    best = np.inf
    for _ in range(n_starts):
        centre, sigma = rng.uniform(-0.4, 0.4, 2) * side, rng.uniform(0.1, 0.4, 2) * side
        wave = rng.uniform(0, np.pi), rng.uniform(0.05, 0.4)
        start = np.r_[centre, wave, sigma, rng.uniform(-3, 3), 0.3]
        best = min(best, 2 * least_squares(residual, start, bounds=(low, high), max_nfev=60).cost)
    return 1 - best / np.sum(atom**2)


def test_fits_no_worse_than_many_random_starts_of_scipy(rng):
    parameters = random_gabors(6, (8, 9), rng)
    atoms = render(parameters[:3], (8, 9)) + render(parameters[3:], (8, 9))
    atoms /= np.linalg.norm(atoms, axis=(2, 3), keepdims=True)
    fit = fit_gabor(atoms)
    theirs = [random_start_least_squares(atom, 12, rng) for atom in atoms[:, 0]]
    assert (fit.r2 >= np.array(theirs) - 1e-3).all(), (fit.r2, theirs)
    assert (fit.r2 < 0.99).any()  # sums of two are no Gabors


def test_invariances(rng):
    true = random_gabors(8, (13, 13), rng)
    atoms = render(true, (13, 13))
    fit = fit_gabor(atoms)
    close = {"atol": 0.01}

    moved = fit_gabor(np.roll(atoms, (1, -1), axis=(2, 3)))
    np.testing.assert_allclose(moved.x, fit.x - 1, atol=0.1)  # what left at one side came in again
    np.testing.assert_allclose(moved.y, fit.y + 1, atol=0.1)

    negative = fit_gabor(-2 * atoms)
    assert angle_error(negative.phase, fit.phase + np.pi, 2 * np.pi).max() < 0.01
    np.testing.assert_allclose(negative.amplitude, 2 * fit.amplitude, rtol=1e-2)
    np.testing.assert_allclose(negative.parity, fit.parity, **close)

    turned = fit_gabor(np.rot90(atoms, axes=(2, 3)))  # anticlockwise as displayed
    assert angle_error(turned.orientation, fit.orientation + np.pi / 2, np.pi).max() < 0.01
    np.testing.assert_allclose((turned.x, turned.y), (fit.y, -fit.x), **close)
    np.testing.assert_allclose(turned.n_x, fit.n_x, **close)

    mirrored = fit_gabor(atoms[..., ::-1])
    assert angle_error(mirrored.orientation, -fit.orientation, np.pi).max() < 0.01


def test_orientation_is_of_the_bars_anticlockwise():
    flat = np.zeros((9, 9))
    flat[3:6] = np.array([[-0.5], [1], [-0.5]]) * np.exp(-((np.arange(9) - 4) ** 2) / 8)
    rising = np.fliplr(np.eye(9) - 0.5 * np.eye(9, k=1) - 0.5 * np.eye(9, k=-1))  # from lower left
    fit = fit_gabor(np.stack([flat, rising])[:, None])
    assert angle_error(fit.orientation, np.array([0, np.pi / 4]), np.pi).max() < 0.01


@pytest.mark.parametrize("shape", [(12, 12), (5, 5), (3, 3), (8, 7)])
def test_render_explains_r2(shape, rng):
    atoms = rng.standard_normal((4, 1, *shape))
    fit = fit_gabor(atoms)
    left = ((atoms[:, 0] - fit.render()) ** 2).sum(axis=(1, 2)) / (atoms**2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(fit.r2, 1 - left, atol=1e-9)
    one = naive.gabor(shape, *(getattr(fit, name)[2] for name in COLUMNS))
    np.testing.assert_allclose(fit.render()[2], one, atol=1e-9)
    assert (fit.phase > -np.pi).all()
    assert (fit.amplitude >= 0).all()
    assert ((fit.orientation >= 0) & (fit.orientation < np.pi)).all()


def test_strange_atoms_give_numbers():
    row, column = np.indices((9, 9)) - 4
    strange = {
        "zero": 0.0 * row,
        "constant": 0.0 * row + 0.3,
        "pixel": (row == 0) & (column == 0),
        "checkerboard": (-1.0) ** (row + column),
        "stripes": (-1.0) ** column,
        "edge": np.sign(column + 0.5),
        "blob": np.exp(-(row**2 + column**2) / 8),
    }
    fit = fit_gabor(np.array([*strange.values()], dtype=float)[:, None])
    assert all(np.isfinite(getattr(fit, name)).all() for name in (*COLUMNS, "r2", "energy_inside"))
    r2 = dict(zip(strange, fit.r2, strict=True))
    like = dict(zip(strange, fit.gabor_like, strict=True))
    assert r2["zero"] == r2["constant"] == 0
    np.testing.assert_array_equal(fit.amplitude[:2], 0)
    assert r2["pixel"] > 0.99
    assert not like["pixel"]  # narrower than half a pixel
    assert fit.energy_inside[2] > 0.99
    assert r2["checkerboard"] > 0.98
    assert fit.frequency[3] == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert r2["stripes"] > 0.98
    assert r2["blob"] > 0.999
    assert np.isinf(fit.bandwidth[6])
    assert fit.cut_off[[3, 4, 5]].all()
    assert not fit.cut_off[6]


def test_energy_inside_is_the_share_of_the_squared_envelope():
    centred, at_border = np.tile([0, 0, 0.3, 0.3, 1.2, 1.2, 0.4, 1], (2, 1))
    at_border[0] = 6
    fit = fit_gabor(render([centred, at_border], (12, 12)))
    np.testing.assert_allclose(fit.energy_inside, [1, 0.5], atol=0.02)
    np.testing.assert_array_equal(fit.cut_off, [False, True])
    between = np.array([[0.5, 0.5, 0, 0.2, np.log(0.3), np.log(0.3)]])  # sharp, amid four pixels
    one = np.ones(1)
    assert _as_fit(between, np.ones((1, 2)), one, one, (9, 9)).energy_inside > 0.99


def test_channels_are_reduced_to_their_first_component(rng):
    plane = render(random_gabors(2, (10, 10), rng), (10, 10))[:, 0]
    weights = np.array([0.2, 0.9, -0.4])
    noise = rng.standard_normal((2, 3, 10, 10))
    colour = weights[:, None, None] * plane[:, None]
    pure, alone = fit_gabor(colour), fit_gabor(plane[:, None])
    np.testing.assert_allclose(pure.component_share, 1)
    np.testing.assert_allclose(pure.amplitude, alone.amplitude * np.linalg.norm(weights), rtol=1e-3)
    np.testing.assert_allclose(pure.phase, alone.phase, atol=1e-3)  # largest weight is positive
    values = np.linalg.svd(noise.reshape(2, 3, 100), compute_uv=False)
    share = values[:, 0] ** 2 / (values**2).sum(axis=1)
    np.testing.assert_allclose(fit_gabor(noise).component_share, share)


@pytest.mark.parametrize(
    ("atoms", "error", "words"),
    [
        (np.zeros((2, 12, 12)), ValueError, r"\(K, C, h, w\).*atoms\[:, None\]"),
        (np.ones((2, 1, 2, 9)), ValueError, "at least 3 x 3"),
        (np.full((1, 1, 5, 5), np.nan), ValueError, "NaN"),
        (np.ones((1, 1, 5, 5), dtype=int), TypeError, "float32 or float64, got int64"),
        ([[1.0]], TypeError, "atoms must be an array"),
    ],
)
def test_bad_atoms_are_refused(atoms, error, words):
    with pytest.raises(error, match=words):
        fit_gabor(atoms)
    for function in (analyse, frequency_band):
        with pytest.raises(error, match=words):
            function(atoms)


def test_null_models_need_an_atom():
    for function in (analyse, phase_scrambled, frequency_band):
        with pytest.raises(ValueError, match="all zero"):
            function(np.zeros((2, 1, 5, 5)))


def test_bad_numbers_of_starts_are_refused():
    atoms = np.ones((1, 1, 5, 5))
    with pytest.raises(ValueError, match="n_starts"):
        fit_gabor(atoms, n_starts=0)
    with pytest.raises(TypeError, match="n_starts"):
        fit_gabor(atoms, n_starts=2.5)


def test_columns_select_derive_and_serialise(rng):
    fit = fit_gabor(render(random_gabors(4, (9, 9), rng), (9, 9)))
    assert len(fit) == 4
    np.testing.assert_array_equal(fit[fit.x > 0].x, fit.x[fit.x > 0])
    np.testing.assert_array_equal(fit[2].r2, fit.r2[2:3])
    np.testing.assert_allclose(fit.n_x, fit.sigma_x * fit.peak_frequency)
    np.testing.assert_allclose(fit.n_y, fit.sigma_y * fit.peak_frequency)
    assert json.loads(json.dumps(fit.to_dict(), allow_nan=False))["n_x"] == fit.n_x.tolist()


def test_derived_columns_by_hand():
    fit = as_fit(
        sigma_x=[2.0, 2.0, 0.4], sigma_y=[4.0, 3.0, 2.0], frequency=[0.25, 0.05, 0.25],
        phase=[np.pi, -np.pi / 2, 3 * np.pi / 4], r2=[0.8, 0.79, 0.95],
    )  # fmt: skip
    np.testing.assert_allclose(fit.aspect, [2, 1.5, 5])
    np.testing.assert_allclose(fit.parity, [0, np.pi / 2, np.pi / 4], atol=1e-7)
    # half of exp(-(f - f0)^2 / (2 s^2)) is reached s sqrt(2 ln 2) away, and s = 1 / (2 pi 2)
    octaves = np.log2((0.25 + 0.0936953) / (0.25 - 0.0936953))
    np.testing.assert_allclose(fit.bandwidth, [octaves, np.inf, np.inf], rtol=1e-5)
    np.testing.assert_array_equal(fit.gabor_like, [True, False, False])


# ---- statistics


def test_macaque_table_is_the_published_one():
    assert MACAQUE.sum() == 79
    np.testing.assert_array_equal(MACAQUE.sum(axis=1), [3, 22, 42, 12, 0])
    np.testing.assert_array_equal(MACAQUE.sum(axis=0), [11, 11, 25, 25, 7])
    np.testing.assert_allclose(MACAQUE_EDGES, [0.1, 0.174, 0.302, 0.525, 0.912, 1.585], atol=5e-4)
    with pytest.raises(ValueError, match="read-only"):
        MACAQUE[0, 0] = 1


def test_summary_by_hand():
    fit = as_fit(
        orientation=np.radians([0, 11, 12, 90, 170, 179, 45]),
        frequency=[0.2, 0.2, 0.2, 0.3, 0.1, 0.2, 0.2],
        sigma_x=[1, 1, 1, 1, 4, 8, 1],
        sigma_y=[1, 2, 3, 1, 8, 8, 1],
        r2=[0.85, 0.85, 0.95, 0.95, 0.95, 0.75, 0.1],
        energy_inside=[1, 1, 1, 0.5, 1, 1, 1],
    )
    summary = summarise(fit)
    assert (summary.n_atoms, summary.n_gabor_like) == (7, 5)
    np.testing.assert_allclose(summary.r2_at_least, np.array([6, 5, 3]) / 7)
    assert summary.r2_quantiles[2] == 0.85
    np.testing.assert_array_equal(summary.orientation_counts, [3, 1, 0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(summary.frequency_counts, [0, 0, 0, 1, 3, 1, 0])
    assert summary.cut_off == pytest.approx(0.2)
    assert summary.low_pass == 0
    np.testing.assert_array_equal(summary.parity_counts, [0, 0, 5, 0])
    assert summary.aspect_quantiles[2] == 2
    shapes = np.zeros((5, 5), dtype=int)  # (n_x, n_y) = .2 .2 | .2 .4 | .2 .6 | .3 .3 | .4 .8
    shapes[1, [1, 2, 3, 1]] += 1
    shapes[1, 1] += 1
    shapes[2, 3] += 1
    np.testing.assert_array_equal(summary.shape_counts, shapes)
    assert summary.blob_corner == pytest.approx(0.4)
    assert summary.shape_clipped == 0
    assert summary.macaque_chi_squared == chi_squared(shapes, MACAQUE)
    assert summary.macaque_earth_mover == earth_mover(shapes, MACAQUE)
    assert json.loads(json.dumps(summary.to_dict(), allow_nan=False))["n_gabor_like"] == 5


def test_a_population_without_gabors_has_no_distances():
    summary = summarise(as_fit(r2=[0.1, 0.2]))
    assert summary.n_gabor_like == 0
    assert np.isnan(summary.macaque_earth_mover)
    assert np.isnan(summary.aspect_quantiles).all()
    assert json.loads(json.dumps(summary.to_dict(), allow_nan=False))["blob_corner"] is None


def test_shapes_outside_the_table_count_at_its_rim():
    counts, clipped = shape_histogram(np.array([0.01, 5.0, 0.4]), np.array([1.5, 0.4, 0.4]))
    expected = np.zeros((5, 5))
    expected[0, 4] = expected[4, 2] = expected[2, 2] = 1
    np.testing.assert_array_equal(counts, expected)
    assert clipped == 2


def test_distances_by_hand():
    one, right, far = np.zeros((3, 5, 5))
    one[2, 2], right[2, 3], far[0, 0] = 3, 1, 2
    assert earth_mover(MACAQUE, MACAQUE) == pytest.approx(0, abs=1e-9)
    assert earth_mover(one, right) == pytest.approx(1)
    assert earth_mover(one, far) == pytest.approx(np.sqrt(8))
    assert earth_mover(far, one) == pytest.approx(np.sqrt(8))
    assert earth_mover(one + right, right) == pytest.approx(3 / 4)
    assert chi_squared(MACAQUE, 3 * MACAQUE) == pytest.approx(0)
    assert chi_squared(one, far) == pytest.approx(1)
    assert chi_squared(one + right, right) == pytest.approx(0.5 * (9 / 16 / 0.75 + 9 / 16 / 1.25))


# ---- null models


@pytest.mark.parametrize("shape", [(8, 8), (7, 8), (9, 5)])
def test_phase_scrambling_keeps_the_spectrum_and_the_relation_of_channels(shape, rng, dtype, rtol):
    atoms = rng.standard_normal((3, 2, *shape)).astype(dtype)
    null = phase_scrambled(atoms, rng=1)
    assert null.dtype == dtype
    before, after = np.fft.fft2(atoms), np.fft.fft2(null)
    np.testing.assert_allclose(abs(after), abs(before), rtol=20 * rtol, atol=20 * rtol)
    cross = [z[:, 0] * z[:, 1].conj() for z in (before, after)]
    np.testing.assert_allclose(*cross, rtol=100 * rtol, atol=100 * rtol)
    assert np.abs(np.corrcoef(null[:, 0].ravel(), atoms[:, 0].ravel())[0, 1]) < 0.5
    np.testing.assert_array_equal(null, phase_scrambled(atoms, rng=1))
    assert not np.array_equal(null, phase_scrambled(atoms, rng=2))


def test_band_pass_noise_lies_in_its_band():
    noise = band_pass_noise(200, (2, 16, 12), rng=0, low=0.15, high=0.25)
    assert noise.shape == (200, 2, 16, 12)
    np.testing.assert_allclose((noise**2).sum(axis=(1, 2, 3)), 1)
    low, high = frequency_band(noise)
    assert low == pytest.approx(0.15, abs=0.03)  # patches blur the band
    assert high == pytest.approx(0.25, abs=0.03)
    correlation = (noise[:, 0] * noise[:, 1]).sum(axis=(1, 2))
    assert abs(correlation.mean()) < 0.05


def test_frequency_band_surrounds_gratings():
    column, frequencies = np.arange(24), np.array([1 / 6, 1 / 3, 1 / 4]).reshape(3, 1, 1, 1)
    gratings = np.cos(2 * np.pi * frequencies * column) * np.ones((3, 1, 24, 1))
    scales = np.array([1, 1e-6, 0]).reshape(3, 1, 1, 1)  # but every atom counts alike
    low, high = frequency_band(gratings * scales)
    assert 1 / 6 - 0.04 < low < 1 / 6
    assert 1 / 3 < high < 1 / 3 + 0.04


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.2), (0.8, 0.9), (0.101, 0.102)])
def test_bands_without_frequencies_are_refused(low, high):
    with pytest.raises(ValueError, match="holds no frequency"):
        band_pass_noise(2, (1, 8, 8), low=low, high=high)


@pytest.mark.parametrize(
    ("n", "shape", "low", "error", "words"),
    [
        (2.0, (1, 8, 8), 0.1, TypeError, "n must be an integer"),
        (2, (8, 8), 0.1, ValueError, r"\(C, h, w\), got \(8, 8\)"),
        (2, (1, 8, 8), "0.1", TypeError, "low must be a number"),
    ],
)
def test_bad_noise_is_refused(n, shape, low, error, words):
    with pytest.raises(error, match=words):
        band_pass_noise(n, shape, low=low, high=0.3)


@pytest.mark.slow
def test_analyse_tells_gabors_from_both_nulls():
    rng = np.random.default_rng(7)
    atoms = render(random_gabors(60, (12, 12), rng), (12, 12)).astype(np.float32)
    atoms += 0.02 * rng.standard_normal(atoms.shape).astype(np.float32)
    report = analyse(atoms, rng=0)
    assert report.fit.gabor_like.mean() > 0.95
    assert (report.null_phase.r2 >= 0.8).mean() <= 0.15
    assert (report.null_noise.r2 >= 0.8).mean() <= 0.05
    assert len(report.null_phase) == len(report.null_noise) == len(report.fit) == 60
    counts = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert counts["atoms"]["n_gabor_like"] == report.summary.n_gabor_like
    for name in ("null_phase", "null_noise"):
        expected = summarise(getattr(report, name)).to_dict()
        assert counts[name] == json.loads(json.dumps(expected))


def test_report_shows_the_fits_side_by_side():
    fits = [as_fit(r2=r2, sigma_x=[0.4, 2, 2]) for r2 in ([0.95, 0.85, 0.1], 0.7, 0.2)]
    macaque = MacaqueDistance(1.0, (0.9, 1.1), 1.2, 1.3, 4, 0.26, (0.16, 0.39))
    learned = as_fit(r2=0.9, energy_inside=[0.7, 0.85, 0.9, 1.0])
    report = Report(*fits, summarise(fits[0]), macaque, np.zeros((3, 1, 12, 12)), learned)
    assert report.cut_share == 0.25
    head, *rows, distance, populations = str(report).splitlines()
    assert head.split() == ["median", "r2", ">=", "0.7", ">=", "0.8", ">=", "0.9", "Gabor-like"]
    assert [row.split() for row in rows] == [
        ["atoms", "0.850", "0.667", "0.667", "0.333", "0.333"],
        ["null_phase", "0.700", "1.000", "0.000", "0.000", "0.000"],
        ["null_noise", "0.200", "0.000", "0.000", "0.000", "0.000"],
    ]
    assert distance == (
        "EMD to macaque 1.00 [0.90, 1.10] bins; phase-scrambled 1.20 (4 Gabor-like: 1.30); "
        "two samples of the macaque table 0.26 [0.16, 0.39]"
    )
    assert "cut by the border 25%, blobs 0% (macaque 24%)" in populations


def test_peak_frequency_is_that_of_the_largest_bin_of_the_spectrum(rng):
    cycles, phase = rng.uniform(0.02, 1.2, 40), rng.uniform(-np.pi, np.pi, 40)
    u, frequencies = np.arange(-8, 8, 0.05), np.linspace(0, 2, 2001)
    functions = np.exp(-0.5 * u**2) * np.cos(2 * np.pi * cycles[:, None] * u + phase[:, None])
    spectra = abs(functions @ np.exp(-2j * np.pi * np.outer(u, frequencies)))
    fit = as_fit(frequency=cycles / 2, sigma_x=2.0, sigma_y=3.0, phase=phase)
    np.testing.assert_allclose(fit.n_x, frequencies[spectra.argmax(axis=1)], atol=2e-3)
    np.testing.assert_allclose(fit.peak_frequency, fit.n_x / 2)
    np.testing.assert_allclose(fit.n_y, 1.5 * fit.n_x)


def test_fields_without_flanks_have_shapes_of_their_own():
    fit = as_fit(frequency=1e-4, sigma_x=2.0, phase=[np.pi / 2, -np.pi / 2, 0, np.pi])
    np.testing.assert_allclose(fit.n_x, [1 / (2 * np.pi)] * 2 + [0, 0], atol=1e-6)
    assert fit.blob.all()
    described = [
        csc.analysis.describe_filters(
            render(random_gabors(3, (9, 9), np.random.default_rng(s)), (9, 9)), rng=0, n_bootstrap=5
        )
        for s in (0, 1)
    ]
    assert len(csc.analysis.compare_filters(*described, rng=0, n_bootstrap=5).distances)


def test_pixel_fields_are_the_adjoint_of_the_whitening(rng):
    atom, image = rng.standard_normal((1, 1, 8, 6)), np.zeros((40, 32))
    image[12:28, 9:23] = rng.standard_normal((16, 14))
    field = pixel_fields(atom, csc.images.whiten, margin=4)
    assert field.shape == (1, 1, 16, 14)
    response = (csc.images.whiten(image)[16:24, 13:19] * atom[0, 0]).sum()
    assert (image[12:28, 9:23] * field[0, 0]).sum() == pytest.approx(response, rel=1e-9)
    zca = csc.images.ZCA().fit(rng.standard_normal((200, 1, 8, 6)))
    patch = rng.standard_normal((1, 1, 8, 6))
    expected = (zca.transform(patch + zca.mean_) * atom).sum()
    assert (patch * pixel_fields(atom, zca)).sum() == pytest.approx(expected)
    for wrong in (None, csc.images.ZCA()):
        with pytest.raises(TypeError, match=r"or a fitted csc\.images\.ZCA, got"):
            pixel_fields(atom, wrong)


@pytest.mark.slow
def test_whitening_and_aperture_are_applied_to_atoms_and_nulls():
    atoms = render(random_gabors(12, (12, 12), np.random.default_rng(0)), (12, 12))
    aperture = np.exp(-0.5 * ((np.indices((12, 12)) - 5.5) ** 2).sum(axis=0) / 9)
    report = analyse(atoms, rng=0, whitening=csc.images.whiten, aperture=aperture)
    np.testing.assert_array_equal(report.fields, pixel_fields(atoms * aperture, csc.images.whiten))
    assert report.fit.shape == report.null_phase.shape == report.null_noise.shape == (20, 20)
    exact = fit_gabor(atoms * aperture)
    assert report.cut_share == summarise(exact).cut_off
    np.testing.assert_allclose(report.learned.r2, exact.r2, atol=1e-3)


@pytest.mark.slow
def test_macaque_distance_has_its_null_floor_and_confidence():
    atoms = render(random_gabors(30, (12, 12), np.random.default_rng(0)), (12, 12))
    report = analyse(atoms, rng=0)
    found = report.macaque
    assert found.emd == report.summary.macaque_earth_mover
    assert found.interval[0] < found.emd < found.interval[1]
    assert found.floor == pytest.approx(0.26, abs=0.02)  # of two samples of 79 cells
    assert found.floor_interval[0] < found.floor < found.floor_interval[1]
    null = report.null_phase
    assert found.null == earth_mover(shape_histogram(null.n_x, null.n_y)[0], MACAQUE)
    assert found.n_null_gabor_like == null.gabor_like.sum()
    assert report.to_dict()["macaque"]["floor"] == found.floor


def test_coverage_is_one_for_equal_counts_and_unbiased(rng):
    assert coverage([5, 0, 0, 0, 0]) == pytest.approx(0.2)
    assert coverage([1000] * 8) == pytest.approx(1, abs=1e-3)
    assert np.isnan(coverage([1, 0]))
    shared = [1 / (4 * coverage(rng.multinomial(10, [0.5, 0.5, 0, 0]))) for _ in range(2000)]
    assert np.mean(shared) == pytest.approx(0.5, abs=0.02)
    assert coverage(np.eye(4)[:2] * 50) == coverage(
        (np.eye(4)[:2] * 50).ravel()
    )  # of (n_x, n_y), say


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "few"), [((3, 3), True), ((3, 7), True), ((5, 5), False)])
def test_too_few_pixels_for_the_numbers_of_a_gabor_are_said(shape, few, rng):
    """On 3 x 3 pixels r2 is 1.00 for smooth filters and 0.9 for noise: it says nothing."""
    filters = csc.analysis.describe_filters(
        rng.standard_normal((3, 1, *shape)), rng=0, n_bootstrap=2
    )
    report = analyse(filters.atoms, rng=0)
    fit = report.fit
    caution = f"caution: {np.prod(shape)} pixels are too few for the 8 numbers" if few else ""
    ax = Figure().subplots()
    csc.plot.fit_quality(report, ax)
    words = [fit.caution, str(report), repr(fit), repr(report.summary), repr(filters)]
    words += [
        repr(csc.analysis.compare_filters(filters, filters, rng=0, n_bootstrap=2)),
        fit[:1].caution,
    ]
    words += [report.to_dict()["atoms"]["caution"], filters.to_dict()["fit"]["caution"]]
    words += [ax.get_title(), csc.plot.gabor_fits(filters.atoms, fit, ax).get_title()]
    assert [caution in said and ("caution" in said) == few for said in words] == [True] * 11


def test_imports_stay_light():
    heavy = "{'numba', 'matplotlib', 'sklearn', 'skimage'}"
    code = f"import sys, csc.analysis.receptive_fields; sys.exit(str({heavy} & set(sys.modules)) != 'set()')"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("wrong", [[1, -1, 1], [1, np.nan, 1]])
def test_what_is_no_histogram_is_refused(wrong):
    for distance in (chi_squared, earth_mover):
        with pytest.raises(ValueError, match="q must hold finite counts >= 0"):
            distance([1, 0, 0], wrong)
        with pytest.raises(ValueError, match="same bins"):
            distance([1, 0, 0], [1, 0])
    with pytest.raises(ValueError, match="counts must hold finite counts"):
        csc.analysis.receptive_fields.coverage(wrong)
    with pytest.raises(ValueError, match="shape must be that of one patch"):
        csc.analysis.receptive_fields.band_pass_noise(2, 8, low=0.1, high=0.3)


def test_a_whitening_that_is_not_linear_is_refused(rng):
    atoms = rng.standard_normal((3, 1, 6, 6))
    whiten = csc.images.whiten
    wrong = [
        partial(whiten, variance=0.1), csc.images.local_contrast_normalise, np.abs, np.tanh,
        lambda a: a - 1, lambda a: a / np.sqrt((a * a).sum(axis=(1, 2, 3), keepdims=True)),
    ]  # fmt: skip
    for filter_ in wrong:
        with pytest.raises(ValueError, match="whitening must be linear"):
            pixel_fields(atoms, filter_)
    for filter_ in wrong:  # a field alone is compared with itself
        with pytest.raises(ValueError, match="whitening must be linear"):
            pixel_fields(atoms[:1], filter_)
    with pytest.raises(ValueError, match="must keep the shape"):
        pixel_fields(atoms, lambda a: a[..., 1:, 1:])
    for right in (
        lambda a: whiten(a.astype("float32")),
        partial(whiten, f0=0.2),
        lambda a: 1e-9 * a,
    ):
        for few in (atoms, atoms[:1], 0 * atoms):
            assert np.isfinite(pixel_fields(few, right)).all()
