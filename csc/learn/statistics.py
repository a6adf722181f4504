"""Sufficient statistics: all that a dictionary update needs to know of the signals coded."""

from typing import NamedTuple

import numpy as np

from csc._device import kernels, namespace


class Statistics(NamedTuple):
    """Sums over coded signals; additive, so exact in any order and on any number of workers."""

    phi: np.ndarray  # (K, K)           sum of z z^T
    psi: np.ndarray  # (K, C * prod s)  sum of z x^T
    energy: float  # sum of 1/2 ||x||^2


def of_codes(signals, codes):
    """Statistics of signals ``(N, C, *s)`` with one-position codes ``(N, K, *1)``, in float64."""
    x, z = signals.reshape(len(signals), -1), codes.reshape(len(codes), -1)
    xp, n_atoms = namespace(x, z), z.shape[1]
    phi, psi = xp.empty((n_atoms, n_atoms)), xp.empty((n_atoms, x.shape[1]))
    kernels(x).statistics(x, z, phi, psi)
    return Statistics(phi, psi, 0.5 * float(xp.einsum("ni,ni->", x, x, dtype="float64")))


def blend(old, new, keep):
    """``keep * old + new``."""
    return Statistics(*(keep * a + b for a, b in zip(old, new, strict=True)))


def data_term(statistics, atoms):
    """``sum 1/2 ||x - D z||^2`` of the signals behind the statistics, for any ``atoms``."""
    d = atoms.reshape(len(atoms), -1).astype("float64")
    phi, psi, energy = statistics
    return energy - float((psi * d).sum()) + 0.5 * float(((phi @ d) * d).sum())


def forget_atoms(statistics, which):
    """Statistics without what they knew of the atoms in the boolean mask ``which``."""
    keep = (~which).astype("float64")
    phi, psi, energy = statistics
    return Statistics(phi * keep * keep[:, None], psi * keep[:, None], energy)
