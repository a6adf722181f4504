"""How the atoms fare: which are idle, which are twins, which drift out of their window."""

from dataclasses import dataclass

import numpy as np

from csc.operators import Dictionary

TWINS = 0.95  # cosine, at the best shift and sign


@dataclass(frozen=True)
class Diagnostics:
    """Report on the atoms of a learner.

    Attributes
    ----------
    share : array (K,)
        Of the energy of all codes, each atom's part.
    idle : array (K,)
        Code positions (patches: signals) seen since the atom was last used.
    twins : list of (i, j, cosine)
        Pairs of atoms that are one but for shift and sign (cosine above 0.95).
    drift : array (K,)
        Distance of the centre of energy from the middle of the atom, in its extents; above 0.25
        it has begun to leave its window.
    """

    ASTRAY = 0.25  # of its extents, distance of an atom's centre from the middle

    share: np.ndarray
    idle: np.ndarray
    twins: list
    drift: np.ndarray

    @property
    def dead(self):
        """Atoms that no code uses."""
        return np.flatnonzero(self.share == 0)

    @property
    def astray(self):
        """Atoms whose centre is far from the middle."""
        return np.flatnonzero(self.drift > self.ASTRAY)

    def __repr__(self):
        return (
            f"Health({len(self.share)} atoms: {len(self.dead)} dead, {len(self.twins)} pairs of "
            f"twins, {len(self.astray)} astray, most used {self.share.max():.1%} of the energy)"
        )


def examine(atoms, squares, idle):
    """`Diagnostics` of atoms ``(K, C, *s)`` with the energies ``(K,)`` of their codes."""
    share = squares / max(squares.sum(), np.finfo(float).tiny)
    return Diagnostics(share, idle.copy(), find_twins(atoms), drift_of(atoms))


def find_twins(atoms):
    """Pairs ``(i, j, cosine)`` of atoms that are one but for shift and sign."""
    if not atoms.any():
        return []
    norms = np.sqrt((atoms.reshape(len(atoms), -1).astype("float64") ** 2).sum(axis=1))
    g = Dictionary(atoms).gram()
    cosines = abs(g).max(axis=tuple(range(2, g.ndim))) / np.maximum(np.outer(norms, norms), 1e-300)
    pairs = np.argwhere(np.triu(cosines > TWINS, 1))
    return [(int(i), int(j), float(cosines[i, j])) for i, j in pairs]


def drift_of(atoms):
    """Distance of each atom's centre of energy from its middle, in its extents ``(K,)``."""
    shift = centres(atoms) / np.array(atoms.shape[2:])
    return np.sqrt((shift**2).sum(axis=1))


def centres(atoms):
    """Centre of energy of each atom, from its middle, in samples ``(K, ndim)``."""
    energy = (atoms.astype("float64") ** 2).sum(axis=1)
    total = energy.reshape(len(atoms), -1).sum(axis=1)
    out = np.zeros((len(atoms), energy.ndim - 1))
    for axis, s in enumerate(atoms.shape[2:]):
        others = tuple(a + 1 for a in range(energy.ndim - 1) if a != axis)
        out[:, axis] = energy.sum(axis=others) @ (np.arange(s) - (s - 1) / 2)
    return out / np.where(total > 0, total, 1)[:, None]


def lesser_twins(atoms, squares):
    """Of each pair of twins the one whose codes have less energy, bool (K,)."""
    lesser = np.zeros(len(atoms), bool)
    for i, j, _ in find_twins(atoms):
        lesser[i if squares[i] < squares[j] else j] = True
    return lesser
