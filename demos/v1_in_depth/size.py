"""Size tuning and end-stopping: a code falls when its stimulus outgrows the field.

Gratings of the orientation, frequency, phase and centre of each unit are shown through discs of
growing radius, and through bars of growing length. The linear response ``<d, x>`` cannot fall, since
what is added lies where the field agrees with the grating or is zero. The sparse code falls where
other atoms explain the larger stimulus better.
"""

import numpy as np

import csc
from demos.v1_in_depth.stimuli import coordinates, patches

SIDE, N_ATOMS, N_PATCHES = 16, 512, 30_000
LMBDA = 0.5
MAX_OFFSET = 2.5  # pixels of a unit's centre from the middle of the patch
MAX_SIGMA = 3.0  # pixels: the stimuli must outgrow the field
CONTRASTS = (3.0, 1.0)  # amplitudes of the gratings; whitened photographs have 0.3 on average
RADII = np.arange(1.0, 8.5, 0.5)
SUPPRESSED = 0.1  # least index of a unit that counts as suppressed


def learn(seed, n_patches=N_PATCHES, epochs=6):
    """Atoms (K, 1, side, side), by `csc.L1`."""
    learner = csc.DictionaryLearning(
        N_ATOMS, (SIDE, SIDE), LMBDA,
        constraint=csc.constraints.TaperedBall(1.0),  # fields in the middle, with room around them
        max_iter=epochs, tol=0, random_state=seed,
    )  # fmt: skip
    return learner.fit(patches(SIDE, n_patches, seed)).atoms_


def central_units(fit):
    """Numbers of the Gabor-like units that stimuli in the patch can outgrow."""
    near = np.hypot(fit.x, fit.y) <= MAX_OFFSET
    small = np.maximum(fit.sigma_x, fit.sigma_y) <= MAX_SIGMA
    return np.flatnonzero(fit.gabor_like & near & small)


def grating(fit, unit, orthogonal=False):
    """The unit's grating, and pixels across and along it."""
    turn = np.pi / 2 if orthogonal else 0
    centre = fit.x[unit], fit.y[unit]
    across, along = coordinates(SIDE, centre, fit.orientation[unit] + turn)
    phase = 0 if orthogonal else fit.phase[unit]
    wave = np.cos(2 * np.pi * fit.peak_frequency[unit] * across + phase)
    return wave, across, along


def discs(fit, unit):
    """Gratings in discs of all radii, ``(R, side, side)``."""
    wave, across, along = grating(fit, unit)
    distance = np.hypot(across, along)
    return wave * np.clip(RADII[:, None, None] + 0.5 - distance, 0, 1)


def bars(fit, unit):
    """Gratings as wide as the field and of all half lengths, ``(R, side, side)``."""
    wave, across, along = grating(fit, unit)
    width = np.clip(2 * fit.sigma_x[unit] + 0.5 - abs(across), 0, 1)
    return wave * width * np.clip(RADII[:, None, None] + 0.5 - abs(along), 0, 1)


def responses(atoms, units, stimuli, contrast):
    """Codes and linear responses of each unit to its stimuli, two arrays (U, R)."""
    n = stimuli.shape[1]
    x = contrast * stimuli.reshape(-1, 1, SIDE, SIDE).astype(atoms.dtype)
    codes = np.asarray(csc.sparse_code(x, atoms, LMBDA, tol=1e-5).codes)[..., 0, 0]
    own = np.arange(len(x)), np.repeat(units, n)
    linear = np.einsum("nchw,nchw->n", x, atoms[own[1]])
    signs = np.sign(linear.reshape(-1, n).sum(axis=1, keepdims=True))
    return [np.maximum(r.reshape(-1, n) * signs, 0) for r in (codes[own], linear)]


def suppression(curves):
    """``1 - R(largest) / max R`` of each unit that responds at all."""
    top = curves.max(axis=1)
    return (1 - curves[:, -1] / np.where(top > 0, top, 1))[top > 0]


def summary(curves):
    """Numbers of one kind of curves."""
    index = suppression(curves)
    return {
        "n_units": len(index),
        "share_suppressed": float((index > SUPPRESSED).mean()),
        "mean_index": float(index.mean()),
        "median_index": float(np.median(index)),
    }


def cross_orientation(atoms, fit, units):
    """Median response to the unit's grating with an orthogonal one, relative to it alone."""
    alone = np.stack([discs(fit, unit)[None, 5] for unit in units])
    mask = np.stack([grating(fit, unit, orthogonal=True)[0] for unit in units])[:, None]
    (before, _), (after, _) = (
        responses(atoms, units, x, CONTRASTS[0]) for x in (alone, alone + mask * (alone != 0))
    )
    used = before[:, 0] > 0
    return float(np.median(after[used, 0] / before[used, 0]))


def run(seed, quick=False):
    """Results and the curves for the figure."""
    atoms = learn(seed, 2_000 if quick else N_PATCHES, 1 if quick else 6)
    fit = csc.analysis.receptive_fields.fit_gabor(atoms)
    units = central_units(fit)
    results, curves = {"n_gabor_like": int(fit.gabor_like.sum())}, {}
    if len(units) == 0:
        return results, curves
    for name, make in (("size", discs), ("length", bars)):
        stimuli = np.stack([make(fit, unit) for unit in units])
        codes, linear = responses(atoms, units, stimuli, CONTRASTS[0])
        faint, _ = responses(atoms, units, stimuli, CONTRASTS[1])
        curves[name] = codes, linear
        both = (codes.max(axis=1) > 0) & (faint.max(axis=1) > 0)
        best, best_faint = (RADII[c[both].argmax(axis=1)] for c in (codes, faint))
        results[name] = {
            "codes": summary(codes),
            "linear": summary(linear),
            "best_radius_faint_over_strong": float(np.mean(best_faint) / np.mean(best)),
        }
    results["cross_orientation_ratio"] = cross_orientation(atoms, fit, units)
    return results, curves
