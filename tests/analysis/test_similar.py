"""The most similar atoms, compared with correlations taken one pair and one shift at a time."""

import numpy as np
import pytest
from scipy.signal import correlate

import csc
from csc.analysis import _similar


def cosine(a, b):
    """Largest modulus over all shifts."""
    shifts = sum(correlate(x, y, "full", "direct") for x, y in zip(a, b, strict=True))
    return abs(shifts).max() / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("shape", [(9, 2, 6), (7, 1, 4, 5), (5, 1, 2, 3, 2)])
def test_cosines_are_those_of_all_pairs_at_all_shifts(shape, rng, monkeypatch):
    monkeypatch.setattr(_similar, "CANDIDATES_AT_ONCE", 2)
    atoms = rng.standard_normal(shape)
    atoms[-1] = -2 * np.roll(atoms[0], 1, axis=-1)
    found = csc.analysis.similar_atoms(atoms, 3)
    every = np.array([[cosine(a, b) for b in atoms] for a in atoms])
    np.fill_diagonal(every, -1)
    np.testing.assert_allclose(found.cosines, -np.sort(-every, axis=1)[:, :3], rtol=1e-12)
    rows = np.arange(len(atoms))[:, None]
    np.testing.assert_allclose(every[rows, found.indices], found.cosines, rtol=1e-12)


def test_zero_atoms_resemble_none_and_few_atoms_have_few_neighbours(rng):
    atoms = rng.standard_normal((3, 1, 5)).astype("float32")
    atoms[1] = 0
    found = csc.analysis.similar_atoms(atoms, 5)
    assert found.indices.shape == (3, 2)
    assert (found.cosines[1] == 0).all()
    assert csc.analysis.similar_atoms(atoms[:1]).indices.shape == (1, 0)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_results_do_not_depend_on_the_scale_of_atoms(scale, rng):
    atoms, others = rng.standard_normal((2, 4, 2, 5, 5))
    scales = np.array([1, scale, scale, scale])[:, None, None, None]
    analysis, series = csc.analysis, (lambda a: a.reshape(4, 2, 25))
    for of in (
        lambda a: analysis.similar_atoms(a, 2).cosines,
        lambda a: analysis.match_dictionaries(a, others).scores,
        lambda a: analysis.topography_and_waveform(series(a)).explained,
        analysis.receptive_fields.frequency_band,
    ):
        np.testing.assert_allclose(of(scales * atoms), of(atoms))
