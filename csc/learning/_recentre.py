"""Recentring of atoms: move the windows of off-centre atoms to where their energy is."""

import numpy as np

from csc._backend import kernels
from csc.learning._statistics import times_roots
from csc.operators import SparseCodes

MIN_ENERGY_RATIO = 1.02  # of a window to the current one, above which an atom is moved


def recentre(atoms, batch):
    """Move the window of each atom to where most of its energy is, and its codes with it.

    The residual around the codes shows how an atom continues beyond its window:
    ``e = d + (sum_v z[v] r[v + l]) / sum_v z[v]^2``, for l up to half an atom outside. The window
    of ``e`` with the largest norm becomes the atom.

    Parameters
    ----------
    atoms : array (K, C, *s)
    batch : Batch
        With stride 1.

    Returns
    -------
    atoms : array (K, C, *s)
        Moved atoms are not yet projected onto their constraint.
    codes : list
        Of the batch, shifted against their atoms; those shifted out of their signal are dropped.
    moved : array (K,), bool
    """
    reach = [s // 2 for s in atoms.shape[2:]]
    sums, squares = batch.extended_window_sums(reach)
    squares = np.where(squares > 0, squares, np.inf).reshape(-1, *(1,) * (atoms.ndim - 1))
    border = [(0, 0), (0, 0), *((m, m) for m in reach)]
    wide = (np.pad(atoms, border) + sums / squares).astype(atoms.dtype)
    shifts = _best_windows(wide, atoms.shape[2:], reach)
    moved, out = shifts.any(axis=1), atoms.copy()
    for k in np.flatnonzero(moved):
        corners = zip(shifts[k], reach, atoms.shape[2:], strict=True)
        own = tuple(slice(m + a, m + a + s) for a, m, s in corners)
        out[k] = wide[(k, slice(None), *own)]
    return out, batch.shift_codes(shifts), moved


def extended_window_sums(encoded, reach):
    """Correlation of the codes with the residual, on extended windows of the atoms.

    Parameters
    ----------
    encoded : EncodedBatch
    reach : list of int
        Samples beyond the window, one number per axis.

    Returns
    -------
    sums : array (K, C, *(s + 2 reach)), float64
        ``sum_v z[v] r[v + l]``.
    squares : array (K,), float64
        Energy of the codes, times the observed fraction of the samples.
    """
    problem, z = encoded.problem, times_roots(encoded.weight, SparseCodes.of(encoded.z))
    D, r = problem.dictionary, encoded.residual()
    k, c = D.atoms.shape[:2]
    ones = 5 - r.ndim
    spatial_shape = [s + 2 * m for s, m in zip(D.atom_shape, reach, strict=True)]
    border = {"mode": "wrap"} if D.mode == "circular" else {}
    high = D.geometry.high(r.shape[2:])
    sides = zip(D.geometry.low, high, reach, strict=True)
    r = np.pad(r, [(0, 0), (0, 0), *((a + m, b + m) for a, b, m in sides)], **border)
    phi, psi = np.empty((k, k, 1, 1, 1)), np.empty((k, c, *(1,) * ones, *spatial_shape))
    r = r.reshape(*r.shape[:2], *(1,) * ones, *r.shape[2:])
    grid = (*(1,) * ones, *z.shape[2:]), (1, 1, 1), D.mode == "circular"
    kernels(r).moments(r, (z.index, z.values), grid, phi, psi)
    seen = 1.0 if problem.mask is None else float(problem.mask.mean())
    return psi.reshape(k, c, *spatial_shape), seen * phi[:, :, 0, 0, 0].diagonal()


def _best_windows(wide, spatial_shape, reach):
    """Shift of each window, ``(K, ndim)``; 0 where the gain is negligible."""
    energy = (wide.astype("float64") ** 2).sum(axis=1)
    axes = tuple(range(1, energy.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(energy, spatial_shape, axes)
    sums = windows.sum(axis=tuple(range(energy.ndim, windows.ndim)))
    flat, here = sums.reshape(len(sums), -1), sums[(slice(None), *reach)]
    best = np.stack(np.unravel_index(flat.argmax(axis=1), sums.shape[1:]), axis=-1) - reach
    return np.where((flat.max(axis=1) > MIN_ENERGY_RATIO * here)[:, None], best, 0)


def shift_codes(encoded, shifts):
    """Codes of an `EncodedBatch`, shifted with the windows of their atoms."""
    z = SparseCodes.of(encoded.z)
    n, k, *v = z.coordinates
    spatial_shape = np.array(z.shape[2:])
    places = np.stack(v, axis=-1) + shifts[k]
    if encoded.problem.dictionary.mode == "circular":
        places %= spatial_shape
    kept = ((places >= 0) & (places < spatial_shape)).all(axis=1)
    axes = (n[kept], *places[kept].T, k[kept])
    index = np.ravel_multi_index(axes, (z.shape[0], *z.shape[2:], z.shape[1]))
    order = np.argsort(index)
    new = SparseCodes(z.shape, index[order], z.values[kept][order])
    return new if isinstance(encoded.z, SparseCodes) else new.dense()
