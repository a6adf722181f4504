"""Which atoms of two dictionaries are the same, but for order, sign and shift."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from csc._validate import check_atoms
from csc.dictionary import Dictionary

TOGETHER = 2**24  # correlations held at once


class Match(NamedTuple):
    """The best pairing of atoms a with atoms b.

    Attributes
    ----------
    indices : int array (K_a,)
        Partner in b of each atom of a; -1 where b has too few.
    signs : array (K_a,)
        1 or -1 (0 without a partner).
    shifts : int array (K_a, ndim)
        Where the first sample of the partner lies in the atom of a.
    scores : array (K_a,)
        Cosine of atom and partner, moved and with its sign; 0 without a partner.
    """

    indices: np.ndarray
    signs: np.ndarray
    shifts: np.ndarray
    scores: np.ndarray

    @property
    def score(self):
        """Mean of the scores."""
        return float(self.scores.mean())

    def __repr__(self):
        least = self.scores.min()
        return f"Match({len(self.indices)} atoms, mean score {self.score:.3f}, least {least:.3f})"


def match_dictionaries(a, b, *, shift=True):
    """Pair atoms so that the sum of their cosines, at the best sign and shift, is largest.

        score(j, k) = max_v |sum_l a_j[l] b_k[l - v]| / (||a_j|| ||b_k||)

    Samples that a shift moves out of the atom are lost, so a truncated copy scores below 1.

    Parameters
    ----------
    a, b : arrays (K_a, C, *s_a), (K_b, C, *s_b), float32 or float64, or Dictionary
        Extents may differ.
    shift : bool
        Whether to look at other shifts than none.

    Returns
    -------
    Match

    Raises
    ------
    TypeError, ValueError
        If atoms are not atoms, or their channels or numbers of axes differ.

    References
    ----------
    .. [1] H. W. Kuhn, "The Hungarian method for the assignment problem", Naval Res. Logist.
       Quart. 2, 1955 (as `scipy.optimize.linear_sum_assignment`).

    Examples
    --------
    >>> import numpy as np, csc
    >>> a = np.array([[[0.0, 1.0, 2.0, 0.0]], [[1.0, -1.0, 0.0, 0.0]]])
    >>> b = np.array([[[0.0, 0.0, -1.0, 1.0]], [[1.0, 2.0, 0.0, 0.0]]])
    >>> match = csc.match_dictionaries(a, b)
    >>> match.indices, match.signs, match.shifts.ravel(), match.scores.round(6)
    (array([1, 0]), array([ 1., -1.]), array([ 1, -2]), array([1., 1.]))
    """
    a, b = _unit("a", a), _unit("b", b)
    if a.shape[1] != b.shape[1] or a.ndim != b.ndim:
        raise ValueError(
            f"a and b must have the same channels and axes, got shapes {a.shape} and {b.shape}"
        )
    signed, shifts = _correlations(a, b, shift)
    scores = abs(signed)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    k = len(a)
    match = Match(np.full(k, -1), np.zeros(k), np.zeros((k, a.ndim - 2), int), np.zeros(k))
    match.indices[rows], match.scores[rows] = columns, np.minimum(scores[rows, columns], 1)
    match.signs[rows] = np.where(signed[rows, columns] < 0, -1, 1)
    match.shifts[rows] = shifts[rows, columns]
    return match


def _unit(name, atoms):
    atoms = check_atoms(getattr(atoms, "atoms", atoms), name).astype("float64")
    norms = np.sqrt((atoms**2).sum(axis=tuple(range(1, atoms.ndim)), keepdims=True))
    return atoms / np.where(norms > 0, norms, 1)


def _correlations(a, b, shift):
    """Correlation of largest modulus of every pair, and its shift."""
    extents = tuple(m + n - 1 for m, n in zip(a.shape[2:], b.shape[2:], strict=True))
    lowest, D = np.array(b.shape[2:]) - 1, Dictionary(b, "valid")
    size = max(1, TOGETHER // (len(b) * int(np.prod(extents))))
    signed, shifts = np.empty((len(a), len(b))), np.empty((len(a), len(b), len(extents)), int)
    for start in range(0, len(a), size):
        some = slice(start, start + size)
        c = D.adjoint(a[some])
        if not shift:
            c = c[(..., *(slice(n, n + 1) for n in lowest))]
        flat = c.reshape(*c.shape[:2], -1)
        best = abs(flat).argmax(axis=2)
        signed[some] = np.take_along_axis(flat, best[..., None], axis=2)[..., 0]
        places = np.stack(np.unravel_index(best, c.shape[2:]), axis=-1)
        shifts[some] = places - lowest if shift else 0
    return signed, shifts
