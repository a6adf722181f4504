"""Diagnostics of the atoms: which are unused, duplicates of one another, or off-centre."""

from dataclasses import dataclass

import numpy as np

from csc.operators import Dictionary

MIN_DUPLICATE_COSINE = 0.95  # of two atoms at the best shift and sign


@dataclass(frozen=True)
class Diagnostics:
    """Report on the atoms of a learner.

    Attributes
    ----------
    share : array (K,)
        Fraction of the energy of all codes that is on each atom.
    unused : array (K,)
        Code positions (patches: signals) seen since the atom was last used.
    duplicates : list of (i, j, cosine)
        Pairs of atoms that are equal but for shift and sign (cosine above 0.95).
    drift : array (K,)
        Distance of the centre of energy from the middle of the atom, relative to its size;
        an atom above 0.25 is cut off by its window.
    """

    MAX_DRIFT = 0.25  # of a centred atom, relative to its size

    share: np.ndarray
    unused: np.ndarray
    duplicates: list
    drift: np.ndarray

    @property
    def dead(self):
        """Indices of the atoms without non-zero codes."""
        return np.flatnonzero(self.share == 0)

    @property
    def off_centre(self):
        """Indices of the atoms whose centre of energy is far from the middle."""
        return np.flatnonzero(self.drift > self.MAX_DRIFT)

    def __repr__(self):
        return (
            f"Diagnostics({len(self.share)} atoms: {len(self.dead)} dead, {len(self.duplicates)} "
            f"pairs of duplicates, {len(self.off_centre)} off-centre, most used "
            f"{self.share.max():.1%} of the energy)"
        )


def examine(atoms, squares, unused):
    """`Diagnostics` of atoms ``(K, C, *s)`` with the energies ``(K,)`` of their codes."""
    share = squares / max(squares.sum(), np.finfo(float).tiny)
    return Diagnostics(share, unused.copy(), find_duplicates(atoms), drift_of(atoms))


def find_duplicates(atoms):
    """Pairs ``(i, j, cosine)`` of atoms that are equal but for shift and sign."""
    if not atoms.any():
        return []
    norms = np.sqrt((atoms.reshape(len(atoms), -1).astype("float64") ** 2).sum(axis=1))
    g = Dictionary(atoms).gram()
    cosines = abs(g).max(axis=tuple(range(2, g.ndim))) / np.maximum(np.outer(norms, norms), 1e-300)
    pairs = np.argwhere(np.triu(cosines > MIN_DUPLICATE_COSINE, 1))
    return [(int(i), int(j), float(cosines[i, j])) for i, j in pairs]


def drift_of(atoms):
    """Distance ``(K,)`` of each atom's centre of energy from its middle, relative to its size."""
    shift = centres(atoms) / np.array(atoms.shape[2:])
    return np.sqrt((shift**2).sum(axis=1))


def centres(atoms):
    """Centre of energy of each atom relative to its middle, in samples ``(K, ndim)``."""
    energy = (atoms.astype("float64") ** 2).sum(axis=1)
    total = energy.reshape(len(atoms), -1).sum(axis=1)
    out = np.zeros((len(atoms), energy.ndim - 1))
    for axis, s in enumerate(atoms.shape[2:]):
        others = tuple(a + 1 for a in range(energy.ndim - 1) if a != axis)
        out[:, axis] = energy.sum(axis=others) @ (np.arange(s) - (s - 1) / 2)
    return out / np.where(total > 0, total, 1)[:, None]


def lesser_duplicates(atoms, squares):
    """Mask ``(K,)`` of atoms with a more used duplicate; ``squares`` are the energies of their codes."""
    close = np.zeros((len(atoms), len(atoms)), bool)
    for i, j, _ in find_duplicates(atoms):
        close[i, j] = close[j, i] = True
    return less_used(close, squares)


def less_used(close, squares):
    """Mask ``(K,)`` of atoms close to a more used one that stays; ``close`` is symmetric, ``(K, K)``.

    In a chain, whose neighbours are close and whose ends are not, only every second atom goes.
    """
    order = np.argsort(-squares, kind="stable")  # the most used atoms first
    goes = np.zeros(len(close), bool)
    for rank, k in enumerate(order):
        above = order[:rank]
        goes[k] = (close[k, above] & ~goes[above]).any()
    return goes
