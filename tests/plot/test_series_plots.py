"""Series of several channels: topographies, waveforms and events, and their plots."""

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

import csc

matplotlib.use("Agg")


def epochs(rng, n_channels=6):
    """Epochs (N, C, T) with two planted rank-one atoms."""
    t = np.linspace(-1, 1, 24)
    waveforms = np.stack([np.exp(-((t / 0.2) ** 2)), np.sin(3 * np.pi * t) * np.exp(-(t**2) * 3)])
    topographies = rng.standard_normal((2, n_channels))
    atoms = csc.constraints.UnitSphere().project(topographies[:, :, None] * waveforms[:, None])
    z = rng.uniform(6, 9, (10, 2, 177)) * (rng.random((10, 2, 177)) < 0.006)
    return atoms, z, csc.Dictionary(atoms)(z) + 0.1 * rng.standard_normal((10, n_channels, 200))


def test_rank_one_atoms_are_found_in_epochs_by_channels_by_times(rng):
    truth, z, X = epochs(rng)
    learner = csc.DictionaryLearning(
        2, (24,), penalty=csc.L1(csc.Relative(0.2), positive=True), batch_size=None, max_iter=12,
        constraint=csc.constraints.Separable() & csc.constraints.UnitBall(), recentre_every=5,
        random_state=0,
    ).fit(X)  # fmt: skip
    match = csc.analysis.match_dictionaries(learner.atoms_, truth)
    assert match.scores.min() > 0.95
    parts = csc.analysis.topography_and_waveform(learner.atoms_)
    np.testing.assert_allclose(parts.explained, 1)
    product = parts.topographies[:, :, None] * parts.waveforms[:, None]
    np.testing.assert_allclose(product, learner.atoms_, atol=1e-12)
    events = csc.analysis.find_events(learner.transform(X), 2.0, 12)
    epoch, _, sample = np.nonzero(z)
    near = abs(events.sample[:, None] - sample) < 12
    near &= events.epoch[:, None] == epoch
    assert near.any(axis=0).all()  # every planted event is found
    assert near.any(axis=1).all()  # and no other


def test_topographies_and_waveforms_by_power_iteration(rng):
    atom = rng.standard_normal((4, 9))
    w = rng.standard_normal(9)
    for _ in range(500):
        w = atom.T @ (atom @ w)
        w /= np.linalg.norm(w)
    w *= np.sign(w[abs(w).argmax()])
    parts = csc.analysis.topography_and_waveform(atom[None])
    np.testing.assert_allclose(parts.waveforms[0], w, atol=1e-8)
    np.testing.assert_allclose(parts.topographies[0], atom @ w, atol=1e-8)
    share = ((atom @ w) ** 2).sum() / (atom**2).sum()
    assert parts.explained[0] == pytest.approx(share)


def test_events_are_the_codes_in_the_order_of_time():
    codes = np.zeros((2, 2, 5))
    codes[0, 1, 3], codes[0, 0, 4], codes[1, 0, 0], codes[1, 1, 2] = 2.0, -3.0, 1.0, 0.1
    events = csc.analysis.find_events(codes, 0.5)
    rows = np.stack([events.epoch, events.atom, events.sample], axis=1).tolist()
    assert rows == [[0, 1, 3], [0, 0, 4], [1, 0, 0]]
    np.testing.assert_array_equal(events.amplitude, [2.0, -3.0, 1.0])


def test_of_neighbouring_events_the_largest_counts():
    codes = np.zeros((1, 2, 10))
    codes[0, 0, [1, 3, 5, 6]], codes[0, 1, 4] = [1.0, -3.0, 2.0, 1.0], 0.5
    events = csc.analysis.find_events(codes, min_distance=3)
    assert events.sample.tolist() == [3, 4, 6]
    assert events.atom.tolist() == [0, 1, 0]


def test_plots_show_the_numbers(rng):
    atoms, z, _ = epochs(rng)
    parts = csc.analysis.topography_and_waveform(atoms)
    ax = csc.plot.waveforms(atoms, sfreq=100)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), parts.waveforms[1])
    assert ax.lines[0].get_xdata()[-1] == 0.23
    ax = csc.plot.topographies(csc.Dictionary(atoms), channels=list("abcdef"))
    largest = abs(parts.topographies).max(axis=1, keepdims=True)
    np.testing.assert_allclose(ax.images[0].get_array(), parts.topographies / largest)
    ax = csc.plot.events(z, sfreq=100)
    assert sum(len(line.get_xdata()) for line in ax.lines) == (z != 0).sum()
    epoch, _, sample = np.nonzero(z[:, :1])
    assert sorted(ax.lines[0].get_xdata()) == sorted(sample / 100)
    assert sorted(ax.lines[0].get_ydata()) == sorted(epoch)


def test_epochs_channels_and_atoms_are_counted_by_integers(rng):
    atoms, z, X = epochs(rng)
    solution = csc.sparse_code(X[:1], atoms, csc.Relative(0.3))
    axes = (
        csc.plot.events(z[:2]).yaxis,
        csc.plot.topographies(atoms[:, :2]).xaxis,
        csc.plot.codes(solution).xaxis,
    )
    for axis in axes:
        axis.axes.figure.set_size_inches(12, 12)  # room for more ticks than there are
        ticks = axis.get_ticklocs()
        np.testing.assert_array_equal(ticks, np.round(ticks))


@pytest.mark.parametrize("ax", [pyplot, pyplot.figure(), np.array([0]), 3], ids=type)
def test_what_is_no_axes_is_refused(ax, rng):
    with pytest.raises(TypeError, match=f"ax must be axes of matplotlib.*got {type(ax).__name__}"):
        csc.plot.dictionary(rng.standard_normal((2, 1, 4, 4)), ax)


def test_axes_that_are_not_polar_are_refused(rng):
    fit = csc.analysis.receptive_fields.fit_gabor(rng.standard_normal((2, 1, 7, 7)), n_starts=1)
    with pytest.raises(TypeError, match="ax must be polar axes"):
        csc.plot.orientation_frequency(fit, pyplot.figure().add_subplot())


def test_an_index_that_is_no_integer_is_refused(rng):
    atoms, _, X = epochs(rng)
    solution = csc.sparse_code(X[:1], atoms, csc.Relative(0.3))
    for name in ("signal", "layer"):
        with pytest.raises(TypeError, match=f"{name} must be an integer, got '0'"):
            csc.plot.codes(solution, **{name: "0"})


def test_wrong_input_is_refused(rng):
    with pytest.raises(ValueError, match=r"atoms must be \(K, C, L\)"):
        csc.analysis.topography_and_waveform(rng.standard_normal((2, 1, 4, 4)))
    with pytest.raises(ValueError, match=r"codes must be \(N, K, V\)"):
        csc.analysis.find_events(rng.standard_normal((2, 3)))
    with pytest.raises(ValueError, match="3 names for 5 channels"):
        csc.plot.topographies(rng.standard_normal((2, 5, 9)), channels=["a", "b", "c"])
    with pytest.raises(ValueError, match="codes hold NaN"):
        csc.analysis.find_events(np.full((1, 2, 3), np.nan))


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (csc.plot.receptive_field_shapes, "fit must be what .*fit_gabor returns, got ndarray"),
        (csc.plot.orientation_frequency, "fit must be what .*fit_gabor returns"),
        (csc.plot.fit_quality, "report must be what .*analyse returns"),
        (csc.plot.filter_sets, "sets must be a list of FilterSet"),
        (lambda atoms: csc.plot.filter_sets([atoms]), r"sets\[0\] must be a FilterSet"),
        (lambda atoms: csc.plot.gabor_fits(atoms, atoms), "fit must be what"),
    ],
)
def test_plots_of_fields_say_what_they_draw(draw, words):
    with pytest.raises(TypeError, match=words):
        draw(np.ones((2, 1, 5, 5)))
