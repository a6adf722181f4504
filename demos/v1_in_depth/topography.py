"""A topographic map: atoms that are neighbours on a grid become alike, except in phase.

Atoms lie on a grid that wraps around, and `csc.GroupL21` penalises the norms of all overlapping
neighbourhoods of 3 x 3. The map is judged by the mean differences of neighbouring Gabor-like atoms; the
control is the same atoms in random places.
"""

import numpy as np

import csc
from csc.analysis.receptive_fields import fit_gabor
from demos.v1_in_depth.stimuli import patches

SIDE, GRID, WIDTH, N_PATCHES = 8, (8, 8), 3, 3_000
LMBDA = 0.15
N_SHUFFLES = 20
MIN_FREQUENCY = 0.5 / SIDE  # cycles per pixel; blobs are below


def learn(seed, n_patches=N_PATCHES, epochs=4):
    """Atoms (K, 1, side, side), in the order of the grid."""
    groups = csc.penalties.neighbourhoods(GRID, WIDTH)
    learner = csc.DictionaryLearning(
        GRID[0] * GRID[1], (SIDE, SIDE), penalty=csc.GroupL21(LMBDA, groups=groups),
        max_iter=epochs, tol=0, coding_tol=5e-2, random_state=seed,
    )  # fmt: skip
    return learner.fit(patches(SIDE, n_patches, seed)).atoms_


def differences(fit, order):
    """Mean differences between neighbours, if place p of the grid holds atom ``order[p]``."""
    places = order.reshape(GRID)
    pairs = np.concatenate(
        [np.stack([places, np.roll(places, -1, axis)], -1).reshape(-1, 2) for axis in (0, 1)]
    )
    a, b = (fit[pair] for pair in pairs[fit.gabor_like[pairs].all(axis=1)].T)
    turn = abs((a.orientation - b.orientation + np.pi / 2) % np.pi - np.pi / 2)
    phase = abs((a.phase - b.phase + np.pi) % (2 * np.pi) - np.pi)
    frequencies = [np.maximum(one.peak_frequency, MIN_FREQUENCY) for one in (a, b)]
    return {
        "orientation_degrees": float(np.degrees(turn.mean())),
        "place_pixels": float(np.hypot(a.x - b.x, a.y - b.y).mean()),
        "frequency_octaves": float(abs(np.diff(np.log2(frequencies), axis=0)).mean()),
        "phase_degrees": float(np.degrees(phase.mean())),
    }


def run(seed, quick=False):
    """Results, and the atoms for the figure."""
    atoms = learn(seed, 500 if quick else N_PATCHES, 1 if quick else 4)
    fit, rng = fit_gabor(atoms), np.random.default_rng(seed)
    results = {"gabor_share": float(fit.gabor_like.mean())}
    if fit.gabor_like.sum() < len(fit) / 4:
        return results, atoms
    shuffled = [differences(fit, rng.permutation(len(fit))) for _ in range(N_SHUFFLES)]
    results["neighbours"] = differences(fit, np.arange(len(fit)))
    results["shuffled_places"] = {
        key: [float(np.quantile([one[key] for one in shuffled], q)) for q in (0, 0.5, 1)]
        for key in shuffled[0]
    }
    return results, atoms
