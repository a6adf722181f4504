"""The three convolution maps, one code position at a time, in float64 (slow, shares no code)."""

import numpy as np


def _window(v, stride, spatial_shape):
    return (
        ...,
        *(slice(t * a, t * a + e) for a, t, e in zip(v, stride, spatial_shape, strict=True)),
    )


def correlate(x, atoms, stride, spatial_code_shape):
    z = np.empty((len(x), len(atoms), *spatial_code_shape))
    for v in np.ndindex(*spatial_code_shape):
        patch = x[_window(v, stride, atoms.shape[2:])]
        z[(..., *v)] = np.einsum("nxabc,kxabc->nk", patch, atoms, dtype=float)
    return z


def synthesize(z, atoms, stride, signal_shape):
    x = np.zeros((len(z), atoms.shape[1], *signal_shape))
    for v in np.ndindex(*z.shape[2:]):
        x[_window(v, stride, atoms.shape[2:])] += np.einsum("nk,kxabc->nxabc", z[(..., *v)], atoms)
    return x


def correlate_atoms(x, z, stride, atom_shape):
    d = np.zeros((z.shape[1], x.shape[1], *atom_shape))
    for v in np.ndindex(*z.shape[2:]):
        patch = x[_window(v, stride, atom_shape)]
        d += np.einsum("nk,nxabc->kxabc", z[(..., *v)], patch, dtype=float)
    return d
