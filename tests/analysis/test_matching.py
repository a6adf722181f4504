"""Dictionary matching finds permuted, shifted and sign-flipped copies and no others."""

import numpy as np
import pytest

import csc


def moved(atom, shift):
    """An atom moved by whole samples; what leaves is lost."""
    out = np.zeros_like(atom)
    source = tuple(slice(max(-a, 0), min(-a, 0) or None) for a in shift)
    target = tuple(slice(max(a, 0), min(a, 0) or None) for a in shift)
    out[(slice(None), *target)] = atom[(slice(None), *source)]
    return out


@pytest.mark.parametrize("shape", [(8, 1, 15), (9, 3, 11, 12), (4, 2, 7, 8, 9)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_shuffled_shifted_flipped_noisy_copy_is_found(shape, dtype, rng):
    a = np.zeros(shape)
    a[(..., *(slice(2, -2),) * (len(shape) - 2))] = rng.standard_normal(
        (*shape[:2], *(n - 4 for n in shape[2:]))
    )
    order, signs = rng.permutation(len(a)), rng.choice([-1, 1], len(a))
    shifts = rng.integers(-2, 3, (len(a), len(shape) - 2))
    b = np.stack([signs[k] * 3 * moved(a[k], shifts[k]) for k in order])
    noisy = [(x + 0.02 * rng.standard_normal(shape)).astype(dtype) for x in (a, b)]
    match = csc.analysis.match_dictionaries(*noisy)
    assert match.scores.min() > 0.99
    np.testing.assert_array_equal(order[match.indices], np.arange(len(a)))
    np.testing.assert_array_equal(match.signs, signs)
    np.testing.assert_array_equal(match.shifts, -shifts)
    for k in range(len(a)):  # sign and shift bring the partner onto the atom
        back = match.signs[k] * moved(b[match.indices[k]], match.shifts[k]) / 3
        np.testing.assert_allclose(back, a[k], atol=1e-12)


def test_unrelated_noise_stays_near_its_null(rng):
    a, b = rng.standard_normal((2, 16, 1, 8, 8))
    null = [
        csc.analysis.match_dictionaries(a, rng.standard_normal(a.shape)).score for _ in range(20)
    ]
    assert abs(csc.analysis.match_dictionaries(a, b).score - np.mean(null)) < 5 * np.std(null)
    assert np.mean(null) < 0.6


def test_scores_are_those_of_all_shifts_and_the_best_assignment(rng):
    a, b = rng.standard_normal((4, 2, 5)), rng.standard_normal((3, 2, 4))
    table = np.zeros((4, 3))
    for j, k in np.ndindex(4, 3):
        both = sum(np.correlate(x, y, "full") for x, y in zip(a[j], b[k], strict=True))
        table[j, k] = abs(both).max() / np.linalg.norm(a[j]) / np.linalg.norm(b[k])
    from itertools import permutations

    best = max(sum(table[j, k] for k, j in enumerate(p)) for p in permutations(range(4), 3))
    match = csc.analysis.match_dictionaries(a, b)
    assert match.scores.sum() == pytest.approx(best)
    assert (match.indices == -1).sum() == 1
    assert match.scores[match.indices == -1] == 0
    unmoved = csc.analysis.match_dictionaries(a, np.pad(b, ((0, 0), (0, 0), (0, 1))), shift=False)
    assert (unmoved.shifts == 0).all()
    assert unmoved.score < match.score


def test_one_atom_zero_atoms_and_dictionaries(rng):
    a = rng.standard_normal((2, 1, 6))
    b = np.concatenate([a[:1], np.zeros((1, 1, 6))])
    match = csc.analysis.match_dictionaries(csc.Dictionary(a), b)
    assert match.scores[0] == pytest.approx(1)
    assert match.scores[1] == 0
    assert csc.analysis.match_dictionaries(a[:1], a[:1]).score == pytest.approx(1)
    assert "mean score 0.500" in repr(match)


def test_luminance_forgets_colour_and_keeps_the_rest(rng):
    grey = rng.standard_normal((5, 1, 7, 7))
    tint = rng.uniform(0.5, 2, (5, 3, 1, 1))
    chroma = rng.standard_normal((5, 3, 7, 7))
    coloured = tint * grey + chroma - chroma.mean(axis=1, keepdims=True)
    match = csc.analysis.match_dictionaries(-coloured[::-1], grey, colour="luminance")
    np.testing.assert_array_equal(match.indices, [4, 3, 2, 1, 0])
    np.testing.assert_allclose(match.scores, 1)
    assert (match.signs == -1).all()
    assert csc.analysis.match_dictionaries(coloured, grey.repeat(3, 1)).score < 0.95
    chroma[1:] += 1.0  # the first has no luminance but for rounding
    pure = np.concatenate([chroma[:1] - chroma[:1].mean(axis=1, keepdims=True), chroma[1:]])
    assert (
        csc.analysis.match_dictionaries(pure.astype("float32"), grey, colour="luminance").scores[0]
        == 0
    )


@pytest.mark.parametrize(
    ("shape", "other"), [((12, 12), (24, 24)), ((9, 14), (18, 7)), ((8,), (24,))]
)
def test_atoms_of_unlike_sizes_match_when_stretched(shape, other, rng):
    def smooth(waves, spatial_shape):
        """The same cosines, as means over cells, on any grid."""
        atoms = np.ones((len(waves), 1, *spatial_shape))
        for axis, n in enumerate(spatial_shape):
            edges = np.arange(n + 1) / n
            k = np.pi * waves[:, axis, None]
            means = np.diff(np.sin(k * edges), axis=1) * n / k
            atoms *= means.reshape(
                len(waves), 1, *(n if i == axis else 1 for i in range(len(spatial_shape)))
            )
        return atoms

    waves = rng.permutation(
        np.stack(np.meshgrid(*[[1, 2, 3]] * len(shape)), -1).reshape(-1, len(shape))
    )
    order = rng.permutation(len(waves))
    a, b = smooth(waves, shape), -2 * smooth(waves[order], other)
    match = csc.analysis.match_dictionaries(a, b, resample=True)
    np.testing.assert_array_equal(order[match.indices], np.arange(len(waves)))
    assert match.scores.min() > 0.97
    assert (match.signs == -1).all()
    assert csc.analysis.match_dictionaries(a, b).score < match.score - 0.05
    with pytest.raises(ValueError, match="colour must be one of 'keep', 'luminance', got 'grey'"):
        csc.analysis.match_dictionaries(a, b, colour="grey")


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.ones((2, 1, 4)), np.ones((2, 2, 4)), "same channels"),
        (np.ones((2, 1, 4)), np.ones((2, 1, 4, 4)), "same channels and axes"),
        (np.ones((2, 4)), np.ones((2, 1, 4)), r"a must be \(K, C, \*s\)"),
        (np.ones((2, 1, 4)), np.full((2, 1, 4), np.nan), "b holds NaN"),
    ],
)
def test_bad_atoms_are_refused(a, b, words):
    with pytest.raises(ValueError, match=words):
        csc.analysis.match_dictionaries(a, b)


def planted(rng, atoms, shape, density):
    d = csc.constraints.UnitSphere().project(rng.standard_normal(atoms))
    D = csc.Dictionary(d)
    z_shape = (shape[0], atoms[0], *D.spatial_code_shape(shape[2:]))
    z = rng.standard_normal(z_shape) * (rng.random(z_shape) < density)
    return D(z), d


# Seeds 0 to 4 of each pass; one of them keeps the suite short.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "atoms", "shape", "density", "missing"),
    [
        (0, (5, 1, 16), (6, 1, 600), 0.004, 0),
        (2, (6, 1, 6, 6), (6, 1, 40, 40), 0.006, 0),
        (3, (6, 3, 5, 5), (4, 3, 32, 32), 0.008, 0),
        (4, (4, 1, 5, 5), (6, 1, 40, 40), 0.004, 0.5),
    ],
    ids=["1-D", "2-D", "colour", "half missing"],
)
def test_planted_atoms_are_learned(seed, atoms, shape, density, missing):
    rng = np.random.default_rng(seed)
    X, d = planted(rng, atoms, shape, density)
    # without half of the samples codes must be many, and learning is slow
    lmbda, passes = (0.2, 50) if missing else (0.3, 30)
    options = {"max_iter": passes, "recentre_every": 5, "random_state": seed, "tol": 0}
    learner = csc.DictionaryLearning(atoms[0], atoms[2:], lmbda, **options)
    learner.fit(np.where(rng.random(X.shape) < missing, np.nan, X))
    match = csc.analysis.match_dictionaries(d, learner.atoms_)
    assert match.score >= (0.9 if missing else 0.95), match


def test_a_learner_in_place_of_atoms_is_told_where_they_are(rng):
    learner = csc.DictionaryLearning(2, (3,), 0.1, max_iter=1)
    with pytest.raises(TypeError, match="fit it first, and use a.atoms_"):
        csc.analysis.match_dictionaries(learner, learner)
    learner.fit(rng.standard_normal((2, 1, 8)))
    with pytest.raises(TypeError, match="got DictionaryLearning; use a.atoms_"):
        csc.analysis.match_dictionaries(learner, learner)


def test_a_solution_in_place_of_codes_is_told_where_they_are(rng):
    solution = csc.sparse_code(rng.standard_normal((1, 1, 20)), np.ones((1, 1, 2)), 0.5)
    with pytest.raises(TypeError, match=r"got Solution; use codes\.codes"):
        csc.analysis.find_events(solution)
