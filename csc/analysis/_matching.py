"""Match the atoms of two dictionaries up to order, sign and shift."""

from typing import Literal, NamedTuple

import numpy as np
from scipy.ndimage import zoom
from scipy.optimize import linear_sum_assignment

from csc._typing import ArrayLike
from csc._validation import check_atoms, check_choice
from csc.operators import Dictionary

MAX_CORRELATIONS = 2**24  # held in memory at once: 128 MiB
COLOUR_CHOICES = ("keep", "luminance")
MIN_RELATIVE_LUMINANCE = 1e-6  # of an atom's norm; a smaller luminance is rounding error


class Match(NamedTuple):
    """The best pairing of atoms a with atoms b.

    Attributes
    ----------
    indices : int array (K_a,)
        Index in b of the partner of each atom of a; -1 without a partner, where b has fewer atoms.
    signs : array (K_a,)
        1 or -1 (0 without a partner).
    shifts : int array (K_a, ndim)
        Position of the first sample of the partner in the atom of a.
    scores : array (K_a,)
        Absolute cosine between the atom and its shifted partner; 0 without a partner. Norms do
        not matter: atom j is best approximated by its shifted partner b_k times
        ``signs[j] scores[j] ||a_j|| / ||b_k||``.

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
        low = self.scores.min()
        return f"Match({len(self.indices)} atoms, mean score {self.score:.3f}, min {low:.3f})"


def match_dictionaries(
    a: ArrayLike | Dictionary,
    b: ArrayLike | Dictionary,
    *,
    shift: bool = True,
    colour: Literal["keep", "luminance"] = "keep",
    resample: bool = False,
) -> Match:
    """Pair the atoms of two dictionaries so that the sum of their cosines is maximal.

    The cosine of a pair is taken at its best sign and shift:

        score(j, k) = max_v |sum_l a_j[l] b_k[l - v]| / (||a_j|| ||b_k||)

    A shift moves samples out of the atom, so a truncated copy scores below 1.

    Parameters
    ----------
    a, b : arrays (K_a, C, *s_a), (K_b, C, *s_b), float32 or float64, or Dictionary
        The spatial shapes may differ.
    shift : bool
        Whether to search over shifts.
    colour : {"keep", "luminance"}
        "keep" compares all channels: their number and order must be the same in both.
        "luminance" compares the sum over the channels of each atom, its response to grey signals.
    resample : bool
        Where the spatial shapes differ, enlarge both to the larger extent on every axis (cubic
        splines). Patterns are then compared relative to the size of the atom, and shifts are in
        samples of the enlarged atoms.

    Returns
    -------
    Match

    Raises
    ------
    TypeError, ValueError
        If a or b are not atoms; if their numbers of axes differ, or with colour="keep" their
        channels; if with colour="luminance" all atoms of a or of b have none; if ``colour`` has
        another value.

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
    a, b = comparable_atoms(a, b, colour=colour, resample=resample)
    signed, shifts = _correlations(a, b, shift)
    scores = abs(signed)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    k = len(a)
    match = Match(np.full(k, -1), np.zeros(k), np.zeros((k, a.ndim - 2), int), np.zeros(k))
    match.indices[rows], match.scores[rows] = columns, np.minimum(scores[rows, columns], 1)
    match.signs[rows] = np.where(signed[rows, columns] < 0, -1, 1)
    match.shifts[rows] = shifts[rows, columns]
    return match


def comparable_atoms(a, b, *, colour="keep", resample=False):
    """Return both as float64 atoms of unit norm with the same channels (and size, if resampled)."""
    check_choice("colour", colour, COLOUR_CHOICES)
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
        a, b = _checked_luminance("a", a), _checked_luminance("b", b)
    if resample:
        spatial_shape = tuple(map(max, a.shape[2:], b.shape[2:]))
        a, b = _enlarged(a, spatial_shape), _enlarged(b, spatial_shape)
    return unit(a), unit(b)


def luminance(atoms):
    """Luminance of atoms, ``(K, 1, *s)``: the sum over the C channels divided by ``sqrt(C)``.

    This is an orthogonal projection, so its norm is at most that of the atom.
    """
    grey = atoms.sum(axis=1, keepdims=True) / np.sqrt(atoms.shape[1])
    return np.where(_norms(grey) > MIN_RELATIVE_LUMINANCE * _norms(atoms), grey, 0)


def _checked_luminance(name, atoms):
    """Luminance of atoms, not all zero."""
    grey = luminance(atoms)
    if not grey.any():
        raise ValueError(
            f"{name} has no luminance: each of its {len(atoms)} atoms sums to 0 over the "
            f'{atoms.shape[1]} channels; compare it with atoms of as many channels, colour="keep"'
        )
    return grey


def unit(atoms):
    """Normalise atoms to unit norm; zero atoms stay zero."""
    largest = abs(atoms).max(axis=tuple(range(1, atoms.ndim)), keepdims=True)
    atoms = atoms / np.where(largest > 0, largest, 1)  # squares neither overflow nor underflow
    norms = _norms(atoms)
    return atoms / np.where(norms > 0, norms, 1)


def _norms(atoms):
    return np.sqrt((atoms**2).sum(axis=tuple(range(1, atoms.ndim)), keepdims=True))


def _enlarged(atoms, spatial_shape):
    """Atoms resampled to a larger spatial shape.

    Samples are taken as means over cells, so that the borders of the atoms coincide, not the
    centres of their outer samples.
    """
    if atoms.shape[2:] == spatial_shape:
        return atoms
    factors = (1, 1, *(m / n for m, n in zip(spatial_shape, atoms.shape[2:], strict=True)))
    return zoom(atoms, factors, order=3, mode="nearest", grid_mode=True)


def _correlations(a, b, shift):
    """Correlation of largest modulus for every pair, and its shift."""
    spatial_shape = tuple(m + n - 1 for m, n in zip(a.shape[2:], b.shape[2:], strict=True))
    lowest, D = np.array(b.shape[2:]) - 1, Dictionary(b, "valid")
    size = max(1, MAX_CORRELATIONS // (len(b) * int(np.prod(spatial_shape))))
    signed, shifts = np.empty((len(a), len(b))), np.empty((len(a), len(b), len(spatial_shape)), int)
    for start in range(0, len(a), size):
        rows = slice(start, start + size)
        c = D.adjoint(a[rows])
        if not shift:
            c = c[(..., *(slice(n, n + 1) for n in lowest))]
        flat = c.reshape(*c.shape[:2], -1)
        best = abs(flat).argmax(axis=2)
        signed[rows] = np.take_along_axis(flat, best[..., None], axis=2)[..., 0]
        positions = np.stack(np.unravel_index(best, c.shape[2:]), axis=-1)
        shifts[rows] = positions - lowest if shift else 0
    return signed, shifts
