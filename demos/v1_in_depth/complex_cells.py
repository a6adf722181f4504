"""Complex cells: the energy of a group of atoms that is coded together is invariant to phase.

Atoms are learned under `csc.GroupL21` with orthonormal groups of four. The response of a group to
an image is ``||(D^T x)_g||``. Gratings of all orientations, frequencies and phases are shown. For the
best orientation and frequency of each unit, the modulation by phase is ``(max - min) / (max + min)``,
and F1 / F0 and F2 / F0 are the first and second harmonic over the mean. Controls are the same atoms
in random groups, single atoms, and groups of phase-scrambled atoms.
"""

from math import inf
from time import process_time

import numpy as np

import csc
from csc.analysis.receptive_fields import fit_gabor, phase_scrambled
from demos.v1_in_depth.stimuli import gratings, patches

SIDE, N_ATOMS, N_PATCHES, GROUP_SIZE = 12, 128, 40_000, 4
LMBDA, EPOCHS = 1.0, 10
ORIENTATIONS = np.arange(12) * np.pi / 12
FREQUENCIES = 2 ** np.linspace(np.log2(0.06), np.log2(0.4), 8)  # cycles per pixel
N_PHASES = 16
N_TURNING = 5_000  # patches that decide the rotation within groups


def learn(seed, n_patches=N_PATCHES, epochs=EPOCHS):
    """Atoms (K, 1, side, side) in orthonormal groups."""
    learner = csc.DictionaryLearning(
        N_ATOMS, (SIDE, SIDE),
        penalty=csc.GroupL21(LMBDA, GROUP_SIZE),
        constraint=csc.constraints.OrthonormalGroups(GROUP_SIZE),
        max_iter=epochs, tol=0, coding_tol=1e-3, random_state=seed,
    )  # fmt: skip
    return learner.fit(patches(SIDE, n_patches, seed)).atoms_


def learning_seconds(seed, n_patches):
    """CPU seconds of one pass of learning, groups and L1, the better of two interleaved runs each.

    The lambdas are those at which about as many atoms are used.
    """
    X = patches(SIDE, n_patches, seed)
    groups = {
        "penalty": csc.GroupL21(1.0, GROUP_SIZE),
        "constraint": csc.constraints.OrthonormalGroups(GROUP_SIZE),
    }
    seconds = {"groups": inf, "l1": inf}
    for _ in range(2):
        for name, options in (("groups", groups), ("l1", {"penalty": csc.L1(0.5)})):
            learner = csc.DictionaryLearning(
                N_ATOMS, (SIDE, SIDE), max_iter=1, tol=0, random_state=seed, **options
            )
            start = process_time()
            learner.fit(X)
            seconds[name] = min(seconds[name], process_time() - start)
    return seconds


def sparsest_basis(atoms, X, size, n_steps=100):
    """Rotate the atoms within each group so that the responses ``D^T x`` have the most kurtosis.

    The penalty does not change if atoms of a group are rotated into each other, so learning leaves
    them in any rotation. Each step maximises a linear lower bound of ``sum(y^4)``, which is convex.
    """
    flat = atoms.astype("float64").reshape(-1, size, SIDE * SIDE)
    responses = flat @ X.astype("float64").reshape(len(X), -1).T
    turns = np.tile(np.eye(size), (len(flat), 1, 1))
    for _ in range(n_steps):
        u, _, v = np.linalg.svd((turns @ responses) ** 3 @ responses.swapaxes(1, 2))
        turns = u @ v
    return (turns @ flat).reshape(atoms.shape).astype(atoms.dtype)


def linear_responses(atoms):
    """Responses (orientations x frequencies, phases, K) to all gratings."""
    waves = gratings(SIDE, ORIENTATIONS, FREQUENCIES, N_PHASES)
    waves = waves.reshape(-1, N_PHASES, SIDE * SIDE)
    return waves @ atoms.reshape(len(atoms), -1).T


def energies(linear, size):
    """Norms of consecutive groups of responses."""
    return np.sqrt((linear.reshape(*linear.shape[:2], -1, size) ** 2).sum(axis=3))


def phase_tuning(responses):
    """Numbers of the units' tuning to phase, at the best orientation and frequency of each."""
    best = responses.max(axis=1).argmax(axis=0)
    tuning = responses[best, :, np.arange(responses.shape[2])]
    top, low = tuning.max(axis=1), tuning.min(axis=1)
    harmonics = abs(np.fft.rfft(tuning, axis=1))
    mean = harmonics[:, 0]
    depth = np.quantile((top - low) / (top + low), [0.25, 0.5, 0.75])
    return {
        "median_depth": float(depth[1]),
        "quartiles_of_depth": [float(depth[0]), float(depth[2])],
        "median_F1_F0": float(np.median(2 * harmonics[:, 1] / mean)),
        "median_F2_F0": float(np.median(2 * harmonics[:, 2] / mean)),
    }


def run(seed, quick=False):
    """Results, and the atoms for the figure."""
    atoms = learn(seed, 2_000, 1) if quick else learn(seed)
    before = float(fit_gabor(atoms).gabor_like.mean())
    atoms = sparsest_basis(atoms, patches(SIDE, N_TURNING, seed + 1), GROUP_SIZE)
    rng, linear = np.random.default_rng(seed), linear_responses(atoms)
    scrambled = linear_responses(phase_scrambled(atoms, rng))
    rectified = np.maximum(linear, 0)
    shuffled = [
        phase_tuning(energies(linear[..., rng.permutation(N_ATOMS)], GROUP_SIZE)) for _ in range(3)
    ]
    fit = fit_gabor(atoms)
    like = fit.gabor_like.reshape(-1, GROUP_SIZE).all(axis=1)
    turns = np.exp(2j * fit.orientation.reshape(-1, GROUP_SIZE)[like])
    results = {
        "gabor_share_as_learned": before,
        "gabor_share": float(fit.gabor_like.mean()),
        "orientation_agreement_in_groups": float(abs(turns.mean(axis=1)).mean())
        if like.any()
        else 0,
        "groups": phase_tuning(energies(linear, GROUP_SIZE)),
        "shuffled_groups": {
            key: [one[key] for one in shuffled] for key in ("median_depth", "median_F2_F0")
        },
        "scrambled_groups": phase_tuning(energies(scrambled, GROUP_SIZE)),
        "single_rectified": phase_tuning(rectified),
        "learning_cpu_seconds": learning_seconds(seed, 500 if quick else 10_000),
    }
    return results, atoms
