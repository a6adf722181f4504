"""Replacement of dead atoms by the patches or windows with the largest residual."""

import numpy as np

from csc.constraints import UnitSphere
from csc.operators import Dictionary

CANDIDATES_PER_SAMPLE = 4  # windows examined per dead atom and sample of an atom: many overlap


def replace_dead(atoms, dead, coded, constraint):
    """Replace dead atoms by the worst-coded parts of the signals.

    For patches these are the signals with the largest residual, for larger signals the windows of
    the residual with the largest energy. Windows do not overlap, and none is used twice or has a
    residual of zero. If there are too few of them, the remaining atoms stay.

    Parameters
    ----------
    atoms : array (K, C, *s)
    dead : array (K,), bool
    coded : list of EncodedBatch
    constraint : Constraint

    Returns
    -------
    atoms : array (K, C, *s)
    replaced : array (K,), bool
    """
    number = int(dead.sum())
    found = [
        window for encoded in coded for window in worst_windows(encoded, atoms.shape[2:], number)
    ]
    return fill_places(atoms, dead, found, constraint)


def fill_places(atoms, dead, found, constraint):
    """As `replace_dead`, given the `worst_windows` of all groups."""
    number = int(dead.sum())
    found = sorted(found, key=lambda pair: -pair[0])  # stable: the first of equal energies
    fresh = [window for energy, window in found[:number] if energy > 0]
    replaced = np.flatnonzero(dead)[: len(fresh)]
    atoms = atoms.copy()
    if fresh:
        windows = np.stack(fresh)
        atoms[replaced] = UnitSphere().project(windows)
        size = getattr(constraint, "group_size", 1)
        together = np.flatnonzero(np.isin(np.arange(len(atoms)) // size, replaced // size))
        atoms[together] = constraint.project(atoms[together])
    return atoms, np.isin(np.arange(len(atoms)), replaced)


def worst_windows(encoded, spatial_shape, number):
    """Energy and samples of the worst-coded windows (patches) of one group, an `EncodedBatch`."""
    find = _worst_patches if encoded.problem.structure.is_patch else _worst_windows
    return find(encoded, spatial_shape, number)


def _worst_patches(encoded, spatial_shape, number):  # noqa: ARG001  as _worst_windows
    """Residual energy and samples of the patches with the largest residual."""
    r = encoded.residual()
    energies = (r * r).sum(axis=tuple(range(1, r.ndim)))
    worst = np.argsort(energies, kind="stable")[::-1][:number]
    return [(float(energies[i]), encoded.problem.x[i]) for i in worst]


def _worst_windows(encoded, spatial_shape, number):
    """Energy and samples of the windows of the residual with the most energy, without overlap."""
    r = encoded.residual()
    if any(a < b for a, b in zip(r.shape[2:], spatial_shape, strict=True)):
        return []  # the signals are smaller than an atom
    box = Dictionary(np.ones((1, 1, *spatial_shape), r.dtype))
    energies = box.adjoint((r * r).sum(axis=1, keepdims=True))[:, 0]
    n_candidates = min(energies.size, CANDIDATES_PER_SAMPLE * number * int(np.prod(spatial_shape)))
    worst = np.argpartition(energies.ravel(), -n_candidates)[-n_candidates:]
    worst = worst[np.argsort(-energies.ravel()[worst], kind="stable")]
    places, found = np.empty((0, energies.ndim), int), []
    for i in worst:
        place = np.array(np.unravel_index(i, energies.shape))
        same = places[:, 0] == place[0]
        if (same & (abs(places[:, 1:] - place[1:]) < spatial_shape).all(axis=1)).any():
            continue
        places = np.vstack([places, place])
        n, *corner = place
        own = tuple(slice(a, a + s) for a, s in zip(corner, spatial_shape, strict=True))
        found.append((float(energies.ravel()[i]), r[(n, slice(None), *own)]))
        if len(found) == number:
            break
    return found
