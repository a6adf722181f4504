"""Second moments of sparse codes on the GPU: as ``csc.kernels.cpu.moments``."""

from math import prod

import cupy as cp
import numpy as np

from csc.kernels.gpu.launch import THREE, c_name, launch, shape_of, up

CODES = np.dtype([("atoms", "i4"), ("wraps", "i4"), ("lags", *THREE)])
MIN_BLOCKS = 512  # about as many keep a device busy
MAX_SCRATCH_BYTES = 2**28  # for partial sums


def moments(x, codes, grid, phi, psi):
    """Correlate codes with codes and with signals.

    Arguments as in `csc.kernels.cpu.moments`, CuPy arrays.
    """
    (index, values), (positions, stride, wraps) = codes, grid
    n_atoms, places = len(phi), len(x) * prod(positions)
    position, atom = index // n_atoms, index % n_atoms
    by_atom = cp.argsort(atom * len(index) + cp.arange(len(index)))  # no two alike
    bounds = cp.searchsorted(atom[by_atom], cp.arange(n_atoms + 1))
    first = cp.searchsorted(index, n_atoms * cp.arange(places + 1))
    parts = max(1, min(up(MIN_BLOCKS, n_atoms), MAX_SCRATCH_BYTES // (phi.nbytes + psi.nbytes)))
    phis, psis = cp.zeros((parts, *phi.shape)), cp.zeros((parts, *psi.shape))
    z = cp.empty((len(x), 0, *positions), x.dtype)  # only its shape counts
    shape = shape_of(x, psi, z, stride)
    lags = tuple((q + 1) // 2 for q in phi.shape[2:])
    kind = np.array((n_atoms, wraps, lags), CODES)
    lists = position, atom, values.astype("float64"), first, by_atom, bounds
    arguments = x, shape, kind, *lists, phis, psis
    launch("moments", f"moments<{c_name(x)}>", (n_atoms, parts), *arguments)
    half = phis.sum(axis=0)  # only lags after zero: phi[j, k, -d] is phi[k, j, d]
    mirror = cp.flip(half.swapaxes(0, 1), (2, 3, 4)).copy()
    mirror[(..., *(n // 2 for n in phi.shape[2:]))] = 0
    phi[...] = half + mirror
    psi[...] = psis.sum(axis=0)
