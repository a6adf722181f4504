"""Sufficient statistics of encoded signals: all that a dictionary update needs."""

from typing import NamedTuple

import numpy as np

from csc._backend import kernels, namespace
from csc.data_terms import majoriser
from csc.operators import (
    Dictionary,
    PaddedSignals,
    RestrictedDictionary,
    SparseCodes,
    code_values,
)
from csc.problems import Problem


class Statistics(NamedTuple):
    """Sums over encoded signals.

    Codes of patches have one position; ``phi`` then has no lags and is a matrix.
    """

    phi: np.ndarray  # (K, K, *(2 q - 1))  sum of z_k[v] z_j[v + d], q = ceil(s / t) lags each way
    psi: np.ndarray  # (K, C * prod s)     sum of z_k[v] x[t v + l]
    energy: float  # sum of 1/2 ||x||^2

    @property
    def squares(self):
        """Sum of ``z_k^2``, ``(K,)``."""
        middle = tuple(n // 2 for n in self.phi.shape[2:])
        return self.phi[(..., *middle)].diagonal()


def zeros_like_atoms(atoms, stride=None):
    """Statistics of an empty set of signals; of patches if ``stride`` is None."""
    lags = () if stride is None else lags_of(atoms.shape[2:], stride)
    xp, k = namespace(atoms), len(atoms)
    return Statistics(xp.zeros((k, k, *lags)), xp.zeros((k, atoms[0].size)), 0.0)


def sums_of_codes(problem, codes, weight=None):
    """Statistics of the signals of a `Problem` with their codes, in float64.

    Unobserved samples, behind a mask or beyond a border that atoms overhang, are replaced by
    ``D z``. The data term of these statistics is then a majoriser of that of the problem: equal at
    the current atoms, and no smaller elsewhere. Lowering the one lowers the other. Data terms other
    than plain least squares are replaced by least squares above them in the same way.
    ``weight``, an array ``(N,)``, multiplies the summands of each signal.
    """
    if not problem.structure.is_least_squares:
        return _of_majoriser(problem, codes, weight)
    if weight is not None:  # w ||x - D z||^2 = ||sqrt(w) x - D sqrt(w) z||^2
        x, codes = times_roots(weight, problem.x), times_roots(weight, codes)
        problem = Problem(x, problem.dictionary, problem.penalty, problem.mask)
    if problem.structure.is_patch:
        return _of_patches(problem.x, codes)
    D, ones = problem.dictionary, (1,) * (5 - problem.x.ndim)
    x, codes = (_complete if problem.structure.on_host else _complete_dense)(problem, codes)
    xp, wraps = namespace(x), D.mode == "circular"
    k, lags = D.n_atoms, lags_of(D.atom_shape, D.geometry.stride)
    phi, psi = xp.empty((k, k, *ones, *lags)), xp.empty((k, x.shape[1], *ones, *D.atom_shape))
    grid = (*ones, *codes.shape[2:]), (*ones, *D.geometry.stride), wraps
    kernels(x).moments(x, (codes.index, codes.values), grid, phi, psi)
    own = x[(..., *map(slice, problem.x.shape[2:]))] if wraps else x
    energy = 0.5 * float(xp.einsum("ncijk,ncijk->", own, own, dtype="float64"))
    return Statistics(phi.reshape(k, k, *lags), psi.reshape(k, -1), energy)


def times_roots(weight, a):
    """Signals or codes, dense or sparse, each signal times the square root of its weight."""
    if weight is None:
        return a
    xp = namespace(code_values(a))
    roots = xp.sqrt(xp.asarray(weight)).astype(a.dtype)
    if isinstance(a, SparseCodes):
        return SparseCodes(a.shape, a.index, a.values * roots[a.signals])
    return a * roots.reshape(-1, *(1,) * (a.ndim - 1))


def _of_majoriser(problem, codes, weight):
    """Statistics of the least squares that lie above the data term and touch it at the codes."""
    fit, weights = problem.synthesize(codes), problem.structure.sample_weights
    y, c, constant = majoriser(problem.data_term, problem.x, fit, weights)
    plain = Problem(y, problem.dictionary, problem.penalty)
    if plain.structure.is_patch and isinstance(codes, SparseCodes):
        codes = codes.dense()
    phi, psi, energy = sums_of_codes(plain, codes, weight)
    constant = times_roots(weight, times_roots(weight, constant))
    return Statistics(c * phi, c * psi, c * energy + float(constant.sum()))


def _complete(problem, codes):
    """Padded signals (N, C, P0, P1, P2), with D z where nothing was observed, and sparse codes."""
    codes = SparseCodes.of(codes)
    layout = PaddedSignals(problem.dictionary, problem.x.shape, problem.x.dtype)
    x, mask = layout.observed(problem.x, problem.mask)
    if mask is not None:
        fit = RestrictedDictionary(layout, codes.index).add(codes.values, layout.buffer())
        x = np.where(mask != 0, x, fit)
    return x[layout.inside], codes


def _complete_dense(problem, z):
    """`_complete` for dense codes, on any device."""
    D, shape, xp = problem.dictionary, problem.x.shape, namespace(problem.x)
    x, whole = D.pad(problem.x), D.mode in ("full", "circular")
    if problem.mask is not None or not whole:
        mask = xp.ones(shape, bool) if problem.mask is None else problem.mask != 0
        inside = Dictionary(D.atoms, "full", D.stride, D.sizes)
        wraps = D.mode == "circular"
        fit = D.pad(D(z, shape[2:])) if wraps else inside(z, x.shape[2:])
        x = xp.where(D.pad(xp.broadcast_to(mask, shape)), x, fit)
    volume = *shape[:2], *(1,) * (5 - x.ndim), *x.shape[2:]
    return xp.ascontiguousarray(x).reshape(volume), SparseCodes.of(z)


def _of_patches(signals, codes):
    x, z = signals.reshape(len(signals), -1), codes.reshape(len(codes), -1)
    xp, n_atoms = namespace(x, z), z.shape[1]
    phi, psi = xp.empty((n_atoms, n_atoms)), xp.empty((n_atoms, x.shape[1]))
    kernels(x).statistics(x, z, phi, psi)
    return Statistics(phi, psi, 0.5 * float(xp.einsum("ni,ni->", x, x, dtype="float64")))


def lags_of(spatial_shape, stride):
    """Numbers of lags at which atoms overlap, one per axis."""
    return tuple(2 * -(-s // t) - 1 for s, t in zip(spatial_shape, stride, strict=True))


def add(one, other):
    """Statistics of two sets of signals together."""
    return blend(one, other, 1.0)


def blend(old, new, keep):
    """``keep * old + new``."""
    return Statistics(*(keep * a + b for a, b in zip(old, new, strict=True)))


def correlate(phi, atoms, stride):
    """``sum_j sum_d phi[k, j, q - 1 + d] d_j[l - t d]``: the quadratic form, applied to atoms.

    Parameters
    ----------
    phi : array (B, K, *(2 q - 1)) or (B, K), float64
        Some rows of `Statistics.phi`.
    atoms : array (K, C, *s), float64
    stride : tuple

    Returns
    -------
    array (B, C, *s)
    """
    if phi.ndim == 2:
        return (phi @ atoms.reshape(len(atoms), -1)).reshape(len(phi), *atoms.shape[1:])
    if not atoms.any():
        return namespace(atoms).zeros((len(phi), *atoms.shape[1:]))
    first = [(n // 2) * t for n, t in zip(phi.shape[2:], stride, strict=True)]
    own = (slice(a, a + s) for a, s in zip(first, atoms.shape[2:], strict=True))
    return Dictionary(atoms, "full", stride)(phi)[(..., *own)]


def data_term(statistics, atoms, stride=()):
    """``sum 1/2 ||x - D z||^2`` of the signals of the statistics, for any ``atoms``."""
    d = atoms.astype("float64")
    phi, psi, energy = statistics
    cross, square = psi.reshape(d.shape) * d, correlate(phi, d, stride) * d
    return energy - float(cross.sum()) + 0.5 * float(square.sum())


def forget_atoms(statistics, which):
    """Statistics with all sums of the atoms in the boolean mask ``which`` set to zero."""
    keep = namespace(statistics.phi).asarray(~which, dtype="float64")
    phi, psi, energy = statistics
    rows = keep.reshape(-1, *(1,) * (phi.ndim - 1))
    return Statistics(phi * rows * rows.swapaxes(0, 1), psi * keep[:, None], energy)
