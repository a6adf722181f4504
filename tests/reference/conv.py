"""The three convolution maps, one code position at a time, in float64 (slow, shares no code)."""

import numpy as np


def _window(v, stride, extents):
    return (..., *(slice(t * a, t * a + e) for a, t, e in zip(v, stride, extents, strict=True)))


def correlate(x, atoms, stride, code_extents):
    z = np.empty((len(x), len(atoms), *code_extents))
    for v in np.ndindex(*code_extents):
        patch = x[_window(v, stride, atoms.shape[2:])]
        z[(..., *v)] = np.einsum("nxabc,kxabc->nk", patch, atoms, dtype=float)
    return z


def synthesize(z, atoms, stride, signal_extents):
    x = np.zeros((len(z), atoms.shape[1], *signal_extents))
    for v in np.ndindex(*z.shape[2:]):
        x[_window(v, stride, atoms.shape[2:])] += np.einsum("nk,kxabc->nxabc", z[(..., *v)], atoms)
    return x


def correlate_atoms(x, z, stride, atom_extents):
    d = np.zeros((z.shape[1], x.shape[1], *atom_extents))
    for v in np.ndindex(*z.shape[2:]):
        patch = x[_window(v, stride, atom_extents)]
        d += np.einsum("nk,nxabc->kxabc", z[(..., *v)], patch, dtype=float)
    return d
