"""What takes the place of an atom that no signal uses: what is coded worst."""

import numpy as np

from csc.operators import Dictionary

CANDIDATES_PER_SAMPLE = (
    4  # candidates looked at for each place that is filled, times the samples of an atom
)


def replace_dead(atoms, dead, coded, constraint):
    """Put what is coded worst in the place of dead atoms.

    Of patches that is the signal with the largest residual, of larger signals the window of a
    residual with the largest energy. None is taken twice, nor one without a residual; windows do
    not overlap. Atoms left over wait.

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
    found = [one for encoded in coded for one in worst_windows(encoded, atoms.shape[2:], number)]
    return fill_places(atoms, dead, found, constraint)


def fill_places(atoms, dead, found, constraint):
    """As `replace_dead`, from what `worst` found in all groups."""
    number = int(dead.sum())
    found = sorted(found, key=lambda one: -one[0])  # stable: of equals the first
    fresh = [window for energy, window in found[:number] if energy > 0]
    replaced = np.flatnonzero(dead)[: len(fresh)]
    atoms = atoms.copy()
    if fresh:
        windows = np.stack(fresh)
        norms = np.sqrt((windows * windows).sum(axis=tuple(range(1, atoms.ndim)), keepdims=True))
        atoms[replaced] = constraint.project(windows / norms)
    return atoms, np.isin(np.arange(len(atoms)), replaced)


def worst_windows(encoded, extents, number):
    """Energy and samples of what is coded worst in one group, a `EncodedBatch`."""
    find = _worst_patches if encoded.problem.structure.is_patch else _worst_windows
    return find(encoded, extents, number)


def _worst_patches(encoded, extents, number):  # noqa: ARG001  as _worst_windows
    """Energy of the residual and the patch itself, of the worst ones."""
    r = encoded.problem.residual(encoded.z)
    energies = (r * r).sum(axis=tuple(range(1, r.ndim)))
    worst = np.argsort(energies, kind="stable")[::-1][:number]
    return [(float(energies[i]), encoded.problem.x[i]) for i in worst]


def _worst_windows(encoded, extents, number):
    """Energy and samples of the worst windows of the residual, which do not overlap."""
    r = encoded.problem.residual(encoded.z)
    if any(a < b for a, b in zip(r.shape[2:], extents, strict=True)):
        return []  # smaller than an atom
    box = Dictionary(np.ones((1, 1, *extents), r.dtype))
    energies = box.adjoint((r * r).sum(axis=1, keepdims=True))[:, 0]
    crowd = min(energies.size, CANDIDATES_PER_SAMPLE * number * int(np.prod(extents)))
    worst = np.argpartition(energies.ravel(), -crowd)[-crowd:]
    worst = worst[np.argsort(-energies.ravel()[worst], kind="stable")]
    places, found = np.empty((0, energies.ndim), int), []
    for i in worst:
        place = np.array(np.unravel_index(i, energies.shape))
        same = places[:, 0] == place[0]
        if (same & (abs(places[:, 1:] - place[1:]) < extents).all(axis=1)).any():
            continue
        places = np.vstack([places, place])
        n, *corner = place
        own = tuple(slice(a, a + s) for a, s in zip(corner, extents, strict=True))
        found.append((float(energies.ravel()[i]), r[(n, slice(None), *own)]))
        if len(found) == number:
            break
    return found
