"""Orthogonal matching pursuit of patches with missing pixels, and the sum of overlapping patches.

Each patch has its own mask, so there is no common Gram matrix: only the seen pixels of an atom
count, and correlations are computed from the residual at every step.
"""

from typing import NamedTuple

import numpy as np

from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.inverse_cholesky import OPTIONS, largest
from csc.kernels.cpu.threads import in_batches, inputs

FAINT = 0.15**2  # minimum squared norm of the seen part of an atom of a reconstructed patch
DEPENDENT = 1e-6  # minimum squared distance of that part from the span of the selected, of its own
ROUNDING = 1e-28  # of the energy of a signal in float64: a residual below it is none
SCORES, INVERSE_NORMS, FOLD = range(3)  # rows of ``lists``: vectors over all atoms
STOPPING_RULE, LINEARLY_DEPENDENT = range(2)


class _Rule(NamedTuple):
    """When a pursuit stops.

    Attributes
    ----------
    lmbda : float
        The next atom would decrease 1/2 ||r||^2 by at most this.
    energy : float
        ||r||^2 is at most this.
    most : int
        So many atoms were selected.
    dependent : float
        The next atom, without its part in the span of the selected, has at most this share of its
        squared norm.
    """

    lmbda: float
    energy: float
    most: int
    dependent: float


def omp_seen(x, seen, atoms, lmbda, n_nonzero, energy, z):
    """Code each signal from the values seen; as `omp_gram`, with a mask for each signal.

    Parameters
    ----------
    x, seen : arrays (N, n)
        Signals, and 1 where a value was seen.
    atoms : array (K, n)
        In float64 the pursuit computes in float64, whatever the precision of the signals.
    lmbda, n_nonzero, energy
        Stopping rules, as in `omp_gram`.
    z : array (N, K)
        Codes, the answer.

    Returns
    -------
    ends : array (N,) of int8
        Why each signal stopped: 0, one of the rules; 1, the best atom is linearly dependent on the
        selected ones.
    """
    ends = np.empty(len(z), np.int8)
    eps = np.finfo(atoms.dtype).eps
    rule = _Rule(
        float(lmbda), max(float(energy), 0.0), min(int(n_nonzero), len(atoms)), 64 * float(eps)
    )
    most = min(rule.most, x.shape[1])
    in_batches(
        _code_all, len(x), *inputs(x, seen, atoms.T), rule, z, ends,
        min_batch=32, scratch=lambda: (_work(atoms, most),),
    )  # fmt: skip
    return ends


class _Work(NamedTuple):
    """What a thread computes with."""

    lists: np.ndarray  # vectors over all atoms
    at: np.ndarray  # the values seen
    residual: np.ndarray
    directions: np.ndarray  # the selected atoms, orthonormalised, as rows
    triangle: np.ndarray
    taken: np.ndarray  # the selected atoms
    codes: np.ndarray


def _work(atoms, most):
    n_atoms, n = atoms.shape
    return _Work(
        np.empty((3, n_atoms), atoms.dtype), np.empty(n, np.intp), np.empty(n, atoms.dtype),
        np.empty((most + 1, n)), np.empty((most + 1, most + 1)), np.empty(most, np.intp),
        np.empty(most),
    )  # fmt: skip


@entry(**OPTIONS)
def _code_all(start, stop, x, seen, by_pixel, rule, z, ends, work):
    n_atoms, most = by_pixel.shape[1], work.codes.size
    taken, codes = work.taken, work.codes
    for i in range(start, stop):
        m, squares = _take_seen(x, seen, i, work.at, work.residual)
        _weigh(by_pixel, work.at, m, 0.0, work.lists)
        stopping = _Rule(
            rule.lmbda, max(rule.energy, ROUNDING * squares), min(most, m), rule.dependent
        )
        count, ends[i] = _pursue(by_pixel, m, stopping, work)
        for k in range(n_atoms):
            z[i, k] = 0
        for a in range(count):
            z[i, taken[a]] = codes[a]


@inner(**OPTIONS)
def _take_seen(x, seen, i, at, residual):
    """List the values seen of signal ``i``; returns how many, and the sum of their squares."""
    m, squares = 0, 0.0
    for j in range(x.shape[1]):
        if seen[i, j] != 0:
            at[m] = j
            residual[m] = x[i, j]
            squares += np.float64(x[i, j]) * np.float64(x[i, j])
            m += 1
    return m, squares


def omp_masked(x, seen, atoms, energy, n_nonzero, out, counts):
    """Code each patch from its seen pixels; write the reconstruction at all pixels.

    The pursuit of a patch stops at ||r||^2 <= ``energy`` x (number of seen pixels), at ``n_nonzero`` atoms, or at
    half as many atoms as it has seen pixels.

    Parameters
    ----------
    x, seen : arrays (N, n)
        Patches, and 1 where a pixel was seen.
    atoms : array (K, n)
        Of unit norm.
    energy, n_nonzero : float, int
    out : array (N, n)
        The reconstruction, at all pixels.
    counts : array (N,) of int
        Number of atoms selected for each patch.
    """
    most = min(int(n_nonzero), len(atoms))
    by_pixel = atoms.T.astype(x.dtype)
    in_batches(
        _pursue_all, len(x), *inputs(x, seen, by_pixel), energy, most, out, counts,
        scratch=lambda: (_work(by_pixel.T, most),),
    )  # fmt: skip


@entry(**OPTIONS)
def _pursue_all(start, stop, x, seen, by_pixel, energy, most, out, counts, work):
    n, taken, codes = len(by_pixel), work.taken, work.codes
    for i in range(start, stop):
        m, _ = _take_seen(x, seen, i, work.at, work.residual)
        _weigh(by_pixel, work.at, m, FAINT, work.lists)
        rule = _Rule(0.0, energy * m, min(most, max(1, m // 2)), DEPENDENT)
        count, _ = _pursue(by_pixel, m, rule, work)
        counts[i] = count
        for j in range(n):
            total = 0.0
            for a in range(count):
                total += codes[a] * by_pixel[j, taken[a]]
            out[i, j] = total


@inner(**OPTIONS)
def _weigh(by_pixel, at, m, faint, lists):
    """Compute the inverse squared norms of the seen parts of the atoms; 0 up to ``faint``."""
    inverse_norms = lists[INVERSE_NORMS]
    for k in range(len(inverse_norms)):
        inverse_norms[k] = 0
    for j in range(m):
        row = by_pixel[at[j]]
        for k in range(len(inverse_norms)):
            inverse_norms[k] += row[k] * row[k]
    for k in range(len(inverse_norms)):
        inverse_norms[k] = 1 / inverse_norms[k] if inverse_norms[k] > faint else 0


@inner(**OPTIONS)
def _best(by_pixel, at, m, residual, noise, lists):
    """Return the atom that reduces the squared residual most, or -1 if that is rounding."""
    scores, inverse_norms, folded = lists[SCORES], lists[INVERSE_NORMS], lists[FOLD]
    for k in range(len(scores)):
        scores[k] = 0
    for j in range(m):
        row, r = by_pixel[at[j]], residual[j]
        for k in range(len(scores)):
            scores[k] += r * row[k]
    for k in range(len(scores)):
        scores[k] = scores[k] * scores[k] * inverse_norms[k]
        folded[k] = scores[k]
    top = largest(len(scores), folded)
    if top > noise:
        for k in range(len(scores)):
            if scores[k] == top:
                return k
    return -1


@inner(**OPTIONS)
def _pursue(by_pixel, m, rule, work):
    """Select atoms, orthonormalised on the seen pixels, until a rule; return count and reason."""
    lists, at, residual, directions, triangle, taken, codes = work
    energy = _product(residual, residual, m)
    noise = (16 * np.finfo(by_pixel.dtype).eps) ** 2 * energy
    count, end = 0, STOPPING_RULE
    while count < rule.most and energy > rule.energy:
        k = _best(by_pixel, at, m, residual, noise, lists)
        if k < 0:
            break
        for j in range(m):
            directions[count, j] = by_pixel[at[j], k]
        norm = _make_orthonormal(count, m, directions, triangle)
        fit = _product(directions[count], residual, m)
        if 0.5 * fit * fit <= rule.lmbda:
            break
        if norm * norm * lists[INVERSE_NORMS, k] <= rule.dependent:
            end = LINEARLY_DEPENDENT
            break
        for j in range(m):
            residual[j] -= fit * directions[count, j]
        energy -= fit * fit
        codes[count], taken[count] = fit, k
        lists[INVERSE_NORMS, k] = 0
        count += 1
    for a in range(count - 1, -1, -1):
        for b in range(a + 1, count):
            codes[a] -= triangle[a, b] * codes[b]
        codes[a] /= triangle[a, a]
    return count, end


@inner(**OPTIONS)
def _product(a, b, m):
    """Inner product of the first ``m`` values."""
    total = 0.0
    for j in range(m):
        total += a[j] * b[j]
    return total


@inner(**OPTIONS)
def _make_orthonormal(count, m, directions, triangle):
    """Gram-Schmidt step for direction ``count``; return the norm of its orthogonal part."""
    q = directions[count]
    for a in range(count):
        product = 0.0
        for j in range(m):
            product += directions[a, j] * q[j]
        triangle[a, count] = product
        for j in range(m):
            q[j] -= product * directions[a, j]
    norm = 0.0
    for j in range(m):
        norm += q[j] * q[j]
    norm = np.sqrt(norm)
    triangle[count, count] = norm
    if norm > 0:
        for j in range(m):
            q[j] /= norm
    return norm


def add_patches(patches, weights, rows, columns, sums, totals):
    """Add patches ``(R, Q, C, p, p)`` with weights ``(R, Q)`` at positions rows x columns.

    ``sums`` (C, H, W) accumulates weighted patches and ``totals`` (H, W) weights, in float64.
    """
    _add_patches(*inputs(patches, weights, rows, columns), sums, totals)


@entry(**OPTIONS)
def _add_patches(patches, weights, rows, columns, sums, totals):
    n_rows, n_columns, channels, size, wide = patches.shape
    for r in range(n_rows):
        for q in range(n_columns):
            weight = weights[r, q]
            for i in range(size):
                for j in range(wide):
                    totals[rows[r] + i, columns[q] + j] += weight
                    for c in range(channels):
                        sums[c, rows[r] + i, columns[q] + j] += weight * patches[r, q, c, i, j]
