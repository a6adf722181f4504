"""Which atoms of two dictionaries are the same, but for order, sign and shift."""

from typing import Literal, NamedTuple

import numpy as np
from scipy.ndimage import zoom
from scipy.optimize import linear_sum_assignment

from csc._typing import ArrayLike
from csc._validation import check_atoms, check_choice
from csc.operators import Dictionary

TOGETHER = 2**24  # correlations held at once
COLOURS = ("keep", "luminance")
ROUNDING = 1e-6  # of an atom's norm: less luminance than that is none


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
        Cosine of atom and partner, moved and with its sign; 0 without a partner. Norms do not
        enter: the multiple of the partner that is nearest to atom j has the factor
        ``scores[j] ||a_j|| / ||b_k||``.

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.eye(3)[:, None]
    >>> match = csc.analysis.match_dictionaries(atoms, -atoms[[2, 0, 1]])
    >>> match.indices, match.signs
    (array([0, 1, 2]), array([-1., -1., -1.]))
    """

    indices: np.ndarray
    signs: np.ndarray
    shifts: np.ndarray
    scores: np.ndarray

    @property
    def score(self) -> float:
        """Mean of the scores."""
        return float(self.scores.mean())

    def __repr__(self):
        least = self.scores.min()
        return f"Match({len(self.indices)} atoms, mean score {self.score:.3f}, least {least:.3f})"


def match_dictionaries(
    a: ArrayLike | Dictionary,
    b: ArrayLike | Dictionary,
    *,
    shift: bool = True,
    colour: Literal["keep", "luminance"] = "keep",
    resample: bool = False,
) -> Match:
    """Pair atoms so that the sum of their cosines, at the best sign and shift, is largest.

        score(j, k) = max_v |sum_l a_j[l] b_k[l - v]| / (||a_j|| ||b_k||)

    Samples that a shift moves out of the atom are lost, so a truncated copy scores below 1.

    Parameters
    ----------
    a, b : arrays (K_a, C, *s_a), (K_b, C, *s_b), float32 or float64, or Dictionary
        Extents may differ.
    shift : bool
        Whether to look at other shifts than none.
    colour : {"keep", "luminance"}
        Compare all channels, which must then be as many in both and in the same order; or only
        the sum over the channels of each atom: what it answers to grey signals.
    resample : bool
        Where extents differ, stretch both to the larger one on every axis (cubic splines; nothing
        is ever made smaller): patterns are then compared relative to the size of the atom, not by
        samples, and shifts count samples of the stretched atoms.

    Returns
    -------
    Match

    Raises
    ------
    TypeError, ValueError
        If atoms are not atoms, their numbers of axes differ, or their channels where colour is
        kept; if none of a or of b has any luminance, where that is compared; if ``colour`` is
        neither of the two.

    References
    ----------
    .. [1] H. W. Kuhn, "The Hungarian method for the assignment problem", Naval Res. Logist.
       Quart. 2, 1955 (as `scipy.optimize.linear_sum_assignment`).

    Examples
    --------
    >>> import numpy as np, csc
    >>> a = np.array([[[0.0, 1.0, 2.0, 0.0]], [[1.0, -1.0, 0.0, 0.0]]])
    >>> b = np.array([[[0.0, 0.0, -1.0, 1.0]], [[1.0, 2.0, 0.0, 0.0]]])
    >>> match = csc.analysis.match_dictionaries(a, b)
    >>> match.indices, match.signs, match.shifts.ravel(), match.scores.round(6)
    (array([1, 0]), array([ 1., -1.]), array([ 1, -2]), array([1., 1.]))

    The same atom at half the size, and in colour:

    >>> wide = np.array([[[1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0]]])
    >>> small = np.array([[[1.0, -1.0, -1.0, 1.0], [2.0, -2.0, -2.0, 2.0]]])
    >>> csc.analysis.match_dictionaries(wide, small, colour="luminance", resample=True).score.__round__(2)
    0.93
    """
    a, b = comparable(a, b, colour=colour, resample=resample)
    signed, shifts = _correlations(a, b, shift)
    scores = abs(signed)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    k = len(a)
    match = Match(np.full(k, -1), np.zeros(k), np.zeros((k, a.ndim - 2), int), np.zeros(k))
    match.indices[rows], match.scores[rows] = columns, np.minimum(scores[rows, columns], 1)
    match.signs[rows] = np.where(signed[rows, columns] < 0, -1, 1)
    match.shifts[rows] = shifts[rows, columns]
    return match


def comparable(a, b, *, colour="keep", resample=False):
    """Atoms of unit norm, float64, of the same channels and, if resampled, extents."""
    check_choice("colour", colour, COLOURS)
    a, b = (
        check_atoms(getattr(d, "atoms", d), name).astype("float64")
        for name, d in (("a", a), ("b", b))
    )
    if a.ndim != b.ndim or (a.shape[1] != b.shape[1] and colour == "keep"):
        raise ValueError(
            f"a and b must have the same channels and axes, got shapes {a.shape} and {b.shape}; "
            'channels may differ with colour="luminance"'
        )
    if colour == "luminance":
        a, b = _lit("a", a), _lit("b", b)
    if resample:
        extents = tuple(map(max, a.shape[2:], b.shape[2:]))
        a, b = _stretched(a, extents), _stretched(b, extents)
    return unit(a), unit(b)


def luminance(atoms):
    """The part ``(K, 1, *s)`` of atoms that is alike in all channels, times their square root.

    It is orthonormal: the norm of what it keeps is at most that of the atom.
    """
    grey = atoms.sum(axis=1, keepdims=True) / np.sqrt(atoms.shape[1])
    return np.where(_norms(grey) > ROUNDING * _norms(atoms), grey, 0)


def _lit(name, atoms):
    """Luminance of atoms of which at least one has any."""
    grey = luminance(atoms)
    if not grey.any():
        raise ValueError(
            f"{name} has no luminance: each of its {len(atoms)} atoms sums to 0 over the "
            f'{atoms.shape[1]} channels; compare it with atoms of as many channels, colour="keep"'
        )
    return grey


def unit(atoms):
    """Atoms of unit norm; those that are zero stay so."""
    norms = _norms(atoms)
    return atoms / np.where(norms > 0, norms, 1)


def _norms(atoms):
    return np.sqrt((atoms**2).sum(axis=tuple(range(1, atoms.ndim)), keepdims=True))


def _stretched(atoms, extents):
    """Samples are means over cells: the outlines of the atoms coincide, not their outer samples."""
    if atoms.shape[2:] == extents:
        return atoms
    factors = (1, 1, *(m / n for m, n in zip(extents, atoms.shape[2:], strict=True)))
    return zoom(atoms, factors, order=3, mode="nearest", grid_mode=True)


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
