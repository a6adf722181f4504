"""Lifetime and population sparseness of codes for natural patches.

S = (1 - mean(r)^2 / mean(r^2)) / (1 - 1/n) of the responses r >= 0 of one unit to n patches (lifetime)
or of n units to one patch (population): 0 for equal responses, 1 for one response only (Vinje and
Gallant 2000). Controls are the linear responses of the same atoms, and codes and linear responses of
phase-scrambled atoms.
"""

import numpy as np

import csc
from csc.analysis.receptive_fields import phase_scrambled
from demos.v1_in_depth.stimuli import patches

N_PATCHES = 5_000


def sparseness(responses, axis):
    """S along an axis, of the units or patches that have a response at all."""
    n = responses.shape[axis]
    mean, square = responses.mean(axis=axis), (responses**2).mean(axis=axis)
    return ((1 - mean**2 / np.where(square > 0, square, 1)) / (1 - 1 / n))[square > 0]


def medians(responses):
    """Median lifetime and population sparseness of responses (n, K), of which negative ones are 0."""
    responses = np.maximum(responses, 0).astype("float64")
    return {
        "lifetime": float(np.median(sparseness(responses, 0))),
        "population": float(np.median(sparseness(responses, 1))),
    }


def run(atoms, lmbda, seed):
    """Results for atoms learned elsewhere."""
    x = patches(atoms.shape[2], N_PATCHES, seed + 1)
    unit = csc.constraints.UnitSphere().project
    sets = {"learned": atoms, "scrambled": unit(phase_scrambled(atoms, seed))}
    results = {}
    for name, d in sets.items():
        solution = csc.sparse_code(x, d, lmbda, tol=1e-4)
        results[name] = {
            "codes": medians(solution.codes[..., 0, 0]),
            "linear": medians(np.einsum("nchw,kchw->nk", x, d)),
            "nonzero_per_patch": float((solution.codes != 0).sum() / len(x)),
        }
    return results
