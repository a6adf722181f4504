"""Second moments of sparse codes: the sufficient statistics of a dictionary update.

Codes of neighbouring positions are neighbours in memory, so the codes that a code is multiplied
with are contiguous for each row of lags. One thread works on one atom and writes only to that
atom's rows: sums are the same for any number of threads.
"""

from typing import NamedTuple

import numpy as np

from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.threads import in_batches


class _Codes(NamedTuple):
    """Codes that are not zero, in the order of their flat places (n, v0, v1, v2, k)."""

    position: np.ndarray  # (A,)  flat index (n, v0, v1, v2)
    atom: np.ndarray  # (A,)
    value: np.ndarray  # (A,)  in float64
    first: np.ndarray  # (positions + 1,)  where the codes of each position begin
    by_atom: np.ndarray  # (A,)  codes sorted by atom
    bounds: np.ndarray  # (K + 1,)  where each atom's begin in by_atom


def moments(x, codes, grid, phi, psi):
    """Correlate codes with codes and with signals.

    ``phi[k, j, q - 1 + d] = sum_{n, v} z[n, k, v] z[n, j, v + d]``, ``|d| < q``
    ``psi[k, c, l] = sum_{n, v} z[n, k, v] x[n, c, t v + l]``

    Parameters
    ----------
    x : array (N, C, S0, S1, S2)
        Signals, float32 or float64, in which every atom lies wholly.
    codes : (index, values)
        Flat indices into ``(N, V0, V1, V2, K)``, rising, and the codes there.
    grid : (atom shape, stride, wraps)
        V, t, and whether positions wrap around.
    phi : array (K, K, 2 q0 - 1, 2 q1 - 1, 2 q2 - 1), float64
        Overwritten.
    psi : array (K, C, s0, s1, s2), float64
        Overwritten.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.kernels.cpu.moments import moments
    >>> x, phi, psi = np.ones((1, 1, 1, 1, 4)), np.empty((1, 1, 1, 1, 3)), np.empty((1, 1, 1, 1, 2))
    >>> codes = np.array([0, 1]), np.array([2.0, 3.0])
    >>> moments(x, codes, ((1, 1, 3), (1, 1, 1), False), phi, psi)
    >>> phi.ravel(), psi.ravel()
    (array([ 6., 13.,  6.]), array([5., 5.]))
    """
    (index, values), n_atoms = codes, len(phi)
    phi[...] = 0
    psi[...] = 0
    positions = len(x) * grid[0][0] * grid[0][1] * grid[0][2]
    position, atom = np.divmod(index, n_atoms)
    sorted_codes = _Codes(
        position,
        atom,
        values.astype(np.float64),
        np.searchsorted(index, n_atoms * np.arange(positions + 1)),
        np.argsort(atom, kind="stable"),
        np.append(0, np.cumsum(np.bincount(atom, minlength=n_atoms))),
    )
    in_batches(_moments, n_atoms, x, sorted_codes, grid, phi, psi, min_batch=1)
    # only lags after zero were summed: phi[j, k, -d] is phi[k, j, d]
    mirror = np.flip(phi.swapaxes(0, 1), (2, 3, 4)).copy()
    mirror[:, :, *(n // 2 for n in phi.shape[2:])] = 0
    phi += mirror


@entry()
def _moments(start, stop, x, codes, grid, phi, psi):
    (v0, v1, v2), stride, wraps = grid
    q0, q1 = (phi.shape[2] + 1) // 2, (phi.shape[3] + 1) // 2
    for k in range(start, stop):
        for i in codes.by_atom[codes.bounds[k] : codes.bounds[k + 1]]:
            row, a2 = divmod(codes.position[i], v2)
            plane, a1 = divmod(row, v1)
            n, a0 = divmod(plane, v0)
            place = a0 * stride[0], a1 * stride[1], a2 * stride[2]
            _add_samples(codes.value[i], x[n], place, psi[k])
            for d0 in range(q0):
                for d1 in range(1 - q1 if d0 else 0, q1):
                    b0, b1 = a0 + d0, a1 + d1
                    if wraps:
                        b0, b1 = b0 % v0, b1 % v1
                    elif b0 >= v0 or b1 < 0 or b1 >= v1:
                        continue
                    begin = ((n * v0 + b0) * v1 + b1) * v2
                    lags = phi[k, :, q0 - 1 + d0, q1 - 1 + d1]
                    _add_row(i, a2, codes, (begin, v2), (d0 == d1 == 0, wraps), lags)


@inner()
def _add_samples(code, x, place, psi):
    """Add the samples under an atom to its row of psi."""
    p0, p1, p2 = place
    for c in range(psi.shape[0]):
        for l0 in range(psi.shape[1]):
            for l1 in range(psi.shape[2]):
                source, target = x[c, p0 + l0, p1 + l1], psi[c, l0, l1]
                for l2 in range(target.size):
                    target[l2] += code * source[p2 + l2]


@inner()
def _add_row(i, at, codes, row, kind, lags):
    """Add the products of code i, at ``at`` in its row, with the codes of another row."""
    (begin, length), (same_row, wraps) = row, kind
    max_lag = (lags.shape[1] + 1) // 2 - 1
    low, high = at - (0 if same_row else max_lag), at + max_lag
    turns = (low // length, high // length) if wraps else (0, 0)
    code = codes.value[i]
    for turn in range(turns[0], turns[1] + 1):
        shift = turn * length
        some, last = max(low, shift) - shift, min(high, shift + length - 1) - shift
        centre = max_lag + shift - at - begin
        for j in range(codes.first[begin + some], codes.first[begin + last + 1]):
            lags[codes.atom[j], centre + codes.position[j]] += code * codes.value[j]
