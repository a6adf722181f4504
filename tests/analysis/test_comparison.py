"""Filters compared with filters: measures, intervals, distances, spans, and what is written of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from analysis.test_receptive_fields import random_gabors, render

import csc
from csc.analysis.comparison import Estimate, Overlap, _compare
from csc.analysis.comparison._compare import _dimension, _overlap
from csc.analysis.comparison._distances import _distance, _half_turn, _line, _plane, distances
from csc.analysis.comparison._measures import _coverage, _quantile, chromatic_share, measure
from reference import gabor as naive

SQUEEZENET = Path(__file__).resolve().parents[3] / "shared" / "data" / "conv1_squeezenet_v1.0.npz"


@pytest.fixture(scope="module")
def gabors():
    rng = np.random.default_rng(1)
    return render(random_gabors(24, (12, 12), rng), (12, 12))


@pytest.fixture(scope="module")
def planted(gabors):
    """Two noisy copies, one of them in another order, of other signs and norms, and moved."""
    rng = np.random.default_rng(2)
    framed = np.pad(gabors, ((0, 0), (0, 0), (2, 2), (2, 2)))
    order = rng.permutation(len(framed))
    gains = (rng.uniform(0.5, 2, 24) * rng.choice([-1, 1], 24))[:, None, None, None]
    moved = [np.roll(f, rng.integers(-2, 3, 2), (1, 2)) for f in framed[order]]

    def noisy(a):
        size = np.linalg.norm(a, axis=(2, 3), keepdims=True) / np.sqrt(a[0].size)
        return a + 0.05 * size * rng.standard_normal(a.shape)

    return noisy(framed), noisy(gains * np.stack(moved))


@pytest.fixture(scope="module")
def comparison(planted):
    return csc.analysis.compare_filters(*planted, rng=0, n_bootstrap=300)


# ---- the whole


@pytest.mark.slow
def test_planted_copies_match_and_noise_stays_near_its_null(planted, comparison):
    matching = comparison.matching
    assert matching.atoms.value >= 0.99
    assert matching.atoms.low <= matching.atoms.value <= matching.atoms.high
    assert matching.phase.high < 0.9
    a = planted[0]
    rng = np.random.default_rng(0)
    shape = 2, *a[:, :, 2:-2, 2:-2].shape
    noise = csc.analysis.compare_filters(*rng.standard_normal(shape), rng=0, n_bootstrap=200)
    assert abs(noise.matching.atoms.value - noise.matching.noise.value) < 0.03
    for low, high in (d.chance for d in noise.distances.values()):
        assert not low > high
    r2, (low, high) = noise.distances["R2"]
    assert low <= r2.value <= high


@pytest.mark.slow
def test_planted_copies_are_alike_in_all_distributions(comparison):
    assert set(comparison.distances) == {
        "R2", "orientation", "frequency (octaves)", "bandwidth (octaves)", "phase, even to odd",
        "aspect (octaves)", "(n_x, n_y) (octaves)",
    }  # fmt: skip
    for name, (value, (_, high)) in comparison.distances.items():
        assert value.value < high + 0.01, name
        assert value.low <= value.value <= value.high, name


def test_gabors_and_noise_are_told_apart(gabors):
    noise = np.random.default_rng(0).standard_normal((24, 1, 7, 7))
    found = csc.analysis.compare_filters(gabors, noise, rng=0)
    value, chance = found.distances["R2"]
    assert value.low > 0.9 > chance[1]
    assert found.a.measures["Gabor-like"].atoms.value == 1
    assert found.b.measures["Gabor-like"].atoms.value < 0.1
    assert found.a.measures["R2, median"].atoms.low > found.a.measures["R2, median"].phase.high
    assert found.overlap.dimensions[2] == 144  # 7x7 is stretched to 12x12


def test_what_filters_without_a_fit_do_not_have_is_a_dash():
    a, b = np.random.default_rng(0).standard_normal((2, 6, 1, 6, 6))
    found = csc.analysis.compare_filters(a, b, n_bootstrap=5, rng=0)
    assert np.isnan(found.distances["orientation"].chance.low)
    line = next(line for line in repr(found).splitlines() if line.startswith("orientation   "))
    assert line.split() == ["orientation", "-", "-"]
    assert "nan" not in repr(found)


def test_dead_filters_are_left_out_and_norms_do_not_matter(gabors):
    scaled = np.concatenate([1e-9 * gabors[:2], gabors[2:] * 0.01, 3 * gabors[2:3]])
    found = csc.analysis.describe_filters(scaled, rng=0, n_bootstrap=50)
    assert (len(found), found.n_dead) == (23, 2)
    assert "23 filters 12x12, 1 channel, 2 dead ones left out" in repr(found)
    np.testing.assert_allclose(found.fit.r2[0], found.fit.r2[-1], atol=1e-9)


def test_it_takes_what_holds_filters_and_keeps_what_is_described(gabors):
    layer = csc.interop.load_first_layer(
        {"w.weight": gabors.repeat(3, 1).astype("float32")}, channels="BGR"
    )
    described = csc.analysis.describe_filters(layer, rng=0, n_bootstrap=50)
    assert (described.name, described.order) == ("w.weight", "BGR")
    found = csc.analysis.compare_filters(described, csc.Dictionary(gabors), rng=0, n_bootstrap=50)
    assert found.a is described
    assert found.b.name == "b"
    assert found.matching.atoms.value > 0.9999
    np.testing.assert_allclose(found.overlap.angles, 0, atol=0.1)
    turned = csc.interop.load_first_layer({"w.weight": layer.weights}, channels="RGB")
    with pytest.raises(ValueError, match="different order"):
        csc.analysis.compare_filters(described, turned, colour="keep")
    with pytest.raises(ValueError, match="same channels"):
        csc.analysis.compare_filters(described, gabors, colour="keep", n_bootstrap=10)


def test_what_cannot_be_paired_is_refused_before_anything_is_fitted(gabors, monkeypatch):
    def fitted(*_, **__):
        raise AssertionError("fitted")

    monkeypatch.setattr(_compare, "describe_filters", fitted)
    grey, chroma = gabors[:5], np.concatenate([gabors[:5], -gabors[:5]], axis=1)
    with pytest.raises(ValueError, match="a has no luminance: each of its 5 atoms"):
        csc.analysis.compare_filters(chroma, grey)
    with pytest.raises(ValueError, match='b has no luminance.* colour="keep"'):
        csc.analysis.compare_filters(grey, chroma)
    with pytest.raises(ValueError, match="same channels"):
        csc.analysis.compare_filters(grey, chroma, colour="keep")
    with pytest.raises(ValueError, match=r"\(K, C, h, w\)"):
        csc.analysis.compare_filters(grey, chroma[0])
    monkeypatch.undo()
    found = csc.analysis.compare_filters(chroma, chroma, colour="keep", n_bootstrap=10)
    assert found.matching.atoms.value > 0.9999


@pytest.mark.slow
def test_it_reads_well_and_can_be_written_and_drawn(comparison, tmp_path):
    said = repr(comparison)
    for words in (
        "a  a: 24 filters 16x16",
        "orientation coverage",
        "energy distance",
        "overlap of",
    ):
        assert words in said
    assert "nan" not in said
    assert max(map(len, said.splitlines())) < 110
    written = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert written["matching"]["atoms"]["value"] == comparison.matching.atoms.value
    assert written["overlap"]["dimensions"][2] == 256
    assert len(written["a"]["fit"]["r2"]) == 24
    csc.plot.filter_sets([comparison.a, comparison.b]).savefig(tmp_path / "sets.png", dpi=40)
    assert (tmp_path / "sets.png").stat().st_size > 5000


def test_the_same_seed_gives_the_same_numbers(gabors):
    one, two = (
        csc.analysis.compare_filters(gabors[:9], gabors[9:20], rng=3, n_bootstrap=40) for _ in "ab"
    )
    assert one.to_dict() == two.to_dict()


def test_a_trained_first_layer_is_read_and_compared(gabors):
    if not SQUEEZENET.is_file():
        pytest.skip("conv1_squeezenet_v1.0.npz is not here: for checks by hand, not in the project")
    layer = csc.interop.load_first_layer(SQUEEZENET, channels="RGB")
    assert layer.weights.shape == (96, 3, 7, 7)
    found = csc.analysis.compare_filters(layer, gabors, rng=0)
    share = found.a.measures["Gabor-like"]
    assert share.atoms.low > 0.75
    assert share.noise.high < 0.1
    assert 0.2 < found.a.measures["mostly chromatic"].atoms.value < 0.5
    json.dumps(found.to_dict(), allow_nan=False)


# ---- the parts


def test_energy_distances_are_their_sums_over_pairs(rng):
    x, y = rng.standard_normal((7, 2)), 1 + rng.standard_normal((5, 2))
    within = [
        np.mean([np.linalg.norm(u - v) for i, u in enumerate(z) for j, v in enumerate(z) if i != j])
        for z in (x, y)
    ]
    between = np.mean([[np.linalg.norm(u - v) for u in x] for v in y])
    found = _distance(x, y, _plane, 500, rng)
    assert found.estimate.value == pytest.approx(1 - sum(within) / (2 * between))
    far = _distance(np.zeros((6, 1)), np.ones((4, 1)), _line, 50, rng)
    assert far.estimate == (1, 1, 1)
    same = _distance(np.zeros((6, 1)), np.zeros((4, 1)), _line, 50, rng)
    assert same.estimate == (0, 0, 0)
    assert np.isnan(_distance(x[:1], y, _plane, 50, rng).estimate.value)


def test_distances_of_samples_of_one_world_are_centred_on_zero_and_chance_holds_them(rng):
    found = [_distance(*rng.standard_normal((2, 30, 1)), _line, 200, rng) for _ in range(60)]
    assert abs(np.mean([d.estimate.value for d in found])) < 0.01
    inside = [d.chance[0] <= d.estimate.value <= d.chance[1] for d in found]
    assert np.mean(inside) > 0.85
    gap = [(d.estimate.high + d.estimate.low) / 2 - d.estimate.value for d in found]
    assert abs(np.mean(gap)) < 0.03  # resamples are freed of the bias that drawing twice adds


def test_orientations_meet_at_half_a_turn():
    x = np.array([[0.05]]), np.array([[np.pi - 0.05]])
    assert _half_turn(*x).item() == pytest.approx(0.1)


def test_coverage_is_unbiased_and_its_resamples_too(rng):
    values, drawn = [], []
    for _ in range(300):
        bins = rng.integers(2, size=40)
        purity = _coverage(bins, np.ones(40, bool), 4)
        values.append(1 / purity(np.arange(40)[None], 1)[0])
        drawn.append(np.mean(1 / purity(rng.integers(40, size=(50, 40)), 2)))
    assert np.mean(values) == pytest.approx(2, rel=0.02)  # two of four bins: 1 / coverage is 2
    assert np.mean(drawn) == pytest.approx(2, rel=0.02)
    one = _coverage(np.zeros(5, int), np.ones(5, bool), 8)(np.arange(5)[None], 1)
    assert one == pytest.approx(1 / 8)
    assert np.isnan(_coverage(np.zeros(5, int), np.zeros(5, bool), 8)(np.arange(5)[None], 1))


def test_quantiles_of_those_that_count_are_numpys(rng):
    values, among = rng.standard_normal(9), rng.random(9) < 0.6
    rows = rng.integers(9, size=(20, 9))
    for q in (0, 0.05, 0.5, 0.95, 1):
        found = _quantile(values, among, rows, q)
        for row, one in zip(rows, found, strict=True):
            kept = values[row][among[row]]
            assert np.isnan(one) if not len(kept) else one == pytest.approx(np.quantile(kept, q))


def test_intervals_hold_the_truth_as_often_as_they_say(rng):
    hits = 0
    for _ in range(40):
        r2 = rng.uniform(0, 1, 60)
        columns = dict.fromkeys(("x", "y", "orientation", "phase", "amplitude"), np.zeros(60))
        columns |= {"frequency": np.full(60, 0.2), "sigma_x": np.ones(60), "sigma_y": np.ones(60)}
        full = {"energy_inside": np.ones(60), "component_share": np.ones(60)}
        fit = csc.analysis.receptive_fields.GaborFit((9, 9), **columns, r2=r2, **full)
        found = measure(fit, np.zeros(60), 300, rng)["R2 >= 0.8"]
        hits += found.low <= 0.2 <= found.high
    assert hits >= 33  # of 40; 38 is what 95 % means, 33 its chance of 1 %


def test_chroma_is_what_channels_do_not_share(rng):
    grey = rng.standard_normal((1, 1, 5, 5))
    opponent = np.concatenate([grey, -grey, 0 * grey], axis=1)
    atoms = np.concatenate([grey.repeat(3, 1), opponent, grey.repeat(3, 1) + opponent])
    np.testing.assert_allclose(chromatic_share(atoms), [0, 1, 2 / 5], atol=1e-12)
    assert chromatic_share(grey).max() < 1e-15


def test_spans_by_hand():
    e = np.eye(6)
    a, b = e[[0, 1, 0, 1]], np.stack([e[0], (e[1] + e[2]) / np.sqrt(2)])
    assert (_dimension(a), _dimension(b)) == (2, 2)
    found = _overlap([(a, b)] * 3, 20, np.random.default_rng(0))
    assert isinstance(found, Overlap)
    assert found.dimensions == (2, 2, 6)
    np.testing.assert_allclose(found.angles, [0, 45], atol=1e-6)
    assert found.overlap.atoms.value == pytest.approx(0.75)
    assert found.random == pytest.approx(1 / 3)


def test_a_lone_gabor_has_no_distances_but_is_described():
    atom = naive.gabor((9, 9), 0, 0, 0.3, 0.2, 1.5, 1.5, 0, 1)[None, None]
    found = csc.analysis.describe_filters(atom, rng=0, n_bootstrap=20)
    assert found.measures["n_x, median"].atoms.value == pytest.approx(0.3, rel=5e-3)
    assert np.isnan(found.measures["orientation coverage"].atoms.value)
    nothing = distances(found.fit, found.fit, 10, np.random.default_rng(0))
    assert all(np.isnan(d.estimate.value) for d in nothing.values())
    assert str(Estimate(np.nan, np.nan, np.nan)) == "-"


@pytest.mark.parametrize(
    ("filters", "error", "words"),
    [
        (np.ones((4, 7, 7)), ValueError, r"\(K, C, h, w\), got shape \(4, 7, 7\)"),
        (np.ones((4, 1, 2, 2)), ValueError, "at least 3 x 3"),
        (np.full((4, 1, 7, 7), np.nan), ValueError, "filters holds NaN"),
        (np.ones((4, 1, 7, 7), int), TypeError, "filters must be float32 or float64"),
        ("alexnet", TypeError, "filters must be an array"),
        (np.zeros((4, 1, 7, 7)), ValueError, "all zero"),
    ],
)
def test_what_is_no_filters_is_refused(filters, error, words):
    with pytest.raises(error, match=words):
        csc.analysis.describe_filters(filters)
    with pytest.raises(TypeError, match="n_bootstrap must be an integer"):
        csc.analysis.describe_filters(np.ones((4, 1, 7, 7)), n_bootstrap=1.5)
