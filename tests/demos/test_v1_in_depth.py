"""The chapter on V1 runs, small, and its measures are right on stimuli with known answers."""

import json

import numpy as np
import pytest
from skimage.io import imsave

import csc
from demos import v1_filters
from demos.v1_in_depth import (
    __main__ as chapter,
)
from demos.v1_in_depth import (
    aperture_sweep,
    complex_cells,
    size,
    space_time,
    sparseness,
    stimuli,
    topography,
)


@pytest.fixture
def small(monkeypatch):
    """Few and small atoms."""
    for module, values in (
        (size, {"N_ATOMS": 24, "SIDE": 12}),
        (complex_cells, {"N_ATOMS": 8, "SIDE": 8, "N_TURNING": 200}),
        (topography, {"SIDE": 6, "GRID": (3, 3), "LMBDA": 0.3}),
        (space_time, {"SHAPE": (3, 5, 5), "N_ATOMS": 6}),
        (sparseness, {"N_PATCHES": 200}),
    ):
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("small")
def test_all_parts_write_their_numbers(tmp_path, rng):
    for i in range(6):
        imsave(tmp_path / f"{i}.png", (255 * rng.random((40, 36))).astype("uint8"))
    options = ["--quick", "--frames", str(tmp_path), "--out", str(tmp_path / "out")]
    results = chapter.main(options)
    assert set(chapter.PARTS) < set(results)
    assert results["motion"]["n_frames"] == 6
    assert json.loads((tmp_path / "out" / "v1_in_depth.json").read_text())["seed"] == 0
    assert (tmp_path / "out" / "v1_in_depth.png").stat().st_size > 1000


def test_too_few_frames_are_refused_in_one_sentence(tmp_path, rng):
    imsave(tmp_path / "0.png", (255 * rng.random((40, 36))).astype("uint8"))
    with pytest.raises(SystemExit, match="frames must be at least"):
        chapter.main(["--only", "motion", "--frames", str(tmp_path), "--out", str(tmp_path)])


def test_quadrature_pairs_are_invariant_to_phase_and_single_cells_are_not():
    across, along = stimuli.coordinates(12, orientation=np.pi / 6)
    envelope = np.exp(-(across**2 + along**2) / 18)
    waves = [np.cos(2 * np.pi * 0.2 * across + phase) for phase in (0, np.pi / 2)]
    pair = np.stack([envelope * wave for wave in waves])[:, None]
    linear = complex_cells.linear_responses(csc.constraints.UnitSphere().project(pair))
    group = complex_cells.phase_tuning(complex_cells.energies(linear, 2))
    single = complex_cells.phase_tuning(np.maximum(linear, 0))
    assert group["median_depth"] < 0.05 > group["median_F1_F0"]
    assert single["median_depth"] == pytest.approx(1)
    assert single["median_F1_F0"] == pytest.approx(np.pi / 2, abs=0.03)


def test_tuning_to_phase_is_that_of_the_best_stimulus():
    phases = 2 * np.pi * np.arange(16) / 16
    best, other = 3 + np.cos(phases) + 0.5 * np.cos(2 * phases), np.full(16, 4.0)
    tuning = complex_cells.phase_tuning(np.stack([other, best])[..., None])
    low = best.min()
    assert tuning["median_depth"] == pytest.approx((4.5 - low) / (4.5 + low))
    assert tuning["median_F1_F0"] == pytest.approx(1 / 3)
    assert tuning["median_F2_F0"] == pytest.approx(0.5 / 3)


def test_rotation_finds_the_sparse_basis_and_keeps_energies(rng):
    atoms = csc.constraints.OrthonormalGroups(2).project(rng.standard_normal((4, 1, 12, 12)))
    flat = atoms.reshape(2, 2, 144)
    codes = rng.laplace(size=(4000, 4)) ** 3
    X = (codes @ atoms.reshape(4, 144)).reshape(-1, 1, 12, 12)
    c, s = np.cos(0.6), np.sin(0.6)
    turned = (np.array([[c, s], [-s, c]]) @ flat).reshape(atoms.shape)
    found = complex_cells.sparsest_basis(turned, X, 2).reshape(2, 2, 144)
    np.testing.assert_allclose(abs(found @ flat.swapaxes(1, 2)).max(axis=2), 1, atol=0.05)


def test_moving_atoms_have_a_direction_and_flickering_ones_none():
    t, y, x = np.meshgrid(np.arange(8), np.arange(10), np.arange(10), indexing="ij")
    moving = np.cos(2 * np.pi * (0.2 * x + 0.125 * t))
    flickering = np.cos(2 * np.pi * 0.2 * x) * np.cos(2 * np.pi * 0.125 * t)
    index = space_time.direction_index(np.stack([moving, flickering])[:, None])
    assert index[0] > 0.8
    assert index[1] < 0.05


def test_indices_of_known_curves():
    curves = np.array([[1.0, 2.0, 1.0], [1.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    assert size.suppression(curves).tolist() == [0.5, 0.0]
    equal, one = np.ones((1, 10)), np.eye(10)[:1]
    assert sparseness.sparseness(equal, 1)[0] == pytest.approx(0)
    assert sparseness.sparseness(one, 1)[0] == pytest.approx(1)


def vertical_units():
    """A fit of three Gabor functions of vertical bars: central, at the border, and too wide."""
    columns = dict.fromkeys(("amplitude", "r2", "energy_inside", "component_share"), np.ones(3))
    return csc.analysis.receptive_fields.GaborFit(
        shape=(size.SIDE,) * 2, x=np.array([0.5, 6, 0]), y=np.array([-0.5, 0, 0]),
        orientation=np.full(3, np.pi / 2), frequency=np.full(3, 0.25), phase=np.zeros(3),
        sigma_x=np.array([2.0, 2, 4]), sigma_y=np.array([2.0, 2, 2]), **columns,
    )  # fmt: skip


def test_only_central_units_that_stimuli_can_outgrow_are_shown_gratings():
    assert size.central_units(vertical_units()).tolist() == [0]


def test_stimuli_grow_in_the_direction_that_they_should():
    fit = vertical_units()
    discs, bars = size.discs(fit, 0), size.bars(fit, 0)
    row, column = np.indices(discs.shape[1:]) - (size.SIDE - 1) / 2
    dy, dx = row - fit.y[0], column - fit.x[0]
    wave = np.cos(2 * np.pi * fit.peak_frequency[0] * dx)  # vertical bars
    for radius, disc, bar in zip(size.RADII, discs, bars, strict=True):
        inside = np.hypot(dx, dy) < radius - 0.5
        np.testing.assert_allclose(disc[inside], wave[inside], atol=1e-9)
        assert not disc[np.hypot(dx, dy) > radius + 0.5].any()
        inside = (abs(dy) < radius - 0.5) & (abs(dx) < 2 * fit.sigma_x[0] - 0.5)
        np.testing.assert_allclose(bar[inside], wave[inside], atol=1e-9)
        assert not bar[(abs(dy) > radius + 0.5) | (abs(dx) > 2 * fit.sigma_x[0] + 0.5)].any()
    mask, _, _ = size.grating(fit, 0, orthogonal=True)
    expected = np.cos(2 * np.pi * fit.peak_frequency[0] * dy)
    np.testing.assert_allclose(mask, expected, atol=1e-9)


def test_responses_of_orthonormal_atoms_are_soft_thresholds(rng):
    n = size.SIDE**2
    atoms = np.linalg.qr(rng.standard_normal((n, n)))[0][:5].reshape(5, 1, size.SIDE, size.SIDE)
    units, weights = np.array([1, 4]), np.array([[2.0, 3.0, 0.1], [-2.0, -1.0, -4.0]])
    stimuli = np.einsum("ur,uhw->urhw", weights, atoms[units, 0]) + atoms[0, 0]
    codes, linear = size.responses(atoms, units, stimuli, 2.0)
    np.testing.assert_allclose(linear, abs(2 * weights), atol=1e-9)
    np.testing.assert_allclose(codes, np.maximum(abs(2 * weights) - size.LMBDA, 0), atol=1e-4)


def test_blocks_are_windows_of_the_whitened_frames_without_their_mean(rng):
    frames = rng.random((9, 30, 28))
    found = space_time.blocks(frames, 5, np.random.default_rng(3))
    white = np.stack([csc.images.whiten(frame, variance=space_time.VARIANCE) for frame in frames])
    windows = np.lib.stride_tricks.sliding_window_view(white, space_time.SHAPE)
    windows = windows.reshape(-1, np.prod(space_time.SHAPE))
    windows = windows - windows.mean(axis=1, keepdims=True)
    for block in found:
        assert abs(windows - block.ravel()).max(axis=1).min() < 1e-5


def test_temporal_and_spatial_frequencies_are_those_of_the_waves():
    t, y, x = np.meshgrid(np.arange(8), np.arange(10), np.arange(10), indexing="ij")
    waves = [(0.1, 0.35), (0.2, 0.25), (0.3, 0.15), (0.4, 0.05)]  # of space and of time
    atoms = np.stack([np.cos(2 * np.pi * (s * y + f * t)) + 0 * x for s, f in waves])[:, None]
    assert space_time.summary(atoms)["correlation_log_tf_sf"] < -0.9
    assert space_time.summary(atoms)["share_directional"] >= 0.75


def test_a_smooth_map_has_smaller_differences_than_a_shuffled_one(monkeypatch, rng):
    monkeypatch.setattr(topography, "GRID", (4, 4))
    atoms = []
    for i in range(16):
        across, along = stimuli.coordinates(10, orientation=np.pi * (i // 4) / 4)
        atoms.append(np.exp(-(across**2 + along**2) / 12) * np.cos(2 * np.pi * 0.2 * across))
    fit = csc.analysis.receptive_fields.fit_gabor(np.stack(atoms)[:, None], n_starts=2)
    ordered = topography.differences(fit, np.arange(16))["orientation_degrees"]
    shuffled = [
        topography.differences(fit, rng.permutation(16))["orientation_degrees"] for _ in range(10)
    ]
    assert ordered == pytest.approx(22.5, abs=1)
    assert ordered < min(shuffled)


def test_the_sweep_tabulates_every_width_and_seed(tmp_path, monkeypatch):
    def result(photographs, sigma, seed, args):
        shares = dict.fromkeys(aperture_sweep.SHARES, 0.5)
        emds = {"emd_macaque": 0.4, "emd_null": 0.8, "emd_floor": 0.27}
        own = {"sigma": sigma, "seed": seed, "side": 6, "cpu_seconds": 1.0}
        assert (len(photographs), args.atoms) == (9, 512)
        return own | shares | emds

    monkeypatch.setattr(aperture_sweep, "one_run", result)
    runs = aperture_sweep.main(["--apertures", "1.5", "3", "--out", str(tmp_path)])
    assert [(run["sigma"], run["seed"]) for run in runs][:4] == [
        (1.5, 0),
        (1.5, 1),
        (1.5, 2),
        (3, 0),
    ]
    last = aperture_sweep.table(runs).splitlines()[-1]
    assert last.startswith("| 3 | 6 | 0.40, 0.40, 0.40 | 0.80, 0.80, 0.80 | 50%, 50%, 50% |")
    assert (tmp_path / "aperture_sweep.json").exists()


def test_one_run_of_the_sweep_learns_at_its_width_and_seed(monkeypatch):
    learn, made = v1_filters.learn, []
    monkeypatch.setattr(v1_filters, "N_PATCHES", 500)
    monkeypatch.setattr(v1_filters, "N_CODES", 2)
    monkeypatch.setattr(v1_filters, "learn", lambda *given: made.append(given) or learn(*given))
    args = aperture_sweep.parse_arguments(["--atoms", "6", "--epochs", "1"])
    found = aperture_sweep.one_run(csc.images.natural()[:2], 1.5, 7, args)
    ((patches, settings),) = made
    assert (settings.aperture, settings.patch, settings.seed, settings.atoms) == (1.5, 6, 7, 6)
    assert patches.shape == (500, 2, 6, 6)  # ON and OFF
    assert (found["sigma"], found["seed"], found["side"]) == (1.5, 7, 6)
    assert 0.2 < found["emd_floor"] < 0.4
